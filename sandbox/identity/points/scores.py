"""Points at which classification losses are compared: two, three and ten classes, batches of several sizes (torch)."""

from __future__ import annotations

import numpy as np

from sandbox.execute.evaluate import Evaluator, Points, joined
from sandbox.identity.points.comparison import Comparison, Region
from sandbox.numeric.measure import inputs


class ScoreComparison(Comparison):
    """Comparison for the contract `classification`."""

    columns = max(inputs.CLASS_COUNTS)

    def fingerprinted(self) -> tuple[Points, ...]:
        rng = np.random.default_rng(20240612)
        return tuple(_spread(rng, classes, (0.5, 2.0, 8.0), (2, 3, 7, 12)) for classes in inputs.CLASS_COUNTS)

    def published(self, beta: float) -> tuple[Points, ...]:
        rng = np.random.default_rng(20261126)
        return tuple(_spread(rng, classes, (0.5, 1.5, 4.0), (8, 8, 8)) for classes in inputs.CLASS_COUNTS)

    def regions(self, first: Evaluator, second: Evaluator, seed: int) -> list[Region]:
        """The probes of the numeric tests for this seed, and larger batches."""
        rng, found = np.random.default_rng([seed, 5]), []
        for classes in inputs.CLASS_COUNTS:
            groups = inputs.classification_probes(seed, classes).groups
            found.append(Region(joined([groups[g] for g in ("near", "wide", "odd", "pair")])))
            found.append(Region(joined([groups["start"], groups["equal"]]), exact=True))
            found.append(Region(joined([_scores(rng, size, classes) for size in (16, 33, 64, 100, 128, 200, 512)])))
        return found


def _spread(rng: np.random.Generator, classes: int, spreads: tuple[float, ...], sizes: tuple[int, ...]) -> Points:
    """24 items, a third of them at each standard deviation of the scores."""
    items = sum(sizes)
    logits = rng.normal(0, 1, (items, classes)) * np.repeat(spreads, items // len(spreads))[:, None]
    return Points((logits, rng.integers(0, classes, items)), np.zeros((0, items)), sizes)


def _scores(rng: np.random.Generator, items: int, classes: int) -> Points:
    spread = rng.choice([0.5, 2.0, 6.0], (items, 1))
    return Points(
        (rng.normal(0, 1, (items, classes)) * spread, rng.integers(0, classes, items)), np.zeros((0, items)), (items,)
    )
