"""Static dataflow analysis of a graph: which values are pointwise, and which depend on arguments that learn. No torch.

A value is pointwise if its entry for an item depends on that item alone. A provably pointwise loss is evaluated at thousands of
points in one call; any other loss is evaluated batch by batch.

An axis of several concatenated batches (torch.cat) counts as an item axis too: entry j belongs to item j modulo the batch size,
until the axis is split into these batches again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from sandbox.contracts.contract import BATCH, Contract, contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.shapes import ShapeError, infer
from sandbox.graph.types import ONE, Type, elements

MIXED = -2
"""The value depends on several items, on an item's position, or on the batch size."""
FREE = -1
"""The value does not depend on any item."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """The contract and types of a graph whose scalar arguments are replaced by vectors with one number per item."""

    contract: Contract
    types: tuple[Type, ...]


def is_pointwise(graph: VerifiedGraph) -> bool:
    """Whether each item's loss provably depends on that item alone, for every batch size. Linear time."""
    return _item_axes(graph, graph.types, contract_named(graph.contract))[graph.output] == 0


def lift_scalars(graph: VerifiedGraph) -> Lifted | None:
    """The types with a separate beta for each item, or None if that is not provably the same pointwise function."""
    contract = _with_vectors(graph.contract)
    types: list[Type] = []
    for node in graph.nodes:
        try:
            types.append(infer(OPERATIONS[node.op], [types[a] for a in node.args], node.attrs, contract))
        except ShapeError:
            return None
    lifted = tuple(types)
    return Lifted(contract, lifted) if _item_axes(graph, lifted, contract)[graph.output] == 0 else None


def depends_on_trainable(graph: VerifiedGraph) -> tuple[bool, ...]:
    """For each node, whether its value depends on an argument that learns, even if only through a detached term."""
    contract = contract_named(graph.contract)
    depends: list[bool] = []
    for node in graph.nodes:
        own = node.op == "input" and contract.argument(node.attrs["name"]).learns
        depends.append(own or any(depends[a] for a in node.args))
    return tuple(depends)


@cache
def _with_vectors(name: str) -> Contract:
    contract = contract_named(name)
    return replace(
        contract, arguments=tuple(a if a.shape is not None else replace(a, shape=(BATCH,)) for a in contract.arguments)
    )


def _item_axes(graph: VerifiedGraph, types: Sequence[Type], contract: Contract) -> list[int]:
    """For each node, the axis along which entry i depends on item i (modulo the batch size) alone, or MIXED, or FREE."""
    axes: list[int] = []
    for i, node in enumerate(graph.nodes):
        own = [axes[a] for a in node.args]
        if MIXED in own:
            axes.append(MIXED)
            continue
        axes.append(_only(_item_axis(node, own, [types[a] for a in node.args], types[i], contract), types[i]))
    return axes


def _only(axis: int, result: Type) -> int:
    """The item axis, if no other axis has the length of the batch; else MIXED."""
    places = _places(result)
    if axis == FREE:
        return places  # the same number for each item
    return axis if axis == places else MIXED


def _item_axis(node: Node, axes: Sequence[int], operands: Sequence[Type], result: Type, contract: Contract) -> int:
    if not node.args:
        return _source_axis(node, result, contract)
    rule = OPERATIONS[node.op].rule
    if rule in _CREATES:
        return _places(result) if axes[-1] == FREE else MIXED
    if all(a == FREE for a in axes):
        return FREE
    if rule == "elementwise":
        rank = len(result.dims)
        return _agreed(a + rank - len(t.dims) for a, t in zip(axes, operands, strict=True) if a != FREE)
    if rule in _ALL_OPERANDS:
        if _agreed(axes) == MIXED:
            return MIXED
    elif any(a != FREE for a in axes[1:]):
        return MIXED
    follow = _FOLLOW.get(rule)
    return MIXED if follow is None else follow(axes[0], node.attrs, operands[0], result)


def _source_axis(node: Node, result: Type, contract: Contract) -> int:
    if node.attrs.get("symbol") == BATCH:
        return MIXED
    return FREE if node.op != "input" else _places(result)


def _places(result: Type) -> int:
    """The only axis whose length depends on the batch, if it is a multiple of the batch size. FREE if there is none, else MIXED."""
    found = [i for i, d in enumerate(result.dims) if d.constant is None and any(BATCH in s for s, _ in d.terms)]
    if not found:
        return FREE
    return found[0] if len(found) == 1 and result.dims[found[0]].batches(BATCH) else MIXED


def _agreed(axes: Iterable[int]) -> int:
    found = set(axes)
    return found.pop() if len(found) == 1 else MIXED


def _reduced(axis: int, attrs: Mapping[str, Any], operand: Type, _: Type) -> int:
    rank = len(operand.dims)
    dim = attrs["dim"]
    gone: set[int] = {d % rank for d in (range(rank) if dim is None else dim if isinstance(dim, tuple) else (dim,))}
    if axis in gone:
        return MIXED
    return axis if attrs["keepdim"] else axis - sum(d < axis for d in gone)


def _untouched(axis: int, attrs: Mapping[str, Any], operand: Type, _: Type) -> int:
    at: int = attrs["dim"] % len(operand.dims)
    return MIXED if at == axis else axis


def _selected(axis: int, attrs: Mapping[str, Any], operand: Type, _: Type) -> int:
    at: int = attrs["dim"] % len(operand.dims)
    return MIXED if at == axis else axis - (at < axis)


def _unsqueezed(axis: int, attrs: Mapping[str, Any], operand: Type, result: Type) -> int:
    at: int = attrs["dim"] % len(result.dims)
    return axis + (at <= axis)


def _squeezed(axis: int, attrs: Mapping[str, Any], operand: Type, _: Type) -> int:
    dim = attrs["dim"]
    gone: Iterable[int] = range(len(operand.dims)) if dim is None else (dim % len(operand.dims),)
    return axis - sum(d < axis and operand.dims[d] == ONE for d in gone)


def _reshaped(axis: int, _: Mapping[str, Any], operand: Type, result: Type) -> int:
    """The result's axis with as many entries behind it as the item axis had: entry n belongs to item n // (entries behind)."""
    behind = elements(operand.dims[axis + 1 :])
    for i, d in enumerate(result.dims):
        if d.batches(BATCH) and elements(result.dims[i + 1 :]) == behind:
            return i
    return MIXED


def _transposed(axis: int, attrs: Mapping[str, Any], operand: Type, _: Type) -> int:
    a: int = attrs["dim0"] % len(operand.dims)
    b: int = attrs["dim1"] % len(operand.dims)
    return {a: b, b: a}.get(axis, axis)


_CREATES = frozenset({"full", "full_like"})
_ALL_OPERANDS = frozenset({"per_row", "gather", "cat", "stack"})
_FOLLOW: Final[Mapping[str, Callable[[int, Mapping[str, Any], Type, Type], int]]] = {
    "same": lambda axis, attrs, operand, result: axis,
    "tensor": lambda axis, attrs, operand, result: axis,
    "per_row": lambda axis, attrs, operand, result: 0 if axis == 0 else MIXED,
    "one_hot": lambda axis, attrs, operand, result: axis,
    "reduce": _reduced,
    "reduce_one": _reduced,
    "along": _untouched,
    "slice": _untouched,
    "gather": _untouched,
    "cat": lambda axis, attrs, operand, result: axis,
    "select": _selected,
    "unsqueeze": _unsqueezed,
    "stack": _unsqueezed,
    "squeeze": _squeezed,
    "reshape": _reshaped,
    "expand": lambda axis, attrs, operand, result: axis + len(result.dims) - len(operand.dims),
    "transpose": _transposed,
    "matmul": lambda axis, attrs, operand, result: 0 if axis == 0 and len(operand.dims) == 2 else MIXED,
}
