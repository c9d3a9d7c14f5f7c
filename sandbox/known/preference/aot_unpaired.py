# title: Alignment via optimal transport on unpaired data (AOT)
# paper: Melnyk et al. 2024, "Distributional Preference Alignment of LLMs via Optimal Transport", https://arxiv.org/abs/2406.05882
# equation: softplus(-beta (sort(h_w) - sort(h_l))), sorted over the batch
# trl: aot_unpaired

import torch
import torch.nn.functional as F


def aot_unpaired(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = torch.sort(policy_chosen_logps - reference_chosen_logps).values
    rejected = torch.sort(policy_rejected_logps - reference_rejected_logps).values
    return -F.logsigmoid(beta * (chosen - rejected))
