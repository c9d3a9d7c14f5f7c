# title: Adaptive quantile loss (AQL), the version of the authors' repository: the gate reads u
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", code for the sweep over beta, https://github.com/luchris429/DiscoPOP
# equation: q softplus(-x) + (1-q) max(0, 1-x), q = sigmoid(m - u), m = 0.5 + 0.01 (sigmoid(mean(u)) - 0.5), u = x/0.05

import torch
import torch.nn.functional as F


def aql_repository(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    u = x / 0.05
    quantile = 0.5 + 0.01 * (torch.sigmoid(u.mean()) - 0.5)
    weight = torch.sigmoid(quantile - u)
    return weight * -F.logsigmoid(x) + (1 - weight) * torch.relu(1 - x)
