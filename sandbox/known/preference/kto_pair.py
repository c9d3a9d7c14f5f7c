# title: Kahneman-Tversky optimisation on pairs (KTO-pair)
# paper: Ethayarajh et al. 2024, "KTO", https://arxiv.org/abs/2402.01306
# equation: [2 - sigmoid(beta (h_w - k_l)) - sigmoid(beta (k_w - h_l))] / 2, k = max(0, mean(h)) of that side
# scores: MT-Bench 7.603

import torch


def kto_pair(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    chosen_kl = chosen.mean().clamp(min=0)
    rejected_kl = rejected.mean().clamp(min=0)
    chosen_loss = 1 - torch.sigmoid(beta * (chosen - rejected_kl))
    rejected_loss = 1 - torch.sigmoid(beta * (chosen_kl - rejected))
    return (chosen_loss + rejected_loss) / 2
