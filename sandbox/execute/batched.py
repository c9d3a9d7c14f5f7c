"""Evaluation of many batches in one call (torch), for the numeric tests; training makes one call per batch.

Arithmetic on beta and on sizes is done on Python numbers, batch by batch, so that the loss equals the one in training: 1 / 0 and
log(0) are NaN as Python numbers here, and infinite as tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from sandbox.contracts.contract import BATCH, contract_named
from sandbox.execute.interpreter import Context, Kernel, context_of, kernel_of, needed_for
from sandbox.graph.dataflow import Lifted
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.scalars import compute
from sandbox.graph.types import Dim, Type

Rows = Sequence[Sequence[float]]
"""For each scalar argument, its value in each batch."""
Program = Callable[..., tuple[Any, ...]]


def compile_lifted(graph: VerifiedGraph, lifted: Lifted) -> Program:
    """A function (wanted, tensors, rows, places) -> values of the nodes in `wanted`, for pointwise losses.

    The tensors hold all batches, concatenated. `places`, shape (items,), is the index of each item's batch.
    """
    steps = _Steps(graph, lifted.types)

    def program(wanted: Sequence[int], tensors: Sequence[Tensor], rows: Rows, places: Tensor) -> tuple[Any, ...]:
        context = context_of(steps.tensors, steps.named(tensors))
        numbers = steps.numbers(context, rows)
        spread = {i: _column(v, context)[places] if isinstance(v, tuple) else v for i, v in numbers.items()}
        values = steps.run(context, tensors, spread, wanted)
        return tuple(values[i] for i in wanted)

    return program


def compile_stacked(graph: VerifiedGraph) -> Program:
    """A function (wanted, tensors, rows) -> values of the nodes in `wanted`, for any loss.

    The tensors hold batches of one size, stacked along a new first axis; so do the values. Raises RuntimeError if an operation
    does not support this.
    """
    by_rows = _attrs_by_rows(graph)
    return _mapped(graph) if by_rows is None else _by_rows(graph, by_rows)


def _mapped(graph: VerifiedGraph) -> Program:
    """The stacked program of any graph, by torch.vmap."""
    steps = _Steps(graph, graph.types)

    def program(wanted: Sequence[int], tensors: Sequence[Tensor], rows: Rows) -> tuple[Any, ...]:
        context = context_of(steps.tensors, steps.named([t[0] for t in tensors]))
        numbers = steps.numbers(context, rows)
        varying = [i for i, v in numbers.items() if isinstance(v, tuple)]
        fixed = {i: v for i, v in numbers.items() if i not in varying}

        def one(*arguments: Tensor) -> tuple[Any, ...]:
            given = {**fixed, **dict(zip(varying, arguments[len(tensors) :], strict=True))}
            values = steps.run(context, arguments[: len(tensors)], given, wanted)
            return tuple(v if isinstance(v, Tensor) else torch.tensor(v) for v in (values[i] for i in wanted))

        columns = [_column(numbers[i], context) for i in varying]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # vmap warns when it falls back to one batch at a time
            out: tuple[Any, ...] = torch.vmap(one)(*tensors, *columns)
        return out

    return program


def _by_rows(graph: VerifiedGraph, attrs: Sequence[Mapping[str, Any]]) -> Program:
    """The stacked program of a graph of vectors and single numbers: a batch is a row, and a single number a row of length one.

    These are the operations that torch.vmap computes, without its cost for each of them.
    """
    steps = _Steps(graph, graph.types, attrs)

    def program(wanted: Sequence[int], tensors: Sequence[Tensor], rows: Rows) -> tuple[Any, ...]:
        context = context_of(steps.tensors, steps.named([t[0] for t in tensors]))
        numbers = steps.numbers(context, rows)
        spread = {i: _column(v, context)[:, None] if isinstance(v, tuple) else v for i, v in numbers.items()}
        values = steps.run(context, tensors, spread, wanted)
        return tuple(values[i] if graph.types[i].dims else _one_each(values[i], len(tensors[0])) for i in wanted)

    return program


def _attrs_by_rows(graph: VerifiedGraph) -> list[Mapping[str, Any]] | None:
    """The attributes of each node for batches that are rows; None if the graph has other shapes or other operations."""
    found: list[Mapping[str, Any]] = []
    for node, type_ in zip(graph.nodes, graph.types, strict=True):
        attrs, rule = node.attrs, OPERATIONS[node.op].rule
        if type_.dims not in ((), _VECTOR):
            return None
        if rule in _OVER_ITEMS:
            if graph.types[node.args[0]].dims != _VECTOR or attrs.get("keepdim"):
                return None
            attrs = {**attrs, **_OVER_ITEMS[rule]}
        elif not (type_.is_number or node.op in _AS_IT_IS or rule == "elementwise"):
            return None
        found.append(attrs)
    return found


_VECTOR = (Dim.of(BATCH),)
_OVER_ITEMS: Mapping[str, Mapping[str, Any]] = {
    "reduce": {"dim": 1, "keepdim": True},
    "reduce_one": {"dim": 1, "keepdim": True},
    "along": {"dim": 1},
}
"""Rules of operations that combine the items of a batch, and what makes their kernels combine the items of each row."""
_AS_IT_IS = frozenset({"input", "detach", "full_like"})


def _one_each(value: Any, count: int) -> Tensor:
    """One number for each batch, (count,): of a column, or the same number for all."""
    tensor = value if isinstance(value, Tensor) else torch.tensor(value)
    return tensor[:, 0] if tensor.dim() else tensor.expand(count)


class _Steps:
    """The nodes of a graph, with Python numbers and tensors evaluated separately. `attrs` replaces the nodes' own attributes."""

    def __init__(
        self, graph: VerifiedGraph, types: Sequence[Type], attrs: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        contract = contract_named(graph.contract)
        self.graph, self.nodes = graph, graph.nodes
        self.attrs = attrs or [node.attrs for node in graph.nodes]
        self.tensors = contract.tensors
        self.scalars = {a.name: place for place, a in enumerate(contract.scalars)}
        self.is_number = [t.is_number for t in graph.types]
        self.kernels: list[Kernel | None] = [
            None if number or n.op == "input" else kernel_of(n.op, types[i], [types[a] for a in n.args])
            for i, (n, number) in enumerate(zip(graph.nodes, self.is_number, strict=True))
        ]
        self._plans: dict[tuple[int, ...], list[tuple[int, Kernel | None, tuple[int, ...], Mapping[str, Any]]]] = {}

    def named(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        return {a.name: t for a, t in zip(self.tensors, tensors, strict=True)}

    def numbers(self, context: Context, rows: Rows) -> dict[int, Any]:
        """The value of each Python-number node: one number, or a tuple with one number per batch if they differ."""
        values: dict[int, Any] = {}
        for i, node in enumerate(self.nodes):
            if not self.is_number[i]:
                continue
            if node.op == "const":
                values[i] = node.attrs["value"]
            elif node.op == "size":
                values[i] = context.sizes[node.attrs["symbol"]]
            elif node.op == "input":
                row = rows[self.scalars[node.attrs["name"]]]
                same = all(v == row[0] for v in row)
                values[i] = row[0] if same else tuple(row)
            else:
                values[i] = _computed(node.op, [values[a] for a in node.args])
        return values

    def run(
        self, context: Context, tensors: Sequence[Tensor], numbers: Mapping[int, Any], wanted: Sequence[int]
    ) -> list[Any]:
        """The values of all nodes that `wanted` depends on; None for the others."""
        given = self.named(tensors)
        values: list[Any] = [None] * len(self.nodes)
        for i, kernel, args, attrs in self._plan(tuple(wanted)):
            if kernel is None:
                values[i] = numbers[i] if self.is_number[i] else given[attrs["name"]]
            else:
                values[i] = kernel(context, attrs, *[values[a] for a in args])
        return values

    def _plan(self, wanted: tuple[int, ...]) -> list[tuple[int, Kernel | None, tuple[int, ...], Mapping[str, Any]]]:
        """Index, kernel, operands and attributes of each node that `wanted` depends on. Sources have no kernel."""
        if wanted not in self._plans:
            self._plans[wanted] = [
                (i, self.kernels[i], self.nodes[i].args, self.attrs[i]) for i in needed_for(self.graph, wanted)
            ]
        return self._plans[wanted]


def _computed(op: str, args: Sequence[Any]) -> Any:
    if not any(isinstance(a, tuple) for a in args):
        return compute(op, *args)
    columns: list[Iterator[Any]] = [iter(a) if isinstance(a, tuple) else repeat(a) for a in args]
    return tuple(compute(op, *row) for row in zip(*columns, strict=False))


def _column(values: Sequence[Any], context: Context) -> Tensor:
    whole = all(type(v) is int for v in values)
    return torch.tensor(values, dtype=torch.int64 if whole else context.dtype, device=context.device)
