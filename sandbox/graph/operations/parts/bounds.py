"""Bounds on the absolute value of results, from the contracts' ranges. They tell whether a sum or product may be regrouped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

LARGEST_INPUT: Final = 2e3
"""Largest absolute value of a log-probability (nats), a logit or a batch size."""
LARGEST_SCALAR: Final = 16.0
"""Largest beta."""

Bound = Callable[[Sequence[float]], float]
"""Largest absolute values of the operands -> largest absolute value of the result."""


def at_most(limit: float) -> Bound:
    """A constant bound, for all operands."""
    return lambda sizes: limit


def largest_operand(sizes: Sequence[float]) -> float:
    """The largest operand's bound."""
    return max(sizes)


def about_twice(sizes: Sequence[float]) -> float:
    """Twice the largest operand's bound, plus 2."""
    return 2 * max(sizes) + 2.0


def unbounded(sizes: Sequence[float]) -> float:
    """No bound is known."""
    return math.inf
