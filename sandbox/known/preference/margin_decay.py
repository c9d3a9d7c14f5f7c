# title: Hybrid performance margin decay logistic loss, of the run log: PADLL with a margin of 0.2 nats
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix G, https://arxiv.org/abs/2406.08414
# equation: 0.9 (1 - 0.5 [rho < 0.2]) softplus(-beta (rho - 0.2))
# scores: MT-Bench 7.613

import torch.nn.functional as F


def margin_decay(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    beyond = policy_margin - reference_margin - 0.2
    decay = 1 - 0.5 * (beyond < 0).float()
    return 0.9 * decay * F.softplus(-beta * beyond)
