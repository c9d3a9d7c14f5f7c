"""Colour images as inputs of a network: augmentation of a batch, and normalisation as the network's first layer (imports torch)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PADDING = 4
"""Pixels of black around an image before it is cropped again."""


class Normalised(nn.Module):
    """Images of whole numbers from 0 to 255, shape (items, 3, rows, columns), to floats of mean 0 and deviation 1 by channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """The normalised images, of the same shape. `mean` and `deviation` are fractions of 255."""
        return (images.float() / 255.0 - self.mean) / self.deviation


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image cropped at random after padding with PADDING black pixels, and mirrored with probability 1/2. Same shape."""
    items, channels, rows, columns = images.shape
    top, left = torch.randint(0, 2 * PADDING + 1, (2, items, 1), generator=generator).to(images.device)
    mirrored = (torch.rand(items, 1, generator=generator) < 0.5).to(images.device)
    down, across = (torch.arange(length, device=images.device) for length in (rows, columns))
    row = top + down
    column = left + torch.where(mirrored, across.flip(0), across)
    padded = nn.functional.pad(images, (PADDING,) * 4)
    item, channel = (torch.arange(length, device=images.device) for length in (items, channels))
    return padded[
        item[:, None, None, None], channel[None, :, None, None], row[:, None, :, None], column[:, None, None, :]
    ]
