# title: Adaptive quantile feedback loss (AQFL)
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", https://arxiv.org/abs/2406.08414
# equation: b softplus(-x) + (1-b) max(0, 1-x), b = sigmoid(0.1 |u - m|),
#   m = m0 + 0.05 (sigmoid(mean(u)) - m0), m0 = std(u) mean(sigmoid(-u)), u = x/0.05
# scores: MT-Bench 7.931

import torch
import torch.nn.functional as F


def aqfl(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    u = x / 0.05
    base = u.std() * torch.sigmoid(-u).mean()
    quantile = base + 0.05 * (torch.sigmoid(u.mean()) - base)
    weight = torch.sigmoid(0.1 * (u - quantile).abs())
    return weight * -F.logsigmoid(x) + (1 - weight) * torch.relu(1 - x)
