# title: Sequence likelihood calibration (SLiC): hinge loss on the log-ratio margin
# paper: Zhao et al. 2023, "SLiC-HF", https://arxiv.org/abs/2305.10425
# equation: max(0, 1 - x)
# trl: hinge
# scores: MT-Bench 7.881

import torch


def slic(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    x = beta * (policy_margin - reference_margin)
    return torch.relu(1 - x)
