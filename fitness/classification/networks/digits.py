"""Networks for the digits: inputs of shape (items, 64), the 8 x 8 grey values row by row (imports torch)."""

from torch import nn

from fitness.classification.networks.registry import CLASSES, NETWORKS

SIDE = 8
"""Rows and columns of an image."""


def mlp(hidden: int) -> nn.Module:
    """A perceptron with one hidden layer."""
    return _perceptron(hidden, depth=1)


def deep(hidden: int) -> nn.Module:
    """A perceptron with two hidden layers."""
    return _perceptron(hidden, depth=2)


def wide(hidden: int) -> nn.Module:
    """A perceptron with one hidden layer, wider than that of `mlp`."""
    return _perceptron(hidden * NETWORKS["wide"].width, depth=1)


def linear(hidden: int) -> nn.Module:
    """A linear model; it has no hidden layer."""
    return nn.Linear(SIDE * SIDE, CLASSES)


def cnn(hidden: int) -> nn.Module:
    """Two convolutions of 16 and 32 channels, each with pooling, and a linear layer."""
    return nn.Sequential(
        nn.Unflatten(1, (1, SIDE, SIDE)),
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(32 * (SIDE // 4) ** 2, CLASSES),
    )


def _perceptron(width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = []
    inputs = SIDE * SIDE
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, CLASSES))
