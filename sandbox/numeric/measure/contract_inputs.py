"""`Inputs`: draws the inputs of a contract's losses, and describes one of them in numbers and in words."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sandbox.contracts.contract import Contract, contract_named
from sandbox.contracts.references import resolve
from sandbox.execute.evaluate import Array, Points
from sandbox.numeric.measure.findings import shown


class Inputs(ABC):
    """Interface to a contract's inputs. The contract's record names the subclass, which must define `draw` only."""

    usual: ClassVar[float] = math.inf
    """Items up to this distance count as usual. Their gradients determine the typical size."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    @abstractmethod
    def draw(self, rng: np.random.Generator, items: int, spread: float) -> Mapping[str, Array | float]:
        """One batch: an array (items, ...) for each tensor argument by name, a number for each scalar argument.

        `spread` is 0 for the start of training, 1 for usual inputs, and 10 for the largest inputs at which a loss must be finite.
        Sizes other than the batch size must be the same in every call.
        """

    def points(self, rng: np.random.Generator, sizes: Sequence[int], spread: float) -> Points:
        """Batches of these sizes."""
        drawn = [self.draw(rng, size, spread) for size in sizes]
        tensors = tuple(
            np.concatenate([_exact(np.asarray(batch[a.name]), a.dtype) for batch in drawn])
            for a in self.contract.tensors
        )
        rows = [
            np.concatenate([np.full(n, batch[a.name]) for n, batch in zip(sizes, drawn, strict=True)])
            for a in self.contract.scalars
        ]
        return Points(tensors, np.array(rows).reshape(len(rows), sum(sizes)), tuple(sizes))

    def distance(self, points: Points) -> Array:
        """Distance of each item from the start of training, shape (items,): its largest absolute number that gets a gradient."""
        learn = [t for t, a in zip(points.tensors, self.contract.tensors, strict=True) if a.learns]
        return np.asarray(np.stack([np.abs(t).reshape(len(t), -1).max(axis=1) for t in learn]).max(axis=0))

    def extents(self, points: Points) -> Array:
        """How far each item lies out in each direction: what a loss may read, and the opposites, (quantities, items)."""
        learn = [t.reshape(len(t), -1) for t, a in zip(points.tensors, self.contract.tensors, strict=True) if a.learns]
        return np.stack([bound for t in learn for bound in (t.max(axis=1), -t.min(axis=1))])

    def example(self, points: Points, item: int) -> dict[str, Any]:
        """One item as numbers by name: its inputs, and the size of its batch."""
        tensors = {a.name: t[item].tolist() for a, t in zip(self.contract.tensors, points.tensors, strict=True)}
        scalars = {a.name: float(row[item]) for a, row in zip(self.contract.scalars, points.scalars, strict=True)}
        return {**scalars, **tensors, "batch": batch_of(points, item)}

    def where(self, example: Mapping[str, Any]) -> str:
        """An example in words, such as "at scores = [1, 0], ranks = [0, 1]"."""
        return "at " + ", ".join(f"{a.name} = {_formatted(example[a.name])}" for a in self.contract.arguments)

    def mildest(self, points: Points, offending: npt.ArrayLike) -> int:
        """The index of the offending item that is nearest to the start, since it is the most realistic example."""
        return int(np.where(offending, self.distance(points), np.inf).argmin())

    def columns(self, points: Points) -> list[str]:
        """Names of the numbers in an item's gradient: every element of every argument that gets a gradient, in order."""
        found = []
        for argument, tensor in zip(self.contract.tensors, points.tensors, strict=True):
            if argument.learns:
                places = list(np.ndindex(tensor.shape[1:]))
                found += [argument.name + "".join(f"[{k}]" for k in place) for place in places]
        return found


@cache
def inputs_of(contract: str) -> Inputs:
    """The inputs of the contract called `contract`. Raises BrokenReference if its record names a class that does not exist."""
    record = contract_named(contract)
    made: Inputs = resolve(record.inputs, f"contract {contract!r}: inputs")(record)
    return made


def batch_of(points: Points, item: int) -> int:
    """The size of the batch that an item is in."""
    return next(size for size, s in zip(points.sizes, points.spans, strict=True) if s.start <= item < s.stop)


def _exact(values: Array, dtype: str) -> Array:
    """The values rounded to float32, since all probes are exact in float32."""
    return values.astype(np.float32).astype(np.float64) if dtype == "float" else values


def _formatted(value: Any) -> str:
    return f"[{', '.join(map(_formatted, value))}]" if isinstance(value, list) else shown(value)
