# title: Generalised cross-entropy (GCE), q 0.7
# paper: Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels", https://arxiv.org/abs/1805.07836
# equation: (1 - p_y^0.7) / 0.7

import torch
import torch.nn.functional as F


def gce(logits, targets):
    cross_entropy = F.cross_entropy(logits, targets, reduction="none")
    return (1 - torch.exp(-0.7 * cross_entropy)) / 0.7
