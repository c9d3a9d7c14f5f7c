"""The probe sets of the numeric tests: fixed probes, the same in every call, and drawn probes.

Fixed probes decide about notes, descriptors and everything that is close to a threshold, so that the same loss always gets the
same verdict. Drawn probes come from a seed that the author of a candidate cannot know. They refuse a loss that passes on the
fixed probes only, and use wider thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np

from sandbox.execute.evaluate import Points, joined
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.inputs import HIGHEST_LOGP, SIZE, ProbeSet, exact, levels, margin_points, split

FIXED = 20241126
"""The seed of the fixed probes."""
BETAS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35,
         0.4, 0.45, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0)  # fmt: skip
"""Betas that people train with: those in papers, and round numbers between them and a little beyond."""
START_BETAS = (0.005, 0.01, 0.025, 0.05, 0.25, 0.5, 1.0, 2.5, 4.0)
"""The betas, besides LINE_BETA, at which the start of training is tested."""
_SCALED = np.array([-5.0, -1.5, -0.5, -0.1, 0.3, 1.0, 5.0])
"""beta rho in one of the two batches at each beta."""
_MARGINS = np.array([-10.0, -2.0, -0.3, 0.02, 0.5, 3.0, 10.0])
"""rho in the other, nats: usual values for long at a small beta, and at the start of training at a large one."""


Names = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Sets:
    """Two probe sets with the same groups: the fixed one, and one drawn from a seed."""

    fixed: ProbeSet
    drawn: ProbeSet
    _joined: dict[tuple[Names, Names], Points] = field(default_factory=dict)

    def points(self, fixed: Names, drawn: Names) -> Points:
        """The named fixed groups, then the named drawn ones. Cached, since every candidate of this seed uses the same."""
        if (fixed, drawn) not in self._joined:
            self._joined[fixed, drawn] = joined([self.fixed.only(fixed).points, self.drawn.only(drawn).points])
        return self._joined[fixed, drawn]


@lru_cache(maxsize=16)
def pairs(seed: int) -> Sets:
    """The groups of `preference_probes`, and `betas`: batches at BETAS, or at drawn betas.

    The fixed set also has `starts`, a batch at the start for each of START_BETAS, and `beside_ties`, each pair of `ties` twice,
    moved by about one nat.
    """
    drawn = inputs.preference_probes(seed)
    groups = {**drawn.groups, "betas": at_betas(drawn_betas(seed), seed)}
    return Sets(_fixed_pairs(), ProbeSet.of(groups, drawn.order))


@cache
def _fixed_pairs() -> ProbeSet:
    fixed = inputs.preference_probes(FIXED)
    more = {"starts": _starts(), "beside_ties": _beside(fixed.groups["ties"]), "betas": at_betas(BETAS, FIXED)}
    return ProbeSet.of({**fixed.groups, **more}, fixed.order)


@lru_cache(maxsize=48)
def scores(seed: int, classes: int) -> Sets:
    """The groups of `classification_probes`."""
    return Sets(inputs.classification_probes(FIXED, classes), inputs.classification_probes(seed, classes))


def drawn_betas(seed: int) -> tuple[float, ...]:
    """As many betas as BETAS has, from its least to its largest."""
    rng = np.random.default_rng([seed, 3])
    return tuple(np.exp(rng.uniform(np.log(BETAS[0]), np.log(BETAS[-1]), len(BETAS))).tolist())


def at_betas(betas: Sequence[float], seed: int, times: int = 1) -> Points:
    """For each beta two batches of pairs, repeated `times` times: one with moderate beta rho, one with moderate rho."""
    rng = np.random.default_rng([seed, 4])
    return joined([_at_beta(rng, beta, times) for beta in betas])


def _at_beta(rng: np.random.Generator, beta: float, times: int) -> Points:
    scaled = np.tile(np.concatenate([_SCALED, beta * _MARGINS]), times)
    x = scaled * np.exp(rng.normal(0, 0.1, len(scaled)))
    chosen, rejected = split(x / beta, rng.normal(0.5, 0.7, len(x)), beta)
    level = np.exp(rng.uniform(0, np.log(1000.0), (2, len(x))))
    return margin_points(chosen, rejected, level, beta, (len(_SCALED),) * (2 * times))


def _starts() -> Points:
    level = levels(np.random.default_rng([FIXED, 5]), SIZE)
    zero = np.zeros(SIZE)
    return joined([margin_points(zero, zero, level, beta) for beta in START_BETAS])


def _beside(points: Points) -> Points:
    """Each pair moved in one direction, then each in the opposite one, so that its four log-probabilities differ."""
    rng = np.random.default_rng([FIXED, 6])
    shifts = rng.permuted(np.tile([-0.9, -0.3, 0.2, 0.7], (len(points), 1)), axis=1).T
    moved = [
        tuple(exact(np.minimum(t + sign * s, HIGHEST_LOGP)) for t, s in zip(points.tensors, shifts, strict=True))
        for sign in (-1, 1)
    ]
    return joined([Points(tensors, points.scalars, points.sizes) for tensors in moved])
