"""`Comparison`: the points at which losses of a contract are compared (torch).

There are points for fingerprints, fresh points for two losses, and points for the comparison with known losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from sandbox.contracts.contract import Contract, contract_named
from sandbox.contracts.references import resolve
from sandbox.execute.evaluate import Array, Evaluator, Points, joined
from sandbox.numeric.measure.contract_inputs import inputs_of


@dataclass(frozen=True, eq=False)
class Region:
    """Batches of points. `exact`: gradients must agree at the points themselves, not only close by, since training starts there.
    `trained`: the points lie within the range in which an accepted loss is finite in float32."""

    points: Points
    exact: bool = False
    trained: bool = True


class Comparison:
    """Comparison for any contract, at points drawn from its `Inputs`. A contract's record may name a subclass with better points.

    The fixed points are part of the format of fingerprints: `fingerprints.VERSION` changes with them.
    """

    pairs: ClassVar[bool] = False
    """Whether items are pairs of completions and the scalar argument is beta. If so, losses are also compared up to a rescaled
    beta, and kinks may be slightly displaced."""
    columns: ClassVar[int] = 0
    """Length to which the gradients of an item are padded with zeros; 0 for no padding."""

    def __init__(self, contract: Contract) -> None:
        self.inputs = inputs_of(contract.name)

    def fingerprinted(self) -> tuple[Points, ...]:
        """The fixed points of a fingerprint; each entry can be evaluated in one call."""
        rng = np.random.default_rng(20240612)
        return (joined([self.inputs.points(rng, (2, 3, 7, 12), spread) for spread in (0.3, 1.0, 4.0)]),)

    def published(self, beta: float) -> tuple[Points, ...]:
        """Fixed points with usual inputs of training, for the comparison with known losses at the task's `beta`."""
        rng = np.random.default_rng(20261126)
        return (joined([self.inputs.points(rng, (8, 8, 8), spread) for spread in (0.3, 1.0, 2.5)]),)

    def regions(self, first: Evaluator, second: Evaluator, seed: int) -> list[Region]:
        """Fresh points for two losses, drawn from the seed. The second region has usual points."""
        rng = np.random.default_rng([seed, 5])
        return [
            Region(self.inputs.points(rng, (2, 8), 0.0), exact=True),
            Region(joined([self.inputs.points(rng, (2, 7, 24), spread) for spread in (0.5, 1.0, 3.0, 10.0)])),
            Region(self.inputs.points(rng, (16, 33, 64, 100, 128, 200), 1.0)),
        ]

    def ordinary(self, points: Points) -> Array:
        """For each item, whether its gradient counts in the typical size of its batch, (items,)."""
        return self.inputs.distance(points) <= self.inputs.usual

    def distances(self, points: Points) -> Array:
        """The distance from the start for each number of the gradients, in the order argument, item."""
        distance = self.inputs.distance(points)
        learning = (t for t, a in zip(points.tensors, self.inputs.contract.tensors, strict=True) if a.learns)
        return np.concatenate([np.repeat(distance, t[0].size) for t in learning])


@cache
def comparison_of(contract: str) -> Comparison:
    """The comparison of the contract called `contract`. Raises BrokenReference if its record names a class that does not exist."""
    record = contract_named(contract)
    made: Comparison = resolve(record.comparison, f"contract {contract!r}: comparison")(record)
    return made
