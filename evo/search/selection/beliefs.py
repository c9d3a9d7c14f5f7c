"""The true fitness of each member as it is estimated from noisy scores: empirical Bayes shrinkage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, pvariance

from evo.search.selection.members import Member, fitness_of, measured


def shrunk(members: Sequence[Member]) -> dict[int, NormalDist]:
    """What is believed of each measured member's true fitness, by candidate id.

    Normal prior with the population's mean and the variance that its standard errors do not explain (empirical Bayes);
    an unknown standard error counts as the population's own spread.
    """
    able = [m for m in members if measured(m)]
    if not able:
        return {}
    fitness = [fitness_of(m) for m in able]
    middle, total = fmean(fitness), pvariance(fitness)
    known = [m.standard_error**2 for m in able if m.standard_error is not None]
    true = max(total - (fmean(known) if known else total / 2), 0.1 * total, 1e-12)
    beliefs = {}
    for m in able:
        noise = m.standard_error**2 if m.standard_error is not None else max(total, 1e-12)
        trust = true / (true + noise)
        mean = middle + trust * (fitness_of(m) - middle)
        beliefs[m.candidate_id] = NormalDist(mean, math.sqrt(trust * noise))
    return beliefs


def ranked(members: Sequence[Member]) -> tuple[Member, ...]:
    """The measured ones by shrunk fitness, best first; ties go to the older one."""
    beliefs = shrunk(members)
    able = [m for m in members if measured(m)]
    return tuple(sorted(able, key=lambda m: (-beliefs[m.candidate_id].mean, m.candidate_id)))
