# title: Log-ratio modulated loss (LRML), known as DiscoPOP
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", eq. 5, https://arxiv.org/abs/2406.08414
# equation: (1 - sigmoid(u)) softplus(-x) + sigmoid(u) exp(-x), u = x/0.05
# trl: discopop
# scores: MT-Bench 7.916

import torch
import torch.nn.functional as F


def lrml(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    modulation = torch.sigmoid(x / 0.05)
    return (1 - modulation) * -F.logsigmoid(x) + modulation * torch.exp(-x)
