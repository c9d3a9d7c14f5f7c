# title: Anchored preference optimisation, down (APO-down): both down, rejected more
# paper: D'Oosterlinck et al. 2024, "Anchored Preference Optimization", eq. 8, https://arxiv.org/abs/2408.06266
# equation: sigmoid(beta h_w) + 1 - sigmoid(x)
# trl: apo_down

import torch


def apo_down(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    return torch.sigmoid(chosen) + 1 - torch.sigmoid(chosen - rejected)
