"""VerifiedGraph -> callable on torch tensors: an interpreter over a table of kernels. No source text is compiled or executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from sandbox.contracts.contract import Argument, contract_named
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph, verify
from sandbox.graph.operations import OPERATIONS, computes_in_floats
from sandbox.graph.operations.parts.kernels import ByTypes, Context, Kernel
from sandbox.graph.scalars import compute
from sandbox.graph.types import Type

__all__ = [
    "Context",
    "Kernel",
    "compile_loss",
    "compile_values",
    "context_of",
    "kernel_of",
    "needed_for",
    "tensor_kernel",
]


def compile_loss(graph: LossGraph) -> Callable[..., Tensor]:
    """A function of the contract's arguments, in order, that returns the losses, shape (batch,).

    A graph that is not verified yet is verified first. Tensors may have any floating dtype and device; the computation
    uses the dtype and device of the first floating one. Raises GraphError for a graph that does not verify.
    """
    return _program(verify(graph), (graph.output,), single=True)


def compile_values(graph: VerifiedGraph, wanted: Sequence[int]) -> Callable[..., tuple[Any, ...]]:
    """Like `compile_loss`, but returns the values of the nodes in `wanted`: the numeric tests examine intermediate values.

    Only the nodes that these depend on are computed.
    """
    return _program(graph, tuple(wanted), single=False)


def _program(graph: VerifiedGraph, wanted: tuple[int, ...], *, single: bool) -> Callable[..., Any]:
    if not isinstance(graph, VerifiedGraph):
        raise TypeError("only a VerifiedGraph is run: give the graph to sandbox.graph.verify first")
    contract = contract_named(graph.contract)
    names = [a.name for a in contract.arguments]
    types = graph.types
    steps = [
        (i, n.op, kernel_of(n.op, types[i], [types[a] for a in n.args]), n.args, n.attrs)
        for i, n in ((i, graph.nodes[i]) for i in needed_for(graph, wanted))
    ]

    def loss(*arguments: Any) -> Any:
        if len(arguments) != len(names):
            raise TypeError(f"the loss takes {len(names)} arguments ({', '.join(names)}), got {len(arguments)}")
        given = dict(zip(names, arguments, strict=True))
        context = context_of(contract.tensors, given)
        values: list[Any] = [None] * len(types)
        for i, op, kernel, args, attrs in steps:
            if op == "input":
                values[i] = given[attrs["name"]]
            else:
                values[i] = kernel(context, attrs, *[values[a] for a in args])
        return values[wanted[0]] if single else tuple(values[i] for i in wanted)

    return loss


def needed_for(graph: VerifiedGraph, wanted: Sequence[int]) -> list[int]:
    """The nodes that must be computed for the values of `wanted`, in order of evaluation."""
    needed = set(wanted)
    for i in range(max(wanted, default=-1), -1, -1):
        if i in needed:
            needed.update(graph.nodes[i].args)
    return sorted(needed)


def context_of(tensors: Sequence[Argument], given: Mapping[str, Any]) -> Context:
    """Dtype, device and sizes of a call, from its tensor arguments. Raises ValueError if their shapes are inconsistent."""
    sizes: dict[str, int] = {}
    floating = None
    for argument in tensors:
        value = given[argument.name]
        assert argument.shape is not None
        if len(value.shape) != len(argument.shape):
            raise ValueError(f"{argument.name} has shape {tuple(value.shape)}, expected ({', '.join(argument.shape)})")
        for symbol, size in zip(argument.shape, value.shape, strict=True):
            if sizes.setdefault(symbol, size) != size:
                raise ValueError(
                    f"{argument.name} has shape {tuple(value.shape)}, but {symbol} is {sizes[symbol]} elsewhere"
                )
        if floating is None and value.dtype.is_floating_point:
            floating = value
    assert floating is not None
    return Context(floating.dtype, floating.device, sizes)


_KERNELS: Final = {name: operation.kernel(torch) for name, operation in OPERATIONS.items()}


def kernel_of(op: str, result: Type, operands: Sequence[Type]) -> Kernel:
    """The kernel of one operation for operands of these types, called with context, attributes and operands."""
    if operands and all(t.is_number for t in operands) and OPERATIONS[op].scalar:
        return _number_kernel(op)
    made = _KERNELS[op]
    if isinstance(made, ByTypes):
        return made.of(result, operands)
    needs_cast = computes_in_floats(op, result.dtype) and any(not t.is_number and t.dtype != "float" for t in operands)
    return _casting(made) if needs_cast else made


def tensor_kernel(op: str) -> Kernel:
    """The kernel of one operation on tensors only. Raises KeyError for an operation whose kernel depends on types."""
    made = _KERNELS[op]
    if isinstance(made, ByTypes):
        raise KeyError(op)
    return made


def _casting(kernel: Kernel) -> Kernel:
    def cast(context: Context, attrs: Mapping[str, Any], *args: Any) -> Any:
        return kernel(
            context,
            attrs,
            *[a.to(context.dtype) if isinstance(a, Tensor) and not a.dtype.is_floating_point else a for a in args],
        )

    return cast


def _number_kernel(op: str) -> Kernel:
    return lambda context, attrs, *args: compute(op, *args)
