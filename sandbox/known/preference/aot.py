# title: Alignment via optimal transport on paired data (AOT)
# paper: Melnyk et al. 2024, "Distributional Preference Alignment of LLMs via Optimal Transport", https://arxiv.org/abs/2406.05882
# equation: softplus(-beta (sort(policy margin) - sort(reference margin))), sorted over the batch
# trl: aot

import torch
import torch.nn.functional as F


def aot(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = torch.sort(policy_chosen_logps - policy_rejected_logps).values
    reference_margin = torch.sort(reference_chosen_logps - reference_rejected_logps).values
    return -F.logsigmoid(beta * (policy_margin - reference_margin))
