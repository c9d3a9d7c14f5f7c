"""Proof of permutation equivariance: if the items of a batch are reordered, the gradients are reordered alike. No torch.

A numeric test reorders batches of a few sizes only, and a loss could treat the hundredth item differently. So equivariance is
proved from the graph if possible, and a note is given if not.

The analysis tracks the item axes of each value: entry i along such an axis belongs to item i, or to item i modulo the batch size
for several concatenated batches (torch.cat). A value without item axes does not change when the items are reordered, even if it
has an axis as long as the batch (sorted values, arange). Such an axis is positional, and an operation that combines it with an item
axis depends on the position.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sandbox.contracts.contract import BATCH, contract_named
from sandbox.graph.latest import kept_for_latest
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.types import ONE, Type, elements

Axes = frozenset[int]

_NONE: Final[Axes] = frozenset()


class _Unproven(Exception):
    pass


def is_equivariant(graph: VerifiedGraph) -> bool:
    """Whether reordering the batch provably reorders the gradients and changes nothing else. Linear time.

    The losses are reordered too, or do not change (one loss per rank, if sorted values are compared).
    """
    axes = _axes_of_the_loss(graph)
    return axes is not None and axes <= {0}


def has_one_loss_per_item(graph: VerifiedGraph) -> bool:
    """Whether entry i of the losses may belong to item i; False if they provably stay in place when the items are reordered, as
    those of sorted values do."""
    return _axes_of_the_loss(graph) != _NONE


@kept_for_latest
def _axes_of_the_loss(graph: VerifiedGraph) -> Axes | None:
    """The item axes of the losses; None if equivariance is not proven."""
    found: list[Axes] = []
    try:
        for i, node in enumerate(graph.nodes):
            operands = [graph.types[a] for a in node.args]
            found.append(_item_axes(graph, node, [found[a] for a in node.args], operands, graph.types[i]))
    except _Unproven:
        return None
    return found[graph.output]


def _item_axes(graph: VerifiedGraph, node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    if not node.args:
        return _of_source(graph, node, result)
    rule = OPERATIONS[node.op].rule
    if rule in ("full", "full_like"):  # constant along all its axes
        return _long_as_batch(result) if not axes[-1] else _fail()
    if not any(axes) and rule not in ("expand",):
        return _NONE
    return _RULES[rule](node, axes, operands, result)


def _fail() -> Axes:
    raise _Unproven


def _of_source(graph: VerifiedGraph, node: Node, result: Type) -> Axes:
    if node.op == "input":
        shape = contract_named(graph.contract).argument(node.attrs["name"]).shape or ()
        return frozenset(i for i, symbol in enumerate(shape) if symbol == BATCH)
    return _long_as_batch(result) if node.op == "eye" else _NONE


def _long_as_batch(result: Type) -> Axes:
    return frozenset(i for i, d in enumerate(result.dims) if d.batches(BATCH))


def _elementwise(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    leads = [len(result.dims) - len(t.dims) for t in operands]
    joined = frozenset(a + lead for own, lead in zip(axes, leads, strict=True) for a in own)
    for own, lead, t in zip(axes, leads, operands, strict=True):
        for i, d in enumerate(t.dims):
            if d != ONE and i + lead in joined and i not in own:
                raise _Unproven  # an item axis against a positional one
    return joined


def _reduce(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    rank = len(operands[0].dims)
    dim = node.attrs["dim"]
    gone = {d % rank for d in (range(rank) if dim is None else dim if isinstance(dim, tuple) else (dim,))}
    if OPERATIONS[node.op].order == "place" and gone & axes[0]:
        raise _Unproven
    kept = axes[0] - gone
    return kept if node.attrs["keepdim"] else frozenset(a - sum(d < a for d in gone) for a in kept)


def _along(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    at = node.attrs["dim"] % len(operands[0].dims)
    if at not in axes[0]:
        return axes[0]
    order = OPERATIONS[node.op].order
    if order == "place":
        raise _Unproven
    return axes[0] - {at} if order == "sorted" else axes[0]


def _untouched(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    return axes[0] if node.attrs["dim"] % len(operands[0].dims) not in axes[0] else _fail()


def _select(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    at = node.attrs["dim"] % len(operands[0].dims)
    return frozenset(a - (at < a) for a in axes[0]) if at not in axes[0] else _fail()


def _unsqueeze(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    if any(own != axes[0] for own in axes):
        raise _Unproven
    at = node.attrs["dim"] % len(result.dims)
    return frozenset(a + (at <= a) for a in axes[0])


def _squeeze(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    rank, dim = len(operands[0].dims), node.attrs["dim"]
    tried = range(rank) if dim is None else (dim % rank,)
    gone = [d for d in tried if operands[0].dims[d] == ONE]
    return frozenset(a - sum(d < a for d in gone) for a in axes[0])


def _reshape(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    moved = set()
    for a in axes[0]:
        behind = elements(operands[0].dims[a + 1 :])
        same = [i for i, d in enumerate(result.dims) if d.batches(BATCH) and elements(result.dims[i + 1 :]) == behind]
        moved.add(same[0] if same else _fail_at())
    return frozenset(moved)


def _fail_at() -> int:
    raise _Unproven


def _expand(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    lead = len(result.dims) - len(operands[0].dims)
    spread = {
        i for i, d in enumerate(result.dims) if d.batches(BATCH) and (i < lead or operands[0].dims[i - lead] == ONE)
    }  # constant along these
    return frozenset({a + lead for a in axes[0]} | spread)


def _transpose(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    rank = len(operands[0].dims)
    a, b = node.attrs["dim0"] % rank, node.attrs["dim1"] % rank
    return frozenset({a: b, b: a}.get(i, i) for i in axes[0])


def _equal(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    return axes[0] if all(own == axes[0] for own in axes) else _fail()


def _cat(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    """Concatenation along an item axis is proved only if all parts are whole batches."""
    own = _equal(node, axes, operands, result)
    at = node.attrs["dim"] % len(result.dims)
    return own if at not in own or all(t.dims[at].batches(BATCH) for t in operands) else _fail()


def _along_equal(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    _equal(node, axes, operands, result)
    return _untouched(node, axes, operands, result)


def _one_hot(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    return axes[0] if node.attrs["symbol"] != BATCH else _fail()


def _diagonal(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    return frozenset({0}) if axes[0] == {0, 1} else _fail()


def _outer(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    return frozenset(i for i, own in enumerate(axes) if own)


def _matmul(node: Node, axes: Sequence[Axes], operands: Sequence[Type], result: Type) -> Axes:
    left, right = axes
    inner = len(operands[0].dims) - 1
    if (inner in left) != (0 in right):
        raise _Unproven
    return (left - {inner}) | frozenset(inner - 1 + b for b in right if b)


_Rule = Callable[[Node, Sequence[Axes], Sequence[Type], Type], Axes]
_RULES: Final[Mapping[str, _Rule]] = {
    "elementwise": _elementwise,
    "same": _equal,
    "tensor": _equal,
    "reduce": _reduce,
    "reduce_one": _reduce,
    "along": _along,
    "per_row": lambda node, axes, operands, result: axes[0] if axes[0] == axes[1] == {0} else _fail(),
    "unsqueeze": _unsqueeze,
    "stack": _unsqueeze,
    "squeeze": _squeeze,
    "reshape": _reshape,
    "expand": _expand,
    "transpose": _transpose,
    "slice": _untouched,
    "select": _select,
    "gather": _along_equal,
    "cat": _cat,
    "one_hot": _one_hot,
    "matrix": lambda node, axes, operands, result: _fail(),
    "diagonal": _diagonal,
    "outer": _outer,
    "dot": lambda node, axes, operands, result: _NONE if axes[0] == axes[1] else _fail(),
    "matmul": _matmul,
}

assert {o.rule for o in OPERATIONS.values() if o.arity[1]} - {"full", "full_like"} <= _RULES.keys()
