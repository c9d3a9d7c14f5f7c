"""What a loss reaches over a grid of beta: reward against KL, the area under that frontier, and how much beta matters.

beta sets how far a policy may go from its reference, so one training tells little of a loss: a higher reward may only be a
longer way, and a "new" loss may only be an old one at another beta. Over a grid (the paper's IMDb experiment, Lu et al.
2024, section 6.3) two losses that differ by a rescaled beta trace the same frontier.

Pure functions; what a grid's trainings that failed are worth is the caller's to say, they are not points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

PAPER_BETAS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""The grid of Lu et al. 2024 for IMDb."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """Where training with one beta led: KL to the reference in nats (per sequence, say), and reward."""

    kl: float
    reward: float
    beta: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """How fitness depends on beta."""

    best_beta: float
    mean_regret: float | None
    """Best minus the mean over the grid, in units of fitness: 0 is indifference to beta. None where any beta failed."""
    octaves: float
    """Width of the betas around the best whose fitness is within the margin of it: log2(largest / smallest)."""


def frontier(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other one beats in both KL and reward, in order of KL; of equals the one with the smaller beta."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.kl, -p.reward, p.beta)):
        if not kept or point.reward > kept[-1].reward:
            kept.append(point)
    return tuple(kept)


def area(points: Iterable[Point], kl_limit: float) -> float:
    """Mean, over KL from 0 to `kl_limit`, of the reward that is reached at that KL or below it.

    The reference itself earns 0. Steps, not lines, between the points: a reward in between was not shown. Raises ValueError for
    a limit that is not positive.
    """
    if not kl_limit > 0:
        raise ValueError(f"kl_limit must be positive, got {kl_limit}")
    total, at, level = 0.0, 0.0, 0.0
    for point in frontier(points):
        kl = min(max(point.kl, 0.0), kl_limit)
        total += level * (kl - at)
        at = kl
        if point.kl <= kl_limit:
            level = max(level, point.reward)
    return (total + level * (kl_limit - at)) / kl_limit


def robustness(fitness: Mapping[float, float | None], margin: float) -> Robustness | None:
    """Summarise fitness by beta, None for a beta whose training failed; None where all did.

    `margin` is the difference in fitness that counts as none. Only betas next to each other in the grid extend the width.
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
