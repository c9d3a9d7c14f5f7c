"""Bounds on the size of values, from the contracts' ranges. They say where regrouping a sum or product is harmless."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

LARGEST_INPUT: Final = 2e3
"""No log-probability in nats, logit or batch size is larger in size."""
LARGEST_SCALAR: Final = 16.0
"""No beta is larger."""

Bound = Callable[[Sequence[float]], float]
"""From the largest absolute values of the operands to that of the result."""


def at_most(limit: float) -> Bound:
    """The same bound, whatever the operands are."""
    return lambda sizes: limit


def largest_operand(sizes: Sequence[float]) -> float:
    """No value is larger than the largest operand."""
    return max(sizes)


def about_twice(sizes: Sequence[float]) -> float:
    """No value is larger than twice the largest operand and 2."""
    return 2 * max(sizes) + 2.0


def unbounded(sizes: Sequence[float]) -> float:
    """No bound is known."""
    return math.inf
