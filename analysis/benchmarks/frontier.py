"""Frontier of reward against KL over a grid of beta: its area, and the sensitivity of fitness to beta.

Beta controls how far the policy moves from the reference, so one training says little about a loss. A higher reward may be due to a
larger KL alone, and a "new" loss may be an old one at another beta. Over a grid of beta (the IMDb experiment of Lu et al. 2024,
section 6.3) two losses that differ only in the scale of beta have the same frontier.

Pure functions. Failed trainings are not points; the caller decides how to treat them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

PAPER_BETAS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""The grid of Lu et al. 2024 for IMDb."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """Result of training at one beta: KL from the reference in nats (per sequence), and reward."""

    kl: float
    reward: float
    beta: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """How fitness depends on beta."""

    best_beta: float
    mean_regret: float | None
    """Best fitness minus the mean over the grid, in units of fitness; 0 if beta has no effect. None if any beta failed."""
    octaves: float
    """Width of the range of betas around the best one whose fitness is within the margin of it: log2(largest / smallest)."""


def frontier(points: Iterable[Point]) -> tuple[Point, ...]:
    """The Pareto-optimal points (no other point has lower KL and higher reward), in order of KL; of equal ones the smaller beta."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.kl, -p.reward, p.beta)):
        if not kept or point.reward > kept[-1].reward:
            kept.append(point)
    return tuple(kept)


def area(points: Iterable[Point], kl_limit: float, reference: float = 0.0) -> float:
    """Mean over KL from 0 to `kl_limit` of the highest reward reached at that KL or below.

    `reference` is the reward of the reference, at KL 0. The frontier is a step function: rewards between the points were not
    measured. Raises ValueError for a limit that is not positive.
    """
    if not kl_limit > 0:
        raise ValueError(f"kl_limit must be positive, got {kl_limit}")
    total, at, level = 0.0, 0.0, reference
    for point in frontier(points):
        kl = min(max(point.kl, 0.0), kl_limit)
        total += level * (kl - at)
        at = kl
        if point.kl <= kl_limit:
            level = max(level, point.reward)
    return (total + level * (kl_limit - at)) / kl_limit


def robustness(fitness: Mapping[float, float | None], margin: float) -> Robustness | None:
    """Summary of fitness by beta. A beta whose training failed has fitness None; returns None if all failed.

    `margin`: difference in fitness that counts as zero. The width covers only betas that are contiguous in the grid.
    """
    scored = {beta: value for beta, value in fitness.items() if value is not None}
    if not scored:
        return None
    best_beta = min(scored, key=lambda beta: (-scored[beta], beta))
    best = scored[best_beta]
    failed = len(scored) < len(fitness)
    regret = None if failed else best - math.fsum(scored.values()) / len(scored)
    low, high = _around(best_beta, sorted(fitness), lambda beta: scored.get(beta, -math.inf) >= best - margin)
    return Robustness(best_beta, regret, math.log2(high / low))


def _around(start: float, grid: Sequence[float], good: Callable[[float], bool]) -> tuple[float, float]:
    low = high = grid.index(start)
    while low > 0 and good(grid[low - 1]):
        low -= 1
    while high + 1 < len(grid) and good(grid[high + 1]):
        high += 1
    return grid[low], grid[high]
