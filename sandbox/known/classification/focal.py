# title: Focal loss, gamma 2
# paper: Lin et al. 2017, "Focal Loss for Dense Object Detection", https://arxiv.org/abs/1708.02002
# equation: -(1 - p_y)^2 log p_y

import torch
import torch.nn.functional as F


def focal(logits, targets):
    cross_entropy = F.cross_entropy(logits, targets, reduction="none")
    return (1 - torch.exp(-cross_entropy)) ** 2 * cross_entropy
