# title: Focal logistic loss, of the run log
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix G, https://arxiv.org/abs/2406.08414
# equation: (1 - sigmoid(rho))^2 softplus(-x)
# scores: MT-Bench 7.841

import torch
import torch.nn.functional as F


def focal_logistic(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    rho = policy_margin - reference_margin
    return torch.sigmoid(-rho) ** 2 * F.softplus(-beta * rho)
