"""Layers without weights: nn.LogSigmoid() and its kin, which are functions of F under another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

_FUNCTIONS = {
    "ReLU": "relu", "ReLU6": "relu6", "SELU": "selu", "SiLU": "silu", "Mish": "mish", "Hardsigmoid": "hardsigmoid",
    "Hardswish": "hardswish", "LogSigmoid": "logsigmoid", "Softsign": "softsign", "Tanhshrink": "tanhshrink",
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "LeakyReLU": "leaky_relu", "ELU": "elu", "CELU": "celu",
    "GELU": "gelu", "Softshrink": "softshrink", "Hardshrink": "hardshrink", "Hardtanh": "hardtanh", "Threshold": "threshold",
    "Softmax": "softmax", "LogSoftmax": "log_softmax", "Softmin": "softmin", "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits", "MSELoss": "mse_loss", "L1Loss": "l1_loss",
    "SmoothL1Loss": "smooth_l1_loss", "HuberLoss": "huber_loss", "SoftMarginLoss": "soft_margin_loss", "KLDivLoss": "kl_div",
    "MarginRankingLoss": "margin_ranking_loss", "CrossEntropyLoss": "cross_entropy", "NLLLoss": "nll_loss",
}  # fmt: skip

LAYERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{f"torch.nn.{name}": f"torch.nn.functional.{function}" for name, function in _FUNCTIONS.items()},
        "torch.nn.Identity": "torch.positive",
    }
)
"""Full name of a layer -> full name of the function that it applies."""


@dataclass(frozen=True, slots=True)
class LayerClass:
    """nn.Softplus: to be called with options. `path` is the function that the layer applies."""

    path: str


@dataclass(frozen=True, slots=True)
class Layer:
    """nn.Softplus(beta=2): to be called with as many tensors as the function takes. `options` are the function's others."""

    path: str
    options: Mapping[str, Any]
