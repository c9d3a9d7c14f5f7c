# title: Mean absolute error of the probabilities
# paper: Ghosh et al. 2017, "Robust Loss Functions under Label Noise for Deep Neural Networks", https://arxiv.org/abs/1712.09482
# equation: 2 - 2 p_y

import torch


def mae(logits, targets):
    probabilities = torch.softmax(logits, dim=-1)
    return 2 - 2 * torch.gather(probabilities, 1, targets.unsqueeze(1)).squeeze(1)
