# title: Efficient exact optimisation on pairs (EXO), label smoothing 0.001
# paper: Ji et al. 2024, "Towards Efficient Exact Optimization of Language Model Alignment", eq. 16, https://arxiv.org/abs/2402.00856
# equation: sigmoid(x) (log sigmoid(x) - log(1 - e)) + sigmoid(-x) (log sigmoid(-x) - log(e)), e = 0.001
# trl: exo_pair

import math

import torch
import torch.nn.functional as F


def exo_pair(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    smoothing = 0.001
    wins = torch.sigmoid(x) * (F.logsigmoid(x) - math.log1p(-smoothing))
    loses = torch.sigmoid(-x) * (F.logsigmoid(-x) - math.log(smoothing))
    return wins + loses
