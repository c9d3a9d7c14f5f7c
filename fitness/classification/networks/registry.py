"""Registry of the networks: name, data set, and where each is built. Needs no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

CLASSES = 10
"""Classes of either data set."""

Dataset = Literal["digits", "cifar10"]
NetworkName = Literal[
    "mlp", "deep", "wide", "linear", "cnn", "resnet18", "resnet34", "simple_dla", "efficientnet_b0"
]  # fmt: skip


@dataclass(frozen=True)
class Network:
    """A network: `build` is a function `module:name` of the perceptrons' hidden width, which returns the untrained network."""

    name: NetworkName
    dataset: Dataset
    words: str
    build: str
    cost: float
    """Time of an optimiser step, divided by that of the data set's usual network."""
    width: int = 0
    """Hidden width in multiples of the option `hidden`; 0 for a network that does not have it."""

    def untrained(self, hidden: int) -> nn.Module:
        """A network with weights drawn from torch's global generator. Imports torch."""
        module, _, function = self.build.partition(":")
        made: nn.Module = getattr(importlib.import_module(f"fitness.classification.networks.{module}"), function)(
            hidden
        )
        return made


_RECORDS = (
    Network("mlp", "digits", "a perceptron", "digits:mlp", 1.0, width=1),
    Network("deep", "digits", "a perceptron with two hidden layers", "digits:deep", 1.0, width=1),
    Network("wide", "digits", "a wide perceptron", "digits:wide", 1.2, width=4),
    Network("linear", "digits", "a linear model (softmax regression)", "digits:linear", 0.8),
    Network("cnn", "digits", "a convolutional network with two layers", "digits:cnn", 2.0),
    Network("resnet18", "cifar10", "ResNet-18", "residual:resnet18", 1.0),
    Network("resnet34", "cifar10", "ResNet-34", "residual:resnet34", 1.8),
    Network("simple_dla", "cifar10", "SimpleDLA, deep layer aggregation", "aggregation:simple_dla", 1.8),
    Network("efficientnet_b0", "cifar10", "EfficientNet-B0", "efficientnet:efficientnet_b0", 1.5),
)

NETWORKS: Mapping[str, Network] = {network.name: network for network in _RECORDS}


def networks_for(dataset: Dataset) -> tuple[str, ...]:
    """Names of the networks for a data set."""
    return tuple(network.name for network in _RECORDS if network.dataset == dataset)
