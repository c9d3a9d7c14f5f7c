# title: Noise contrastive alignment on pairs (NCA)
# paper: Chen et al. 2024, "Noise Contrastive Alignment of Language Models with Explicit Rewards", https://arxiv.org/abs/2402.05369
# equation: softplus(-beta h_w) + softplus(beta h_w)/2 + softplus(beta h_l)/2
# trl: nca_pair

import torch.nn.functional as F


def nca_pair(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen) - 0.5 * F.logsigmoid(-chosen) - 0.5 * F.logsigmoid(-rejected)
