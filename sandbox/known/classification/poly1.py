# title: Poly-1 cross-entropy, epsilon 1
# paper: Leng et al. 2022, "PolyLoss", https://arxiv.org/abs/2204.12511
# equation: -log p_y + 1 - p_y

import torch
import torch.nn.functional as F


def poly1(logits, targets):
    cross_entropy = F.cross_entropy(logits, targets, reduction="none")
    return cross_entropy + 1 - torch.exp(-cross_entropy)
