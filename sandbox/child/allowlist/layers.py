"""Layers without weights, such as nn.LogSigmoid(), which apply a function of torch.nn.functional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sandbox.child.allowlist.calls import SPELLINGS

LAYERS: Final[Mapping[str, str]] = MappingProxyType(
    {layer: spelling.paths[0] for spelling in SPELLINGS for layer in spelling.layers}
)
"""Full name of a layer class -> full name of the function that it applies."""


@dataclass(frozen=True, slots=True)
class LayerClass:
    """A layer class such as nn.Softplus, to be called with options. `path` is the full name of the function that it applies."""

    path: str


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer such as nn.Softplus(beta=2), to be called with the function's tensors. `options` are its other arguments."""

    path: str
    options: Mapping[str, Any]
