# title: Performance-adaptive decay logistic loss (PADLL)
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", https://arxiv.org/abs/2406.08414
# equation: 0.9 (1 - 0.5 [rho < 0]) softplus(-x)
# scores: MT-Bench 7.941

import torch.nn.functional as F


def padll(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    rho = policy_margin - reference_margin
    decay = 1 - 0.5 * (rho < 0).float()
    return 0.9 * decay * -F.logsigmoid(beta * rho)
