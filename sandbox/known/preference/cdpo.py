# title: Conservative DPO (cDPO): label smoothing 0.1
# paper: Mitchell 2023, "A note on DPO with noisy preferences and relationship to IPO", https://ericmitchell.ai/cdpo.pdf
# equation: (1-e) softplus(-x) + e softplus(x), e = 0.1

import torch.nn.functional as F


def cdpo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    smoothing = 0.1
    return -(1 - smoothing) * F.logsigmoid(x) - smoothing * F.logsigmoid(-x)
