"""Residual networks for images of 32 x 32 pixels (imports torch).

He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition", table 1: the 18- and 34-layer networks of basic blocks.
Two parts differ from the form for ImageNet, whose images are seven times as large: the first convolution is 3 x 3 with stride 1,
and no pooling follows it. A shortcut that changes the shape is a 1 x 1 convolution (option B).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from fitness.classification.networks.registry import CLASSES

CHANNELS = (64, 128, 256, 512)
"""Of the four stages; each stage but the first halves rows and columns."""


def resnet18(hidden: int) -> nn.Module:
    """ResNet-18: two blocks in each stage. It has no hidden width to set."""
    return _resnet((2, 2, 2, 2))


def resnet34(hidden: int) -> nn.Module:
    """ResNet-34: 3, 4, 6 and 3 blocks in the stages. It has no hidden width to set."""
    return _resnet((3, 4, 6, 3))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, added to the input (or to its projection)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(inputs, outputs, 3, stride), nn.ReLU(inplace=True), *convolution(outputs, outputs, 3)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, shape (items, outputs, rows / stride, columns / stride)."""
        return nn.functional.relu(self.body(x) + self.shortcut(x))


def convolution(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps rows and columns (divided by the stride), and its batch normalisation."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return layer, nn.BatchNorm2d(outputs)


def classified(channels: int) -> tuple[nn.Module, ...]:
    """The end of an image network: the mean over rows and columns, then a linear layer."""
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)


def _resnet(blocks: Sequence[int]) -> nn.Module:
    layers: list[nn.Module] = [*convolution(3, CHANNELS[0], 3), nn.ReLU(inplace=True)]
    inputs = CHANNELS[0]
    for stage, (outputs, number) in enumerate(zip(CHANNELS, blocks, strict=True)):
        for block in range(number):
            layers.append(BasicBlock(inputs, outputs, stride=2 if stage and not block else 1))
            inputs = outputs
    return nn.Sequential(*layers, *classified(inputs))
