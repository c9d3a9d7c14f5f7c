# title: Policy-focused loss (PFL), the version of the authors' repository and of the paper's table 1: both branches read x
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", table 1 and the code for the sweep over beta, https://github.com/luchris429/DiscoPOP
# equation: softplus(-x)/2 where policy_chosen > policy_rejected, else 2 max(0, 1-x)

import torch
import torch.nn.functional as F


def pfl_repository(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    return torch.where(policy_chosen_logps > policy_rejected_logps, F.softplus(-x) / 2, 2 * torch.relu(1 - x))
