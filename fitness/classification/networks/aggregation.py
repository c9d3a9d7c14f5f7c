"""SimpleDLA for images of 32 x 32 pixels (imports torch).

After Yu, Wang, Shelhamer and Darrell 2018, "Deep Layer Aggregation": blocks are the leaves of binary trees, and the root of a tree
joins the outputs of its two halves. "Simple" is the form that is usual for CIFAR-10: a root sees its own two halves only, not the
ends of earlier trees.
"""

import torch
from torch import Tensor, nn

from fitness.classification.networks.residual import BasicBlock, classified, convolution


def simple_dla(hidden: int) -> nn.Module:
    """SimpleDLA: three convolutions, then trees of depth 1, 2, 2 and 1. It has no hidden width to set."""
    return nn.Sequential(
        *(*convolution(3, 16, 3), nn.ReLU(inplace=True)),
        *(*convolution(16, 16, 3), nn.ReLU(inplace=True)),
        *(*convolution(16, 32, 3), nn.ReLU(inplace=True)),
        Tree(32, 64, depth=1),
        Tree(64, 128, depth=2, stride=2),
        Tree(128, 256, depth=2, stride=2),
        Tree(256, 512, depth=1, stride=2),
        *classified(512),
    )


class Tree(nn.Module):
    """A binary tree of basic blocks. The right half takes the left half's output, and the root joins both outputs."""

    def __init__(self, inputs: int, outputs: int, *, depth: int, stride: int = 1) -> None:
        super().__init__()
        self.left: nn.Module
        self.right: nn.Module
        if depth == 1:
            self.left, self.right = BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs)
        else:
            self.left = Tree(inputs, outputs, depth=depth - 1, stride=stride)
            self.right = Tree(outputs, outputs, depth=depth - 1)
        self.root = nn.Sequential(*convolution(2 * outputs, outputs, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """The tree's output, shape (items, outputs, rows / stride, columns / stride)."""
        first = self.left(x)
        joined: Tensor = self.root(torch.cat((first, self.right(first)), dim=1))
        return joined
