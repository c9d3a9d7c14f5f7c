# title: Policy-focused loss (PFL)
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", https://arxiv.org/abs/2406.08414
# equation: softplus(-x)/2 where policy_chosen > policy_rejected, else 2 max(0, 1-x)

import torch
import torch.nn.functional as F


def pfl(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    return torch.where(policy_chosen_logps > policy_rejected_logps, F.softplus(-x) / 2, 2 * torch.relu(1 - x))
