"""Linear combinations of the log-probabilities, and the sets of alternatives that a value may have. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

_ZERO: Final = 1e-9
_NO_SHIFT: Final = (0.0, 0.0)
_OVERFLOW: Final = 1e30
"""Beyond it a number may become infinite in float32."""


class Linear(NamedTuple):
    """A linear combination. `log_probs` are the coefficients of policy chosen, policy rejected, reference chosen and reference
    rejected; `others` those of other nodes' values. `size` is the largest constant that was added on the way: large ones round."""

    # A tuple: vetting one loss makes hundreds, and a frozen dataclass takes longer to make.

    log_probs: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    constant: float = 0.0
    others: tuple[tuple[int, float], ...] = ()
    size: float = 0.0

    @property
    def shift(self) -> tuple[float, float]:
        """Change per nat when policy and reference are shifted together: of the chosen and of the rejected completion."""
        a, b, c, d = self.log_probs
        if not (a or b or c or d):
            return _NO_SHIFT
        largest = max(abs(a), abs(b), abs(c), abs(d))
        if not math.isfinite(largest):
            return (largest, largest)
        first, second = a + c, b + d
        least = _ZERO * largest
        return (first if abs(first) > least else 0.0, second if abs(second) > least else 0.0)

    @property
    def finite(self) -> bool:
        """Whether all its numbers are finite, in float32 too."""
        a, b, c, d = self.log_probs
        if not (abs(a) < _OVERFLOW and abs(b) < _OVERFLOW and abs(c) < _OVERFLOW and abs(d) < _OVERFLOW):
            return False
        return abs(self.constant) < _OVERFLOW and all(abs(k) < _OVERFLOW for _, k in self.others)

    @property
    def varies(self) -> bool:
        """Whether it is more than a constant."""
        return bool(self.others) or any(self.log_probs)

    def times(self, factor: float) -> Linear:
        """The multiple."""
        a, b, c, d = self.log_probs
        return Linear(
            (_product(a, factor), _product(b, factor), _product(c, factor), _product(d, factor)),
            _product(self.constant, factor),
            tuple((n, k * factor) for n, k in self.others if factor != 0),
            self.size * abs(factor) if factor else 0.0,
        )

    def plus(self, other: Linear) -> Linear:
        """The sum."""
        (a, b, c, d), (e, f, g, h) = self.log_probs, other.log_probs
        others, cancelled = _sum_of_others(self.others, other.others)
        constant = self.constant + other.constant
        size = max(self.size, other.size, abs(constant), cancelled)
        return Linear((a + e, b + f, c + g, d + h), constant, others, size)


Value = tuple[Linear, ...]
"""The alternatives of a value, each once."""


def _sum_of_others(
    mine: tuple[tuple[int, float], ...], other: tuple[tuple[int, float], ...]
) -> tuple[tuple[tuple[int, float], ...], float]:
    """The sum of two `others`, and the size of a constant that cancelled: (q + h) - h is rounded if h is large."""
    if not other and all(k for _, k in mine):
        return mine, 0.0
    found = dict(mine)
    for n, k in other:
        found[n] = found.get(n, 0.0) + k
    cancelled = math.inf if any(k == 0 for k in found.values()) else 0.0
    return tuple(sorted((n, k) for n, k in found.items() if k)), cancelled


def _product(a: float, b: float) -> float:
    return 0.0 if a == 0 and math.isfinite(b) else a * b


def number(value: float) -> Linear:
    """The constant."""
    return Linear(constant=value, size=abs(value) if math.isfinite(value) else 0.0)


def distinct(values: Iterable[Linear]) -> Value:
    """Each alternative once, with the largest of its sizes."""
    listed = tuple(values)
    if len(listed) < 2:
        return listed
    found: dict[object, Linear] = {}
    for v in listed:
        key = v[:3]  # all but the size
        if key not in found or found[key].size < v.size:
            found[key] = v
    return tuple(found.values())


def settled(one: Linear, other: Linear) -> bool:
    """Whether their comparison has always the same result: a value and a constant that is infinite or NaN."""
    constants = [v.constant for v in (one, other) if not v.varies]
    return len(constants) == 1 and not math.isfinite(constants[0])


def compared(one: Linear, other: Linear) -> Linear:
    """The difference of two values that are compared. Nothing is subtracted there, so a large bound rounds nothing."""
    gap = one.plus(other.times(-1.0))
    if gap.size == math.inf:
        return gap
    return gap._replace(size=max((v.size for v in (one, other) if v.varies), default=0.0))
