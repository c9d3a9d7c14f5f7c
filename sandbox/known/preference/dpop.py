# title: DPO-positive (DPOP), lambda 50: the chosen may not fall below the reference
# paper: Pal et al. 2024, "Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive", https://arxiv.org/abs/2402.13228
# equation: softplus(-beta (rho - 50 max(0, -h_w)))

import torch
import torch.nn.functional as F


def dpop(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    penalty = 50 * torch.relu(-chosen)
    return -F.logsigmoid(beta * (chosen - rejected - penalty))
