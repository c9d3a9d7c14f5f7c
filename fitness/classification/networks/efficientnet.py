"""EfficientNet-B0 for images of 32 x 32 pixels (imports torch).

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1, with squeeze-and-excitation
(Hu et al. 2018) and stochastic depth (Huang et al. 2016). One part differs from the form for ImageNet: the first convolution has
stride 1, since the images are small.
"""

import torch
from torch import Tensor, nn

from fitness.classification.networks.residual import classified, convolution

# Expansion, kernel size, stride of the first block, output channels, blocks (table 1, stages 2 to 8).
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
DROPOUT = 0.2
DROPPED = 0.2
"""Probability with which the last block is left out in training; it grows linearly from 0 at the first block."""


def efficientnet_b0(hidden: int) -> nn.Module:
    """EfficientNet-B0. It has no hidden width to set."""
    layers: list[nn.Module] = [*convolution(3, 32, 3), nn.SiLU(inplace=True)]
    inputs, number, total = 32, 0, sum(stage[-1] for stage in STAGES)
    for expansion, size, first_stride, outputs, blocks in STAGES:
        for block in range(blocks):
            stride = 1 if block else first_stride
            layers.append(InvertedBlock(inputs, outputs, expansion, size, stride, DROPPED * number / total))
            inputs, number = outputs, number + 1
    pool, flatten, linear = classified(1280)
    return nn.Sequential(
        *layers, *convolution(inputs, 1280, 1), nn.SiLU(inplace=True), pool, flatten, nn.Dropout(DROPOUT), linear
    )


class InvertedBlock(nn.Module):
    """Mobile inverted bottleneck: widen, convolve each channel alone, weigh the channels, narrow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, size: int, stride: int, dropped: float) -> None:
        super().__init__()
        width = inputs * expansion
        widen = (*convolution(inputs, width, 1), nn.SiLU(inplace=True)) if expansion > 1 else ()
        self.body = nn.Sequential(
            *widen,
            *(*convolution(width, width, size, stride, groups=width), nn.SiLU(inplace=True)),
            Excitation(width, inputs // 4),
            *convolution(width, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs
        self.dropped = dropped

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, shape (items, outputs, rows / stride, columns / stride)."""
        out: Tensor = self.body(x)
        if not self.residual:
            return out
        if self.training and self.dropped:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.dropped
            out = out * kept / (1 - self.dropped)
        return x + out


class Excitation(nn.Module):
    """Squeeze-and-excitation: a weight in (0, 1) for each channel, computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            *(nn.Conv2d(channels, squeezed, 1), nn.SiLU(inplace=True)),
            *(nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The weighed channels, of the shape of `x`."""
        weighed: Tensor = x * self.weights(x)
        return weighed
