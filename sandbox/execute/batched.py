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

from sandbox.contracts.contract import contract_named
from sandbox.execute.interpreter import Context, Kernel, context_of, kernel_of
from sandbox.graph.dataflow import Lifted
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.scalars import compute
from sandbox.graph.types import Type

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
        values = steps.run(context, tensors, spread)
        return tuple(values[i] for i in wanted)

    return program


def compile_stacked(graph: VerifiedGraph) -> Program:
    """A function (wanted, tensors, rows) -> values of the nodes in `wanted`, for any loss.

    The tensors hold batches of one size, stacked along a new first axis; so do the values. Raises RuntimeError if an operation
    does not support this.
    """
    steps = _Steps(graph, graph.types)

    def program(wanted: Sequence[int], tensors: Sequence[Tensor], rows: Rows) -> tuple[Any, ...]:
        first = steps.named([t[0] for t in tensors])
        context = context_of(steps.tensors, first)
        numbers = steps.numbers(context, rows)
        varying = [i for i, v in numbers.items() if isinstance(v, tuple)]
        fixed = {i: v for i, v in numbers.items() if i not in varying}

        def one(*arguments: Tensor) -> tuple[Any, ...]:
            given = {**fixed, **dict(zip(varying, arguments[len(tensors) :], strict=True))}
            values = steps.run(context, arguments[: len(tensors)], given)
            return tuple(v if isinstance(v, Tensor) else torch.tensor(v) for v in (values[i] for i in wanted))

        columns = [_column(numbers[i], context) for i in varying]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # vmap warns when it falls back to one batch at a time
            out: tuple[Any, ...] = torch.vmap(one)(*tensors, *columns)
        return out

    return program


class _Steps:
    """The nodes of a graph, with Python numbers and tensors evaluated separately."""

    def __init__(self, graph: VerifiedGraph, types: Sequence[Type]) -> None:
        contract = contract_named(graph.contract)
        self.nodes = graph.nodes
        self.tensors = contract.tensors
        self.scalars = {a.name: place for place, a in enumerate(contract.scalars)}
        self.is_number = [t.is_number for t in graph.types]
        self.kernels: list[Kernel | None] = [
            None if number else kernel_of(n.op, types[i], [types[a] for a in n.args])
            for i, (n, number) in enumerate(zip(graph.nodes, self.is_number, strict=True))
        ]

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

    def run(self, context: Context, tensors: Sequence[Tensor], numbers: Mapping[int, Any]) -> list[Any]:
        """The values of all nodes."""
        given = self.named(tensors)
        values: list[Any] = []
        for i, (node, kernel) in enumerate(zip(self.nodes, self.kernels, strict=True)):
            if kernel is None:
                values.append(numbers[i])
            elif node.op == "input":
                values.append(given[node.attrs["name"]])
            else:
                values.append(kernel(context, node.attrs, *[values[a] for a in node.args]))
        return values


def _computed(op: str, args: Sequence[Any]) -> Any:
    if not any(isinstance(a, tuple) for a in args):
        return compute(op, *args)
    columns: list[Iterator[Any]] = [iter(a) if isinstance(a, tuple) else repeat(a) for a in args]
    return tuple(compute(op, *row) for row in zip(*columns, strict=False))


def _column(values: Sequence[Any], context: Context) -> Tensor:
    whole = all(type(v) is int for v in values)
    return torch.tensor(values, dtype=torch.int64 if whole else context.dtype, device=context.device)
