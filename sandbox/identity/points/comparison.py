"""Where two losses of a contract are compared: for fingerprints, afresh, and with published losses (torch)."""

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
    """Some batches to compare at. `exact`: the points themselves count, and not only what lies beside them, since training
    starts there. `trained`: within the range in which an accepted loss is finite in float32."""

    points: Points
    exact: bool = False
    trained: bool = True


class Comparison:
    """For any contract: at points drawn from its `Inputs`. A contract may name a subclass, whose points know more of it.

    Fixed points are part of the format of fingerprints: `fingerprints.VERSION` changes with them.
    """

    pairs: ClassVar[bool] = False
    """Whether items are pairs of completions and the number is beta: then losses are compared up to beta too, and a kink may
    lie a little elsewhere along a margin."""
    columns: ClassVar[int] = 0
    """Numbers of an item's gradient that are compared, the missing ones as zeros; 0 for as many as there are."""

    def __init__(self, contract: Contract) -> None:
        self.inputs = inputs_of(contract.name)

    def fingerprinted(self) -> tuple[Points, ...]:
        """The fixed points of a fingerprint; each entry can be evaluated in one call."""
        rng = np.random.default_rng(20240612)
        return (joined([self.inputs.points(rng, (2, 3, 7, 12), spread) for spread in (0.3, 1.0, 4.0)]),)

    def published(self, beta: float) -> tuple[Points, ...]:
        """Fixed points where training goes, for the comparison with published losses at the task's `beta`."""
        rng = np.random.default_rng(20261126)
        return (joined([self.inputs.points(rng, (8, 8, 8), spread) for spread in (0.3, 1.0, 2.5)]),)

    def regions(self, first: Evaluator, second: Evaluator, seed: int) -> list[Region]:
        """Fresh points for two losses, drawn from the seed. The second region is of usual points."""
        rng = np.random.default_rng([seed, 5])
        return [
            Region(self.inputs.points(rng, (2, 8), 0.0), exact=True),
            Region(joined([self.inputs.points(rng, (2, 7, 24), spread) for spread in (0.5, 1.0, 3.0, 10.0)])),
            Region(self.inputs.points(rng, (16, 33, 64, 100, 128, 200), 1.0)),
        ]

    def ordinary(self, points: Points) -> Array:
        """Which items say how large a gradient is in their batch."""
        return self.inputs.distance(points) <= self.inputs.usual

    def distances(self, points: Points) -> Array:
        """How far from the start each number of the gradients was taken: argument by argument, item by item."""
        distance = self.inputs.distance(points)
        learning = (t for t, a in zip(points.tensors, self.inputs.contract.tensors, strict=True) if a.learns)
        return np.concatenate([np.repeat(distance, t[0].size) for t in learning])


@cache
def comparison_of(contract: str) -> Comparison:
    """How losses of the contract of that name are compared. Raises BrokenReference where its record names nothing that is there."""
    record = contract_named(contract)
    made: Comparison = resolve(record.comparison, f"contract {contract!r}: comparison")(record)
    return made
