"""A standard deviation pooled over groups of values that change one at a time."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from analysis import stats


class Pooling:
    """Keeps `stats.pool` of its groups: the same number, whatever the order of the changes."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, tuple[int, float]] = {}
        """Degrees of freedom and sum of squares of each group with at least two values."""
        self._pooled: stats.PooledDeviation | None = None
        self._fresh = True

    def set(self, key: Hashable, values: Sequence[float]) -> None:
        """Set the values of one group."""
        group = (
            (len(values) - 1, (len(values) - 1) * (stats.deviation(values) or 0.0) ** 2) if len(values) > 1 else None
        )
        if group != self._groups.get(key):
            self._fresh = False
            if group is None:
                del self._groups[key]
            else:
                self._groups[key] = group

    @property
    def pooled(self) -> stats.PooledDeviation | None:
        """The pooled deviation; None without a group of at least two values."""
        if not self._fresh:
            freedom = sum(n for n, _ in self._groups.values())
            squares = math.fsum(square for _, square in self._groups.values())
            self._pooled = stats.PooledDeviation(math.sqrt(squares / freedom), freedom) if freedom else None
            self._fresh = True
        return self._pooled
