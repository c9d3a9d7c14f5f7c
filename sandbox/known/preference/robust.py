# title: Robust DPO, noise rate 0.1
# paper: Chowdhury et al. 2024, "Provably Robust DPO", https://arxiv.org/abs/2403.00409
# equation: [(1-e) softplus(-x) - e softplus(x)] / (1 - 2e), e = 0.1
# trl: robust

import torch.nn.functional as F


def robust(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    noise = 0.1
    return (noise * F.logsigmoid(-x) - (1 - noise) * F.logsigmoid(x)) / (1 - 2 * noise)
