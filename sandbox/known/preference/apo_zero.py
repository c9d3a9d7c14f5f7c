# title: Anchored preference optimisation, zero (APO-zero): chosen up, rejected down
# paper: D'Oosterlinck et al. 2024, "Anchored Preference Optimization", eq. 7, https://arxiv.org/abs/2408.06266
# equation: 1 - sigmoid(beta h_w) + sigmoid(beta h_l)
# trl: apo_zero

import torch


def apo_zero(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    return 1 - torch.sigmoid(chosen) + torch.sigmoid(rejected)
