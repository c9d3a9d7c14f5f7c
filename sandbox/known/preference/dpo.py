# title: Direct preference optimisation (DPO): logistic loss
# paper: Rafailov et al. 2023, "Direct Preference Optimization", eq. 7, https://arxiv.org/abs/2305.18290
# equation: softplus(-x)
# trl: sigmoid
# scores: MT-Bench 7.888

import torch.nn.functional as F


def dpo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    return -F.logsigmoid(x)
