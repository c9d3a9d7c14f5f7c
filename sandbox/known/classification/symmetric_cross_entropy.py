# title: Symmetric cross-entropy (SCE), alpha 0.1, beta 1, log 0 = -4
# paper: Wang et al. 2019, "Symmetric Cross Entropy for Robust Learning with Noisy Labels", https://arxiv.org/abs/1908.06112
# equation: -0.1 log p_y + 4 (1 - p_y)

import torch
import torch.nn.functional as F


def symmetric_cross_entropy(logits, targets):
    cross_entropy = F.cross_entropy(logits, targets, reduction="none")
    return 0.1 * cross_entropy + 4 * (1 - torch.exp(-cross_entropy))
