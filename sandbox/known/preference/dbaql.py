# title: Dynamic blended adaptive quantile loss (DBAQL)
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", https://arxiv.org/abs/2406.08414
# equation: c softplus(-x/0.9) + (1-c) exp(-0.9 x), c = sigmoid(var(u)), u = x/0.05
# scores: MT-Bench 7.978

import torch
import torch.nn.functional as F


def dbaql(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    blend = torch.sigmoid((x / 0.05).var())
    logistic = -F.logsigmoid(x / 0.9)
    exponential = torch.exp(-0.9 * x)
    return blend * logistic + (1 - blend) * exponential
