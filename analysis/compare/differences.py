"""Tests between strategies. One sample is one run: its value, not the score of a loss.

Runs with the same seed are matched, since a seed determines the training seeds and so the noise that both share: a paired t-test
over run seeds. Without enough matches, Welch's t-test (Welch 1947) compares all runs. Holm's method corrects for all tests that are
shown, and the minimum detectable difference is for that correction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

from analysis import stats

LEAST_MATCHED = 2
"""Fewest matched pairs for a paired test."""


class Measure(StrEnum):
    """What is compared of a run."""

    END = "end value"
    AREA = "mean over the curve"


@dataclass(frozen=True)
class Difference:
    """One strategy minus another in one measure. Without a test, `standard_error` and all after it are None."""

    first: str
    second: str
    measure: Measure
    difference: float
    runs: tuple[int, int]
    """Number of runs that the difference is computed from, of each strategy."""
    matched: bool
    """Whether the runs are paired by seed."""
    standard_error: float | None = None
    freedom: float | None = None
    """Degrees of freedom; for Welch's test a fraction."""
    p_value: float | None = None
    """Two-sided, not corrected."""
    adjusted: float | None = None
    """Holm's p-value over all tests of the comparison."""
    detectable: float | None = None
    """The true difference that would have been found with probability 0.8."""

    @property
    def distinguishable(self) -> bool:
        """Whether the two strategies differ past the noise of their run seeds."""
        return self.adjusted is not None and self.adjusted < stats.SIGNIFICANCE


Values = Mapping[tuple[str, ...], float]
"""The value of each run of a strategy, by what it is matched with."""


def differences(strategies: Mapping[str, Mapping[Measure, Values]]) -> tuple[Difference, ...]:
    """Every pair of strategies in every measure, corrected for the number of tests."""
    found = [
        difference(first, second, measure, ours[measure], theirs[measure])
        for (first, ours), (second, theirs) in combinations(strategies.items(), 2)
        for measure in Measure
    ]
    return corrected(found)


def difference(first: str, second: str, measure: Measure, ours: Values, theirs: Values) -> Difference:
    """One strategy minus another. Each has at least one run."""
    shared = [key for key in ours if key in theirs]
    if len(shared) >= LEAST_MATCHED and len(shared) == min(len(ours), len(theirs)):
        seeds = range(len(shared))
        pair = stats.paired({n: ours[shared[n]] for n in seeds}, {n: theirs[shared[n]] for n in seeds})
        assert pair is not None
        own = Difference(first, second, measure, _rounded(pair.difference, [*ours.values()]), (len(shared),) * 2, True)
        return replace(own, standard_error=pair.standard_error, freedom=pair.freedom, p_value=pair.p_value)
    return _welch(first, second, measure, list(ours.values()), list(theirs.values()))


def corrected(found: Sequence[Difference]) -> tuple[Difference, ...]:
    """The differences with Holm's p-values and minimum detectable differences over those that have a test."""
    tested = [d for d in found if d.p_value is not None]
    adjusted = iter(stats.holm([d.p_value for d in tested if d.p_value is not None]))
    return tuple(
        d if d.p_value is None else replace(d, adjusted=next(adjusted), detectable=_detectable(d, len(tested)))
        for d in found
    )


def _detectable(found: Difference, tests: int) -> float | None:
    # Below one degree of freedom the test finds no difference of any useful size.
    if found.standard_error is None or found.freedom is None or found.freedom < 1:
        return None
    return stats.minimum_detectable_difference(found.standard_error, found.freedom, comparisons=tests)


def _welch(first: str, second: str, measure: Measure, ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    middle = _rounded(stats.mean(ours) - stats.mean(theirs), ours)
    plain = Difference(first, second, measure, middle, (len(ours), len(theirs)), False)
    errors = [stats.standard_error(values) for values in (ours, theirs)]
    squares = [error**2 for error in errors if error is not None]
    total = math.fsum(squares)
    rounding = stats.ROUNDING * max(map(abs, (*ours, *theirs)))
    if len(squares) < 2 or math.sqrt(total) <= rounding:
        return plain
    sizes = (len(ours), len(theirs))
    freedom = total**2 / math.fsum(square**2 / (n - 1) for square, n in zip(squares, sizes, strict=True))
    error = math.sqrt(total)
    p_value = 2 * stats.student_cdf(-abs(middle) / error, freedom)
    return replace(plain, standard_error=error, freedom=freedom, p_value=p_value)


def _rounded(difference: float, values: Sequence[float]) -> float:
    """The difference, or 0 where it is a rounding error."""
    return 0.0 if abs(difference) <= stats.ROUNDING * max(map(abs, values)) else difference
