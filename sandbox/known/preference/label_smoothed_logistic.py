# title: Corrected label-smoothed logistic loss, of the run log: its targets are 0.9 and 0, so it pushes the wrong way at rho = 0
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix G, https://arxiv.org/abs/2406.08414
# equation: (0.9 softplus(-x) + 1.1 softplus(x)) / 2
# scores: MT-Bench 6.425

import torch.nn.functional as F


def label_smoothed_logistic(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    return (0.9 * F.softplus(-x) + 1.1 * F.softplus(x)) / 2
