# title: Annealed combined logistic and hinge loss, of the run log
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix G, https://arxiv.org/abs/2406.08414
# equation: sigmoid(-rho) softplus(-x) + sigmoid(rho) max(0, 1-x)
# scores: MT-Bench 7.669

import torch
import torch.nn.functional as F


def annealed_logistic_hinge(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    rho = policy_margin - reference_margin
    weight = torch.sigmoid(rho)
    return (1 - weight) * F.softplus(-beta * rho) + weight * torch.relu(1 - beta * rho)
