"""Points at which preference losses are compared: pairs at several betas and batch sizes (torch)."""

from __future__ import annotations

import numpy as np

from sandbox.execute.evaluate import Array, Evaluator, Points, joined
from sandbox.identity.points.comparison import Comparison, Region
from sandbox.identity.points.fresh_points import pair_regions
from sandbox.numeric.measure import inputs


class PairComparison(Comparison):
    """Comparison for the contract `preference`."""

    pairs = True

    def fingerprinted(self) -> tuple[Points, ...]:
        """Several betas and batch sizes, tails up to |beta rho| = 28, and the start."""
        rng = np.random.default_rng(20240612)
        batches = [(0.1, 8), (0.02, 8), (0.5, 8), (1.0, 8), (0.05, 17), (0.1, 2)]
        return (joined([inputs.start_points(), *(_pairs(rng, beta, items) for beta, items in batches)]),)

    def published(self, beta: float) -> tuple[Points, ...]:
        """The start, and usual margins in batches of several sizes."""
        rng, start = np.random.default_rng(20261126), inputs.start_points()
        parts = [Points(start.tensors, np.full_like(start.scalars, beta), start.sizes)]
        for items in (64, 16, 5):
            x = np.concatenate([rng.normal(0, 1.5, items - items // 4), rng.uniform(-6, 6, items // 4)])
            parts.append(_divided(rng, x, beta))
        return (joined(parts),)

    def regions(self, first: Evaluator, second: Evaluator, seed: int) -> list[Region]:
        """See `fresh_points`."""
        return pair_regions(first, second, seed)


def _pairs(rng: np.random.Generator, beta: float, items: int) -> Points:
    x = np.where(rng.random(items) < 0.5, rng.normal(0, 1.5, items), 28 * np.sinh(4 * rng.uniform(-1, 1, items)) / 27.3)
    return _divided(rng, x, beta)


def _divided(rng: np.random.Generator, x: Array, beta: float) -> Points:
    """Pairs with these values of beta rho, split at random between the two log-ratios."""
    chosen, rejected = inputs.split(x / beta, rng.normal(0.5, 0.7, len(x)), beta)
    return inputs.margin_points(chosen, rejected, np.exp(rng.uniform(0, 6, (2, len(x)))), beta)
