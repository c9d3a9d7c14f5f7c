# title: Adaptive margin logistic loss, of the run log
# paper: Lu et al. 2024, "Discovering Preference Optimization Algorithms with and for Large Language Models", appendix G, https://arxiv.org/abs/2406.08414
# equation: softplus(-beta (rho - |policy_chosen - policy_rejected| + |reference_chosen - reference_rejected|))
# scores: MT-Bench 7.519

import torch.nn.functional as F


def adaptive_margin(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    confidence = policy_margin.abs() - reference_margin.abs()
    return F.softplus(-beta * (policy_margin - reference_margin - confidence))
