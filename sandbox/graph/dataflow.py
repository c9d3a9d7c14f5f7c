"""What can be proved of a graph without computing: which values look at one item of the batch only, what reaches what.

A loss that provably looks at one item at a time can be probed at thousands of points in one call. A loss that merely
seems to do so is probed batch by batch. No torch.

An axis along which several batches lie end to end (torch.cat) counts too: its entry j belongs to item j modulo the batch's size,
until the axis is cut into these batches again.
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
"""The value depends on several items, on an item's place, or on how many there are."""
FREE = -1
"""The value does not depend on the items."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A graph whose scalar arguments have been turned into vectors of one number per item, with the new types."""

    contract: Contract
    types: tuple[Type, ...]


def is_pointwise(graph: VerifiedGraph) -> bool:
    """Whether each item's loss provably depends on that item alone, whatever the size of the batch. Linear time."""
    return _item_axes(graph, graph.types, contract_named(graph.contract))[graph.output] == 0


def lift_scalars(graph: VerifiedGraph) -> Lifted | None:
    """The graph with a beta of its own for each item, or None where that would not be the same function."""
    contract = _with_vectors(graph.contract)
    types: list[Type] = []
    for node in graph.nodes:
        try:
            types.append(infer(OPERATIONS[node.op], [types[a] for a in node.args], node.attrs, contract))
        except ShapeError:
            return None
    lifted = tuple(types)
    return Lifted(contract, lifted) if _item_axes(graph, lifted, contract)[graph.output] == 0 else None


def learning(graph: VerifiedGraph) -> tuple[bool, ...]:
    """For each node, whether a gradient can flow from it to an argument that learns."""
    contract = contract_named(graph.contract)
    reaches: list[bool] = []
    for node in graph.nodes:
        if node.op == "input":
            reaches.append(contract.argument(node.attrs["name"]).learns)
        else:
            reaches.append(OPERATIONS[node.op].differentiable and any(reaches[a] for a in node.args))
    return tuple(reaches)


def touched(graph: VerifiedGraph) -> tuple[bool, ...]:
    """For each node, whether its value depends on an argument that learns, be it through a detached term."""
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
    """For each node the axis along which entry i depends on item i (modulo the batch's size) alone, or MIXED, or FREE."""
    axes: list[int] = []
    for i, node in enumerate(graph.nodes):
        own = [axes[a] for a in node.args]
        if MIXED in own:
            axes.append(MIXED)
            continue
        axes.append(_only(_item_axis(node, own, [types[a] for a in node.args], types[i], contract), types[i]))
    return axes


def _only(axis: int, result: Type) -> int:
    """The item axis if it is the only one that is made of batches: any other holds as many copies as there are items."""
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
    """The one axis of one or several whole batches, FREE without any, MIXED with more or with another length from it."""
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
    """Entry n of all belongs to item n // (entries behind the axis), modulo the batch's size: so before and so after."""
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
