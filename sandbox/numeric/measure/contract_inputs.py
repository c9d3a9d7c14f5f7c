"""Where the inputs of a contract's losses lie, and how one of them is told, in numbers and in words."""

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
    """One subclass per contract, which its record names. Only `draw` has to be written."""

    usual: ClassVar[float] = math.inf
    """The distance up to which an item is an ordinary one, whose gradient says what size is typical."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    @abstractmethod
    def draw(self, rng: np.random.Generator, items: int, spread: float) -> Mapping[str, Array | float]:
        """One batch: an array (items, ...) for each tensor by name, a number for each scalar.

        `spread` is 0 where training starts, 1 where it usually is, and 10 as far out as a loss must still be finite. Sizes
        other than that of the batch are the same in every call.
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
        """How far from the start of training each item lies, (items,): the largest size of what learns of it."""
        learn = [t for t, a in zip(points.tensors, self.contract.tensors, strict=True) if a.learns]
        return np.asarray(np.stack([np.abs(t).reshape(len(t), -1).max(axis=1) for t in learn]).max(axis=0))

    def example(self, points: Points, item: int) -> dict[str, Any]:
        """One item in numbers: its inputs, and the size of its batch."""
        tensors = {a.name: t[item].tolist() for a, t in zip(self.contract.tensors, points.tensors, strict=True)}
        scalars = {a.name: float(row[item]) for a, row in zip(self.contract.scalars, points.scalars, strict=True)}
        return {**scalars, **tensors, "batch": batch_of(points, item)}

    def where(self, example: Mapping[str, Any]) -> str:
        """The place of an example, as in "at scores = [1, 0], ranks = [0, 1]"."""
        return "at " + ", ".join(f"{a.name} = {_told(example[a.name])}" for a in self.contract.arguments)

    def mildest(self, points: Points, offending: npt.ArrayLike) -> int:
        """The offending item that is nearest to the start, so that the example is the least far-fetched."""
        return int(np.where(offending, self.distance(points), np.inf).argmin())

    def columns(self, points: Points) -> list[str]:
        """What each number of an item's gradient is the slope by: the arguments that learn, in order, each element."""
        found = []
        for argument, tensor in zip(self.contract.tensors, points.tensors, strict=True):
            if argument.learns:
                places = list(np.ndindex(tensor.shape[1:]))
                found += [argument.name + "".join(f"[{k}]" for k in place) for place in places]
        return found


@cache
def inputs_of(contract: str) -> Inputs:
    """The inputs of the contract of that name. Raises BrokenReference where its record names none that is there."""
    record = contract_named(contract)
    made: Inputs = resolve(record.inputs, f"contract {contract!r}: inputs")(record)
    return made


def batch_of(points: Points, item: int) -> int:
    """The size of the batch that an item is in."""
    return next(size for size, s in zip(points.sizes, points.spans, strict=True) if s.start <= item < s.stop)


def _exact(values: Array, dtype: str) -> Array:
    """Numbers that float32 holds, as every probe is made of."""
    return values.astype(np.float32).astype(np.float64) if dtype == "float" else values


def _told(value: Any) -> str:
    return f"[{', '.join(map(_told, value))}]" if isinstance(value, list) else shown(value)
