# title: Squared logistic loss, of the run log
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix G, https://arxiv.org/abs/2406.08414
# equation: softplus(-x)^2
# scores: MT-Bench 7.601

import torch.nn.functional as F


def squared_logistic(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    return F.softplus(-beta * (policy_margin - reference_margin)) ** 2
