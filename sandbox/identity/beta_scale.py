"""The natural beta of a loss: a value of beta that scales with beta in the loss.

If b(beta) = a(c beta), the natural beta of b is that of a, divided by c. So two losses are compared up to a rescaled beta at equal
multiples of their natural betas. Definition: for very small betas, every pair has the same gradient (apart from jumps of the
loss). The natural beta is the smallest one at which the share of the gradient on pairs with rho > 0, or on wide margins, differs
by 0.05 from its limit for small betas.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from sandbox.execute.evaluate import Array, CannotCompute, Evaluator, Points
from sandbox.identity.points.comparison import comparison_of

_RHO = np.array([1.0, 2.3, 5.1, 9.7, 17.3, 29.9, 51.1, 88.7])
_RHO = np.concatenate([_RHO, -_RHO])
_SHARE = np.array([0.35, 0.6, 0.8, 0.2, 0.5, 0.7, 0.4, 0.55, 0.65, 0.3, 0.45, 0.75, 0.25, 0.6, 0.5, 0.35])
"""Share of the margin in the chosen completion's log-ratio; irregular, so that losses that sort are not at a symmetric point."""
_WIDE = np.abs(_RHO) > 12
_SHIFT = 0.05
_LOWEST, _HIGHEST = 1e-6, 1e3
_TOLERANCE = 1e-10
_JUMP = 10.0
"""A function jumps in an interval in which it changes this many times as much as in those next to it."""


def natural_beta(evaluator: Evaluator) -> float | None:
    """The natural beta with a relative error of about 1e-9. None if the loss has no beta or beta does not change the shares."""
    if not comparison_of(evaluator.graph.contract).pairs or "beta" not in evaluator.graph.inputs:
        return None
    try:
        return _search(evaluator)
    except CannotCompute:
        return None


def _search(evaluator: Evaluator) -> float | None:
    grid = np.geomspace(_LOWEST, _HIGHEST, round(4 * math.log10(_HIGHEST / _LOWEST)) + 1)
    shares = _shares(evaluator, grid)
    # The limit is rounded so that it does not depend on where exactly the grid begins.
    limit = np.round(shares[:, :1], 2)
    excess = _excess(shares, limit)
    beyond = np.flatnonzero(excess > 0)
    if beyond.size == 0 or beyond[0] == 0:
        return None
    i = int(beyond[0])
    bracket = (math.log(grid[i - 1]), math.log(grid[i]))
    return _zoomed(evaluator, limit, bracket)


def _zoomed(evaluator: Evaluator, limit: Array, bracket: tuple[float, float]) -> float:
    """Evaluate 24 betas in the bracket at once, keep the interval of the first crossing, repeat.

    Most functions are smooth there, and then a cubic through the four nearest points gives the root in one more step. That is not
    tried where the function jumps.
    """
    low, high = bracket
    while high - low > _TOLERANCE:
        grid = np.linspace(low, high, 24)
        excess = _excess(_shares(evaluator, np.exp(grid)), limit)
        i = _first(excess)
        low, high = float(grid[i - 1]), float(grid[i])
        if _jumps(excess, i):
            continue
        guess = _cubic_root(grid, excess, i)
        reach = max(_TOLERANCE, 1e-4 * (high - low))
        near = guess + np.array([-reach, -reach / 100, reach / 100, reach])
        ends = _excess(_shares(evaluator, np.exp(near)), limit)
        if ends[0] <= 0 < ends[3]:
            j = _first(ends)
            return math.exp(near[j - 1] - ends[j - 1] * (near[j] - near[j - 1]) / (ends[j] - ends[j - 1]))
    return math.exp((low + high) / 2)


def _first(excess: Array) -> int:
    """The first index at which the excess is positive and the one before is not; the last index if there is none."""
    beyond = np.flatnonzero(excess > 0)
    return int(beyond[0]) if beyond.size and beyond[0] > 0 else len(excess) - 1


def _jumps(excess: Array, i: int) -> bool:
    """Whether the excess changes far more in the i-th interval than in those next to it."""
    steps = np.abs(np.diff(excess)).tolist()
    return bool(steps[i - 1] > _JUMP * max(steps[max(0, i - 2) : i - 1] + steps[i : i + 1]))


def _cubic_root(grid: Array, excess: Array, i: int) -> float:
    """The zero of the cubic through the four points around the i-th interval, by inverse interpolation."""
    start = min(max(i - 2, 0), len(grid) - 4)
    x, y = grid[start : start + 4], excess[start : start + 4]
    if np.unique(y).size < 4:
        return float(grid[i - 1 : i + 1].mean())
    weights = [np.prod([-y[k] / (y[j] - y[k]) for k in range(4) if k != j]) for j in range(4)]
    return float(np.clip(np.dot(weights, x), grid[i - 1], grid[i]))


def _shares(evaluator: Evaluator, betas: Array) -> Array:
    """Share of the gradient on pairs with rho > 0 and on wide margins, for each beta: (2, betas). NaN if it is not finite."""
    n = len(betas)
    points = _rounds(n).at(betas[None])
    with np.errstate(all="ignore"):
        push = np.abs(np.subtract(*evaluator(points).gradients)).reshape(n, -1)
        total = push.sum(axis=1)
        return np.stack([push[:, _RHO > 0].sum(axis=1) / total, push[:, _WIDE].sum(axis=1) / total])


@cache
def _rounds(count: int) -> Points:
    """Pairs with these margins, repeated `count` times."""
    base = np.full(len(_RHO), -128.0)
    chosen = base + _SHARE * _RHO
    tensors = tuple(np.tile(t, count) for t in (chosen, chosen - _RHO, base, base))
    return Points(tensors, np.zeros((1, count * len(_RHO))), (len(_RHO),) * count)


def _excess(shares: Array, limit: Array) -> Array:
    """By how much the shares depart from their limit beyond the threshold."""
    departure = np.abs(shares - limit).max(axis=0)
    return np.where(np.isfinite(departure), departure, 1.0) - _SHIFT
