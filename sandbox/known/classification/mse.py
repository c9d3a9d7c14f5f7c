# title: Mean squared error of the probabilities (Brier score)
# paper: Brier 1950, "Verification of forecasts expressed in terms of probability"
# equation: sum_c (p_c - [c = y])^2

import torch
import torch.nn.functional as F


def mse(logits, targets):
    probabilities = torch.softmax(logits, dim=-1)
    wanted = F.one_hot(targets, logits.shape[-1]).float()
    return ((probabilities - wanted) ** 2).sum(dim=-1)
