"""Losses and gradients of a graph at many test points, in as few calls as its structure allows (torch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sandbox.contracts.contract import contract_named
from sandbox.execute.batched import Program, compile_lifted, compile_stacked
from sandbox.execute.interpreter import compile_values
from sandbox.graph.dataflow import is_pointwise, lift_scalars
from sandbox.graph.loss_graph import VerifiedGraph

Array = npt.NDArray[Any]


FAILURES = (RuntimeError, IndexError, ValueError, TypeError, ArithmeticError)
"""What torch raises if an operation of a verified graph rejects its operands."""


class CannotCompute(Exception):
    """An operation of a verified graph failed on real tensors."""


@dataclass(frozen=True, eq=False)
class Points:
    """Test inputs: several batches, concatenated.

    `tensors` are in the contract's order, each (items, ...). `scalars` has one row per scalar argument and one column per item,
    constant within a batch. `sizes` are the batch sizes.
    """

    tensors: tuple[Array, ...]
    scalars: Array
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """The slice of the items of each batch."""
        ends = np.cumsum(self.sizes).tolist()
        return tuple(slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True))

    @cached_property
    def rows(self) -> list[list[float]]:
        """For each scalar argument, its value in each batch."""
        starts = [span.start for span in self.spans]
        return [[float(v) for v in row[starts]] for row in self.scalars]

    @cached_property
    def places(self) -> Tensor:
        """The index of each item's batch, shape (items,)."""
        return torch.from_numpy(np.repeat(np.arange(len(self.sizes)), self.sizes))

    @cached_property
    def by_size(self) -> dict[int, tuple[list[int], Tensor]]:
        """Batch size -> indices of the batches of that size, and indices of their items, shape (batches, size)."""
        found: dict[int, list[int]] = {}
        for batch, size in enumerate(self.sizes):
            found.setdefault(size, []).append(batch)
        starts = np.array([span.start for span in self.spans])
        return {
            size: (batches, torch.from_numpy(starts[batches][:, None] + np.arange(size)))
            for size, batches in found.items()
        }

    @cached_property
    def back(self) -> Tensor:
        """The position of each item in the order of `by_size`, shape (items,)."""
        order = torch.cat([places.ravel() for _, places in self.by_size.values()])
        return torch.argsort(order)

    def at(self, scalars: Array) -> Points:
        """The same tensors and batches with other scalars, shape (scalar arguments, batches)."""
        moved = Points(self.tensors, np.repeat(scalars, self.sizes, axis=1), self.sizes)
        known = {name: getattr(self, name) for name in ("spans", "places", "by_size", "back")}
        moved.__dict__.update(known, rows=scalars.tolist())
        return moved

    def take(self, items: Any, sizes: Sequence[int] | None = None) -> Points:
        """The items at a slice or indices, as one batch or as batches of the given sizes."""
        tensors = tuple(t[items] for t in self.tensors)
        return Points(tensors, self.scalars[:, items], tuple(sizes) if sizes is not None else (len(tensors[0]),))


def joined(parts: Sequence[Points]) -> Points:
    """All batches of all parts, in order."""
    return Points(
        tuple(np.concatenate(ts) for ts in zip(*(p.tensors for p in parts), strict=True)),
        np.concatenate([p.scalars for p in parts], axis=1),
        tuple(s for p in parts for s in p.sizes),
    )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Losses and gradients at test points.

    `loss` has shape (items,). `gradients` has one array per argument that learns, of its shape: the gradient of the sum of each
    batch's losses. `connected` says whether autograd found a path to an argument that learns.
    """

    loss: Array
    gradients: tuple[Array, ...]
    connected: bool

    def part(self, items: slice) -> Evaluation:
        """The evaluation restricted to some of the items."""
        return Evaluation(self.loss[items], tuple(g[items] for g in self.gradients), self.connected)


class Evaluator:
    """Evaluates one graph at many points. A pointwise loss takes all batches in one call, any other one call per batch size."""

    def __init__(self, graph: VerifiedGraph) -> None:
        contract = contract_named(graph.contract)
        self.graph = graph
        self.pointwise = is_pointwise(graph)
        lifted = lift_scalars(graph) if self.pointwise else None
        self._learns = [i for i, a in enumerate(contract.tensors) if a.learns]
        self._floating = [a.dtype == "float" for a in contract.tensors]
        self._is_tensor = [a.shape is not None for a in contract.arguments]
        self._at_once = compile_lifted(graph, lifted) if lifted is not None else None
        self._single: dict[tuple[int, ...], Callable[..., tuple[Any, ...]]] = {}

    @cached_property
    def _stacked(self) -> Program:
        return compile_stacked(self.graph)

    @classmethod
    def of(cls, graph: VerifiedGraph) -> Evaluator:
        """The evaluator of this graph object. The latest is cached, since numeric tests and fingerprint use the same graph."""
        global _latest
        evaluator = _latest
        if evaluator is None or evaluator.graph is not graph:
            evaluator = _latest = cls(graph)
        return evaluator

    def __call__(self, points: Points, dtype: torch.dtype = torch.float64) -> Evaluation:
        """Loss and gradients at `points`. Raises CannotCompute."""
        tensors = self._tensors(points, dtype)
        for i in self._learns:
            tensors[i].requires_grad_()
        (loss,) = self._values((self.graph.output,), points, tensors)
        if not isinstance(loss, Tensor) or loss.shape != (len(points),):
            raise CannotCompute(f"the loss has shape {tuple(getattr(loss, 'shape', ()))}, expected ({len(points)},)")
        gradients = _gradients(loss, [tensors[i] for i in self._learns])
        return Evaluation(loss.detach().numpy(), gradients, loss.requires_grad)

    def values(self, points: Points, nodes: Sequence[int]) -> tuple[Array, ...]:
        """The values of some nodes at `points`, one entry per item, without gradients. Raises CannotCompute."""
        with torch.no_grad():
            values = self._values(nodes, points, self._tensors(points, torch.float64))
        return tuple(_per_item(v, len(points)) for v in values)

    def inside(
        self,
        batches: Sequence[Array],
        scalars: Sequence[float],
        nodes: Sequence[int],
        dtype: torch.dtype = torch.float64,
    ) -> tuple[Array, ...]:
        """The values of some nodes of any shape in batches of one size, each (batches, ...). Raises CannotCompute.

        `batches` are the tensor arguments, (batches, size, ...) each; `scalars` are the other arguments, equal for all batches.
        """
        tensors = [
            torch.from_numpy(t).to(dtype) if floating else torch.from_numpy(t)
            for t, floating in zip(batches, self._floating, strict=True)
        ]
        try:
            with torch.no_grad():
                values = self._stack(nodes, tensors, [[s] * len(batches[0]) for s in scalars])
        except FAILURES as error:
            raise CannotCompute(str(error).splitlines()[0][:200]) from None
        return tuple(v.numpy() for v in values)

    def _tensors(self, points: Points, dtype: torch.dtype) -> list[Tensor]:
        return [
            torch.from_numpy(t).to(dtype, copy=True) if floating else torch.from_numpy(t)
            for t, floating in zip(points.tensors, self._floating, strict=True)
        ]

    def _values(self, wanted: Sequence[int], points: Points, tensors: Sequence[Tensor]) -> Sequence[Any]:
        try:
            if self._at_once is not None:
                return self._at_once(wanted, tensors, points.rows, points.places)
            return self._by_size(wanted, points, tensors)
        except FAILURES as error:
            raise CannotCompute(str(error).splitlines()[0][:200]) from None

    def _by_size(self, wanted: Sequence[int], points: Points, tensors: Sequence[Tensor]) -> Sequence[Any]:
        """One call per batch size; the items are then put back into their original order."""
        parts: list[list[Tensor]] = []
        for size, (batches, places) in points.by_size.items():
            chosen = [t[places] for t in tensors]
            rows = [[row[b] for b in batches] for row in points.rows]
            values = self._stack(wanted, chosen, rows)
            parts.append([_flat(v, len(batches), size) for v in values])
        return [torch.cat(column)[points.back] for column in zip(*parts, strict=True)]

    def _stack(
        self, wanted: Sequence[int], tensors: Sequence[Tensor], rows: Sequence[Sequence[float]]
    ) -> Sequence[Any]:
        count = len(tensors[0])
        if count > 1:
            try:
                return self._stacked(wanted, tensors, rows)
            except FAILURES:
                pass  # vmap does not support an operation: evaluate batch by batch below
        key = tuple(wanted)
        if key not in self._single:
            self._single[key] = compile_values(self.graph, key)
        one = self._single[key]
        results = [one(*self._arguments([t[k] for t in tensors], [row[k] for row in rows])) for k in range(count)]
        return [torch.stack([torch.as_tensor(v) for v in column]) for column in zip(*results, strict=True)]

    def _arguments(self, tensors: Sequence[Tensor], scalars: Sequence[float]) -> Iterator[Any]:
        """The arguments of one batch in the contract's order."""
        vectors, numbers = iter(tensors), iter(scalars)
        return (next(vectors) if is_tensor else next(numbers) for is_tensor in self._is_tensor)


_latest: Evaluator | None = None


def _flat(value: Tensor, batches: int, size: int) -> Tensor:
    """Stacked values as one entry per item; a value per batch is repeated for all its items."""
    if value.dim() == 1:
        value = value[:, None].expand(batches, size)
    return value.reshape(batches * size, *value.shape[2:])


def _gradients(loss: Tensor, learning: Sequence[Tensor]) -> tuple[Array, ...]:
    if not loss.requires_grad:
        return tuple(np.zeros(tuple(t.shape), dtype=loss.detach().numpy().dtype) for t in learning)
    try:
        found = torch.autograd.grad(loss.sum(), learning, allow_unused=True)
    except RuntimeError as error:
        raise CannotCompute(str(error).splitlines()[0][:200]) from None
    return tuple(
        g.numpy() if g is not None else np.zeros(tuple(t.shape), dtype=loss.detach().numpy().dtype)
        for g, t in zip(found, learning, strict=True)
    )


def _per_item(value: Any, items: int) -> Array:
    """A value as an array with one entry per item; a number is repeated."""
    array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
    return array if array.ndim else np.broadcast_to(array, (items,))
