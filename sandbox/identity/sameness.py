"""Whether two losses are one to training, as plain data: found by `sandbox.identity`, read by whoever records or shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

TOLERANCE = 1e-4
"""Below this share training cannot tell two gradients apart. Label smoothing of 1 %, or 1.02 times the margin, changes a
hundred times as much."""


@dataclass(frozen=True, slots=True)
class Sameness:
    """How two losses a and b compare. `same`: training cannot tell them apart.

    `up_to` says what has to be divided out: "exact" nothing, "scale" a positive factor (a = factor * b), "beta" a rescaled
    beta and perhaps a factor (a at beta = factor * b at beta_factor * beta), None where they are different functions.
    `difference` is the largest one seen between their gradients, as a share of their size there (see `closeness`); infinite
    where one of them is not finite. Unless exact, `counterexample` is the probe where they part most clearly and `message`
    says it in words.
    """

    same: bool
    up_to: Literal["exact", "scale", "beta"] | None
    factor: float = 1.0
    beta_factor: float = 1.0
    message: str = ""
    counterexample: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    difference: float = 0.0

    def __bool__(self) -> bool:
        """Whether they are one: `if same_loss(a, b)` means what it says."""
        return self.same
