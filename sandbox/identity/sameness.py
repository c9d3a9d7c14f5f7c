"""Result of comparing two losses, as plain data. `sandbox.identity.compare` computes it; the engine and displays read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

TOLERANCE = 1e-4
"""Relative differences of gradients below this have no effect on training. Label smoothing of 1 %, or a margin multiplied by
1.02, makes a difference a hundred times as large."""


@dataclass(frozen=True, slots=True)
class Sameness:
    """How two losses a and b compare. `same`: they train identically.

    `up_to` is the transformation under which they are the same: "exact" none, "scale" a positive factor (a = factor * b), "beta" a
    rescaled beta and perhaps a factor (a at beta = factor * b at beta_factor * beta), None if they are different functions.
    `difference` is the largest relative difference between their gradients (see `closeness`), infinite if one of them is not
    finite. Unless "exact", `counterexample` is the point where they differ most, and `message` describes it.
    """

    same: bool
    up_to: Literal["exact", "scale", "beta"] | None
    factor: float = 1.0
    beta_factor: float = 1.0
    message: str = ""
    counterexample: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    difference: float = 0.0

    def __bool__(self) -> bool:
        """`same`, so that `if same_loss(a, b)` can be written."""
        return self.same
