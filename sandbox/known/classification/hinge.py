# title: Multi-class hinge loss
# paper: Crammer and Singer 2001, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines"
# equation: max(0, 1 + max_(c != y) z_c - z_y)

import torch
import torch.nn.functional as F


def hinge(logits, targets):
    right = F.one_hot(targets, logits.shape[-1]).bool()
    own = torch.gather(logits, 1, targets.unsqueeze(1)).squeeze(1)
    rival = torch.where(right, -1e9, logits).amax(dim=-1)
    return torch.relu(1 + rival - own)
