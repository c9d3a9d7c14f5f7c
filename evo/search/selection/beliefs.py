"""Estimates of each member's true fitness from noisy scores: empirical Bayes shrinkage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, median

from evo.search.selection.members import Member, fitness_of, measured


def fitness_posteriors(members: Sequence[Member], shrinkage: bool = True) -> dict[int, NormalDist]:
    """Posterior distribution of each measured member's true fitness, by candidate id.

    The prior is normal, with the median of the population and the part of its variance (`middle_and_variance`) that standard errors
    do not explain (empirical Bayes); flat without `shrinkage`. An unknown standard error counts as the standard deviation of the population.
    """
    able = [m for m in members if measured(m)]
    if not able:
        return {}
    middle, total = middle_and_variance([fitness_of(m) for m in able])
    known = [m.standard_error**2 for m in able if m.standard_error is not None]
    true = max(total - (fmean(known) if known else total / 2), 0.1 * total, 1e-12)
    posteriors = {}
    for m in able:
        noise = m.standard_error**2 if m.standard_error is not None else max(total, 1e-12)
        trust = true / (true + noise) if shrinkage else 1.0
        mean = middle + trust * (fitness_of(m) - middle)
        posteriors[m.candidate_id] = NormalDist(mean, math.sqrt(trust * noise))
    return posteriors


def middle_and_variance(fitness: Sequence[float]) -> tuple[float, float]:
    """The median, and the mean squared distance to it of the values that are not below it.

    Ruined losses lie far below the others. Counted in a variance, they would make the differences among good losses look small, and
    a score that is high by chance look certain.
    """
    middle = median(fitness)
    return middle, fmean((f - middle) ** 2 for f in fitness if f >= middle)


def ranked(members: Sequence[Member], shrinkage: bool = True) -> tuple[Member, ...]:
    """The measured members by posterior mean of fitness, best first; of equal ones the older first."""
    posteriors = fitness_posteriors(members, shrinkage)
    able = [m for m in members if measured(m)]
    return tuple(sorted(able, key=lambda m: (-posteriors[m.candidate_id].mean, m.candidate_id)))
