"""Estimates of each member's true fitness from noisy scores: empirical Bayes shrinkage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evo.search.selection.columns import Floats, Members, Positions
from evo.search.selection.members import Member


class Posteriors(NamedTuple):
    """Normal distributions of the members' true fitness, in their order; NaN for those that were not measured."""

    mean: Floats
    deviation: Floats

    @property
    def spread(self) -> float:
        """Deviation of the means, from the better half of them (`middle_and_variance`); 0 without any."""
        known = self.mean[~np.isnan(self.mean)]
        return math.sqrt(middle_and_variance(known)[1]) if known.size else 0.0


def fitness_posteriors(members: Sequence[Member], shrinkage: bool = True) -> Posteriors:
    """Posterior distribution of each measured member's true fitness.

    The prior is normal, with the median of the population and the part of its variance (`middle_and_variance`) that standard errors
    do not explain (empirical Bayes); flat without `shrinkage`. An unknown standard error counts as the root of that variance.
    """
    members = Members.of(members)
    key = ("posteriors", shrinkage)
    if key not in members.derived:
        members.derived[key] = _posteriors(members, shrinkage)
    found: Posteriors = members.derived[key]
    return found


def _posteriors(members: Members, shrinkage: bool) -> Posteriors:
    able, rows = members.measured, members.columns
    mean, deviation = np.full(len(members), math.nan), np.full(len(members), math.nan)
    fitness = rows["fitness"][able]
    if not fitness.size:
        return Posteriors(mean, deviation)
    noise = rows["error"][able] ** 2
    unknown = np.isnan(noise)
    middle, total = middle_and_variance(fitness)
    explained = total / 2 if unknown.all() else float(noise[~unknown].mean())
    true = max(total - explained, 0.1 * total, 1e-12)
    noise = np.where(unknown, max(total, 1e-12), noise)
    trust = true / (true + noise) if shrinkage else np.ones_like(noise)
    mean[able] = middle + trust * (fitness - middle)
    deviation[able] = np.sqrt(trust * noise)
    return Posteriors(mean, deviation)


def middle_and_variance(fitness: Floats) -> tuple[float, float]:
    """The median, and the mean squared distance to it of the values that are not below it.

    Ruined losses lie far below the others. Counted in a variance, they would make the differences among good losses look small, and
    a score that is high by chance look certain.
    """
    middle = float(np.median(fitness))
    return middle, float(np.mean((fitness[fitness >= middle] - middle) ** 2))


def ranked(posteriors: Posteriors, among: Positions | None = None, most: int | None = None) -> Positions:
    """Positions of the measured members by posterior mean of fitness, best first; of equal ones the older first.

    `among`: positions to choose from, by default all. `most`: how many to return.
    """
    places = np.flatnonzero(~np.isnan(posteriors.mean)) if among is None else among
    means = posteriors.mean[places]
    if most is not None and 0 < most < len(places):
        bar = np.partition(means, len(means) - most)[len(means) - most]
        places, means = places[means >= bar], means[means >= bar]
    return places[np.lexsort((places, -means))][:most]
