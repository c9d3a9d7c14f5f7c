"""Figures of `bench_search.py`: curves over run seeds, trainings until a level is reached, slope of the offspring."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, linear_regression, median

SAMPLES = 2000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True)
class RunTrace:
    """One run: what led and when, and how good the offspring were."""

    led: Sequence[tuple[int, int, float]]
    """For each new leader: trainings and proposals until then, and its true fitness. The baseline leads before any proposal."""
    trainings: int
    """Trainings of the whole search."""
    proposals: int
    offspring: Sequence[tuple[int, float]]
    """Step and true fitness, relative to the baseline's, of proposals at equal distances."""

    def after_proposals(self, count: int) -> float:
        """True fitness of what led after so many proposals."""
        return next((true for _, at, true in reversed(self.led) if at <= count), self.led[0][2])

    def after_trainings(self, count: int) -> float:
        """True fitness of what led after so many trainings."""
        return next((true for at, _, true in reversed(self.led) if at <= count), self.led[0][2])


def curve_at(runs: Sequence[RunTrace], proposals: int) -> tuple[float, float, float]:
    """Mean true fitness of the leaders after so many proposals, with its interval over run seeds."""
    values = [run.after_proposals(proposals) for run in runs]
    return _with_interval(runs, lambda some: fmean(values[i] for i in some))


def paired_differences(runs: Sequence[RunTrace], others: Sequence[RunTrace], proposals: int) -> list[float]:
    """Differences of the leaders' true fitness after so many proposals, run seed by run seed."""
    pairs = zip(runs, others, strict=True)
    return [one.after_proposals(proposals) - other.after_proposals(proposals) for one, other in pairs]


def offspring_slope(runs: Sequence[RunTrace]) -> tuple[float, float, float]:
    """Change of the offspring's true fitness per proposal, mean of the runs' regression lines, with its interval."""
    slopes = [linear_regression(*zip(*run.offspring, strict=True)).slope for run in runs if len(run.offspring) > 1]
    return _with_interval(slopes, lambda some: fmean(slopes[i] for i in some))


def offspring_rise(
    runs: Sequence[RunTrace], statistic: Callable[[Sequence[float]], float] = median
) -> tuple[float, float, float]:
    """A statistic of the true fitness of all runs' offspring: last fifth of the proposals less the first, with its interval.

    By default the median. Unlike the mean, it does not depend on how many losses are ruined altogether.
    """

    def part(some: Sequence[int], fifth: int) -> float:
        values = [v for i in some for step, v in runs[i].offspring if fifth == min(5 * step // runs[i].proposals, 4)]
        return statistic(values) if values else math.nan

    return _with_interval(runs, lambda some: part(some, 4) - part(some, 0))


def trimmed_mean(values: Sequence[float]) -> float:
    """Mean without the lowest and the highest tenth."""
    cut = len(values) // 10
    return fmean(sorted(values)[cut : len(values) - cut])


def ratio_to_reach(
    runs: Sequence[RunTrace], reference: Sequence[RunTrace], *, stops_early: bool = False
) -> tuple[float, float, float]:
    """Trainings until the mean of `runs` is first as good as that of `reference` at its end, over the trainings of `reference`.

    Means are taken over run seeds. Infinite if `runs` are never as good. With `stops_early`, only those trainings of `reference`
    count after which its own mean was as good for the first time, as if one had known when to stop. The interval is over run seeds.
    """

    def ratio(some: Sequence[int], others: Sequence[int]) -> float:
        ours, theirs = [runs[i] for i in some], [reference[i] for i in others]
        level = fmean(run.after_proposals(run.proposals) for run in theirs)
        needed, charged = _first(ours, level), fmean(run.trainings for run in theirs)
        if stops_early:
            charged = _first(theirs, level) or charged
        return math.inf if needed is None else needed / charged

    rng = Random("trainings until a level")
    drawn = sorted(ratio(_resampled(rng, len(runs)), _resampled(rng, len(reference))) for _ in range(SAMPLES))
    return ratio(range(len(runs)), range(len(reference))), *_middle_95(drawn)


def _first(runs: Sequence[RunTrace], level: float) -> int | None:
    times = sorted({at for run in runs for at, *_ in run.led})
    return next((n for n in times if fmean(run.after_trainings(n) for run in runs) >= level - 1e-12), None)


def _with_interval(values: Sequence[object], statistic: Callable[[Sequence[int]], float]) -> tuple[float, float, float]:
    if not values:
        return math.nan, math.nan, math.nan
    rng = Random("bootstrap over run seeds")
    drawn = sorted(statistic(_resampled(rng, len(values))) for _ in range(SAMPLES))
    return statistic(range(len(values))), *_middle_95(drawn)


def _resampled(rng: Random, count: int) -> list[int]:
    return [rng.randrange(count) for _ in range(count)]


def _middle_95(drawn: Sequence[float]) -> tuple[float, float]:
    cut = int(0.025 * len(drawn))
    return drawn[cut], drawn[-1 - cut]
