# title: Cross-entropy
# paper: Bishop 2006, "Pattern Recognition and Machine Learning", eq. 4.108
# equation: -log p_y, p = softmax(logits)

import torch.nn.functional as F


def cross_entropy(logits, targets):
    return F.cross_entropy(logits, targets, reduction="none")
