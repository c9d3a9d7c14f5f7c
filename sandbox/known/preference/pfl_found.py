# title: Policy-focused loss (PFL) as the search found and scored it: both branches read u
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix E.7, eq. 29, https://arxiv.org/abs/2406.08414
# equation: softplus(-u)/2 where policy_chosen > policy_rejected, else 2 max(0, 1-u), u = x/0.05
# scores: MT-Bench 7.900

import torch
import torch.nn.functional as F


def pfl_found(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    u = beta * (policy_margin - reference_margin) / 0.05
    return torch.where(policy_chosen_logps > policy_rejected_logps, F.softplus(-u) / 2, 2 * torch.relu(1 - u))
