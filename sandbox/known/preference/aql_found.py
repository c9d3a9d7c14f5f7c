# title: Adaptive quantile loss (AQL) as the search found and scored it: the gate reads x
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix E.2, eq. 11 to 14, https://arxiv.org/abs/2406.08414
# equation: q softplus(-x) + (1-q) max(0, 1-x), q = sigmoid(0.05 m - x), m = 0.5 + 0.01 (sigmoid(mean(u)) - 0.5), u = x/0.05
# scores: MT-Bench 7.953

import torch
import torch.nn.functional as F


def aql_found(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    quantile = 0.5 + 0.01 * (torch.sigmoid((x / 0.05).mean()) - 0.5)
    weight = torch.sigmoid(0.05 * quantile - x)
    return weight * -F.logsigmoid(x) + (1 - weight) * torch.relu(1 - x)
