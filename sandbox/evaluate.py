"""Losses and gradients of a graph at many probe points, in as few calls as its structure allows (torch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sandbox.contract import contract_named
from sandbox.dataflow import is_pointwise, lift_scalars
from sandbox.execute import compile_values
from sandbox.graph import LossGraph

Array = npt.NDArray[Any]


FAILURES = (RuntimeError, IndexError, ValueError, TypeError, ArithmeticError)
"""What torch raises where an operation does not fit its operands after all."""


class CannotCompute(Exception):
    """An operation of a verified graph failed on real tensors."""


@dataclass(frozen=True, eq=False)
class Points:
    """Probe inputs: batches laid end to end. Tensors in the contract's order, each (items, ...); one row of `scalars` per
    scalar argument, constant within a batch; `sizes` of the batches."""

    tensors: tuple[Array, ...]
    scalars: Array
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """The items of each batch."""
        ends = np.cumsum(self.sizes).tolist()
        return tuple(slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True))

    def take(self, items: Any, sizes: Sequence[int] | None = None) -> Points:
        """The chosen items (a slice or indices) as one batch, or as batches of the given sizes."""
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
    """`loss` (items,), `gradients` one array per learning argument, shaped like it, of the sum of each batch's losses.
    `connected`: whether autograd found any path to the policy. `watched`: further nodes' values, where asked for."""

    loss: Array
    gradients: tuple[Array, ...]
    connected: bool
    watched: tuple[Array, ...] = ()


class Evaluator:
    """Evaluates one graph. Pointwise graphs take all batches at once; the others see batch after batch."""

    def __init__(self, graph: LossGraph, watch: Sequence[int] = ()) -> None:
        contract = contract_named(graph.contract)
        self.graph = graph
        self.pointwise = is_pointwise(graph)
        self.lifted = lift_scalars(graph) if self.pointwise else None
        self.watch = tuple(watch)
        self._learns = [i for i, a in enumerate(contract.tensors) if a.learns]
        self._floating = [a.dtype == "float" for a in contract.tensors]
        self._order = [a.shape is not None for a in contract.arguments]
        self._program = compile_values(graph, (graph.output, *watch), self.lifted)

    def __call__(self, points: Points, dtype: torch.dtype = torch.float64) -> Evaluation:
        """Loss and gradients at `points`. Raises CannotCompute."""
        return _stitched([self._once(points.take(span), dtype) for span in self._calls(points)])

    def values(self, points: Points, dtype: torch.dtype = torch.float64) -> tuple[Array, ...]:
        """The watched nodes at `points`, no gradients. Raises CannotCompute."""
        with torch.no_grad():
            parts = [
                [_per_item(v, len(p)) for v in self._forward(self._tensors(p, dtype), p, dtype)[1:]]
                for p in map(points.take, self._calls(points))
            ]
        return tuple(np.concatenate(vs) for vs in zip(*parts, strict=True))

    def _calls(self, points: Points) -> Iterator[slice]:
        if self.lifted is not None:
            yield slice(None)
        elif self.pointwise:
            yield from _runs(points)
        else:
            yield from points.spans

    def _tensors(self, points: Points, dtype: torch.dtype) -> list[Tensor]:
        return [
            torch.from_numpy(t).to(dtype) if floating else torch.from_numpy(t)
            for t, floating in zip(points.tensors, self._floating, strict=True)
        ]

    def _forward(self, tensors: Sequence[Tensor], points: Points, dtype: torch.dtype) -> tuple[Any, ...]:
        vectors, numbers = iter(tensors), iter(points.scalars)
        arguments = [next(vectors) if is_tensor else self._scalar(next(numbers)) for is_tensor in self._order]
        try:
            return self._program(*arguments)
        except FAILURES as error:
            raise CannotCompute(str(error).splitlines()[0][:200]) from None

    def _scalar(self, row: Array) -> Any:
        return torch.from_numpy(row) if self.lifted is not None else float(row[0])

    def _once(self, points: Points, dtype: torch.dtype) -> Evaluation:
        tensors = self._tensors(points, dtype)
        for i in self._learns:
            tensors[i] = tensors[i].clone().requires_grad_()
        learning = [tensors[i] for i in self._learns]
        loss, *watched = self._forward(tensors, points, dtype)
        items = len(points.tensors[0])
        if not isinstance(loss, Tensor) or loss.shape != (items,):
            raise CannotCompute(f"the loss has shape {tuple(getattr(loss, 'shape', ()))}, expected ({items},)")
        return Evaluation(
            loss.detach().numpy(),
            _gradients(loss, learning),
            loss.requires_grad,
            tuple(_per_item(v, items) for v in watched),
        )


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
    """A value as an array with one entry per item; a number is the same for all."""
    array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
    return array if array.ndim else np.broadcast_to(array, (items,))


def _stitched(parts: Sequence[Evaluation]) -> Evaluation:
    if len(parts) == 1:
        return parts[0]
    return Evaluation(
        np.concatenate([p.loss for p in parts]),
        tuple(np.concatenate(gs) for gs in zip(*(p.gradients for p in parts), strict=True)),
        any(p.connected for p in parts),
        tuple(np.concatenate(ws) for ws in zip(*(p.watched for p in parts), strict=True)),
    )


def _runs(points: Points) -> Iterator[slice]:
    """Spans of neighbouring batches that share their scalars."""
    spans = points.spans
    start = 0
    for i, span in enumerate(spans):
        last = i + 1 == len(spans)
        if last or not np.array_equal(points.scalars[:, spans[i + 1].start], points.scalars[:, span.start]):
            yield slice(start, span.stop)
            start = span.stop
