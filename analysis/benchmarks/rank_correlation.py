"""Rank correlation of two scores over the same losses: Kendall's tau-b with an exact p-value and a bootstrap interval.

There are about ten losses with published scores, so an interval is wide and only a strong correlation can be told from none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

from analysis.stats import SIGNIFICANCE, Interval

LEAST = 5
"""Fewest losses for an interval: with fewer, most resamples repeat the same two or three losses."""
MOST = 18
"""Most losses for the exact p-value, whose cost grows with two to this power."""
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Kendall's tau-b over `n` losses. None where it is not defined: below two losses, or if all values of one score are equal."""

    n: int
    tau: float | None = None
    interval: Interval | None = None
    """Percentile interval (95 %) of the bootstrap over losses. It covers the choice of losses, not the noise of their scores."""
    p_value: float | None = None
    """Two-sided and exact: the share of all n! assignments of one score to the other whose tau is at least as far from 0."""


def rank_correlation(ours: Mapping[str, float], theirs: Mapping[str, float]) -> RankCorrelation:
    """The rank correlation of two scores over the losses that have both. Ties are kept (tau-b, Kendall 1945)."""
    shared = sorted(ours.keys() & theirs.keys())
    x, y = (np.array([score[name] for name in shared], dtype=float) for score in (ours, theirs))
    if len(shared) < 2:
        return RankCorrelation(len(shared))
    signs = _signs(x), _signs(y)
    (tau,) = _tau_b(*signs, np.arange(len(shared))[None, :])
    if np.isnan(tau):
        return RankCorrelation(len(shared))
    return RankCorrelation(
        n=len(shared),
        tau=float(tau),
        interval=_interval(*signs) if len(shared) >= LEAST else None,
        p_value=exact_p(x.tolist(), y.tolist()) if len(shared) <= MOST else None,
    )


def exact_p(x: Sequence[float], y: Sequence[float]) -> float:
    """Two-sided p-value of Kendall's S (concordant minus discordant pairs) over all assignments of `y` to `x`, ties kept.

    The number of assignments with each S is counted without listing them. In the order of x, the values of y that were used so far
    are a set, and a polynomial in q counts its arrangements by S. Pairs that are tied in x count nothing, so each group of equal x
    takes its values of y at once. A polynomial is one whole number: the coefficient of q^k is in the k-th block of its bits.
    """
    n = len(x)
    block = factorial(n).bit_length()
    lower = [sum(1 << j for j in range(n) if y[j] < y[i]) for i in range(n)]
    higher = [sum(1 << j for j in range(n) if y[j] > y[i]) for i in range(n)]
    arranged = {0: 1}
    for value in sorted(set(x)):
        size, added = x.count(value), dict[int, int]()
        for used, counts in arranged.items():
            free = [i for i in range(n) if not used >> i & 1]
            for taken in combinations(free, size):
                # Each of the taken values makes between -m and m, m the number of used ones; m is added to have no negative power.
                rise = sum(used.bit_count() + _over(used, lower[i], higher[i]) for i in taken)
                after = used | sum(1 << i for i in taken)
                added[after] = added.get(after, 0) + (counts << (block * rise))
        arranged = added
    (total,) = arranged.values()
    zero = sum(1 for i in range(n) for j in range(n) if x[i] < x[j])
    seen = abs(sum(_over(1 << j, lower[i], higher[i]) for i in range(n) for j in range(n) if x[j] < x[i]))
    orders = [total >> (block * power) & ((1 << block) - 1) for power in range(2 * zero + 1)]
    return sum(number for power, number in enumerate(orders) if abs(power - zero) >= seen) / sum(orders)


def _over(used: int, lower: int, higher: int) -> int:
    """By how much more of the `used` values are lower than a value than are higher."""
    return (used & lower).bit_count() - (used & higher).bit_count()


def _signs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values[:, None] - values[None, :])


def _tau_b(x: NDArray[np.float64], y: NDArray[np.float64], drawn: NDArray[np.intp]) -> NDArray[np.float64]:
    """tau-b of each row of `drawn`, indices (m, n) into the sign matrices (n, n); NaN where all values of one score are equal."""
    first, second = drawn[:, :, None], drawn[:, None, :]
    over_x, over_y = x[first, second], y[first, second]
    total = (over_x * over_y).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / np.sqrt((over_x**2).sum((1, 2)) * (over_y**2).sum((1, 2))))


def _interval(x: NDArray[np.float64], y: NDArray[np.float64]) -> Interval:
    n = len(x)
    drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    low, high = np.nanquantile(_tau_b(x, y, drawn), (SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2))
    return Interval(float(low), float(high))
