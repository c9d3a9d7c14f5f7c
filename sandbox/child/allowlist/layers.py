"""Layers without weights: nn.LogSigmoid() and its kin, which are functions of F under another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sandbox.child.allowlist.calls import SPELLINGS

LAYERS: Final[Mapping[str, str]] = MappingProxyType(
    {layer: spelling.paths[0] for spelling in SPELLINGS for layer in spelling.layers}
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
