# title: Savage loss
# paper: Tang et al. 2024, "Generalized Preference Optimization", https://arxiv.org/abs/2402.05749
# equation: sigmoid(-x)^2

import torch


def savage(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    return torch.sigmoid(-x) ** 2
