# title: Combined exponential and logistic loss (CELL)
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", https://arxiv.org/abs/2406.08414
# equation: 0.5 exp(-x) + 0.5 softplus(-x)
# scores: MT-Bench 7.925

import torch
import torch.nn.functional as F


def cell(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    return 0.5 * torch.exp(-x) + 0.5 * F.softplus(-x)
