"""The per-item loss of a function's return value: the first tensor of a tuple, and a final mean over the batch removed.

The trainer averages the losses of a batch, so a function that averages them itself is the same loss. One that sums them is not,
since its value grows with the batch. Several losses of an item, as columns or as whole batches one after the other, are reduced to
one.
"""

from __future__ import annotations

from typing import Any, Literal

from sandbox.child.protocol import Refusal, SourceSpan
from sandbox.child.trace.lowering.shaping import parts_between
from sandbox.child.trace.symbols import Recorder, SymTensor
from sandbox.contracts.contract import BATCH
from sandbox.graph.types import Dim

Reduction = Literal["mean", "sum"]
_BATCH = Dim.of(BATCH)
_LINEAR = frozenset({"neg", "mul", "div", "add", "sub"})


def loss_of(r: Recorder, value: Any, entry: SourceSpan) -> SymTensor:
    """The losses in a candidate's return value. Changes are noted at `entry`. Raises Refusal if there is no tensor."""
    if isinstance(value, tuple):
        value = next((v for v in value if isinstance(v, SymTensor)), None)
        if value is not None:
            r.note("SBX252", entry)
    if not isinstance(value, SymTensor):
        raise Refusal("SBX209")
    index = r.kept(value.index)
    if r.types[index].dims == ():
        undone = _undone(r, index, "mean")
        if undone is not None:
            r.note("SBX251", entry)
            return undone
    return SymTensor(index, r.types[index])


def _undone(r: Recorder, index: int, how: Reduction) -> SymTensor | None:
    """The tensor (batch,) of which the value is the mean or the sum; None if it is neither.

    Negation, sums, and products with numbers commute with both. A sum over k batches by their number of items is a mean.
    """
    node = r.nodes[index]
    if node.op == how:
        return _per_item(r, node.args[0], how) if r.types[index].dims == () else None
    if node.op == "div" and how == "mean" and (batches := _batches(r, node.args[1])):
        total = _undone(r, node.args[0], "sum")
        if total is not None:
            return total if batches == 1 else r.add("div", (total, batches))
    if node.op not in _LINEAR:
        return None
    lifted = [None if r.types[a].is_number else _undone(r, a, how) for a in node.args]
    operands: list[Any] = []
    for a, part in zip(node.args, lifted, strict=True):
        if part is None and not r.types[a].is_number:
            return None
        operands.append(part if part is not None else r.number(a))
    parts = sum(part is not None for part in lifted)
    if parts == 0 or (node.op == "mul" and parts > 1) or (node.op == "div" and lifted[1:] != [None]):
        return None
    if node.op in ("add", "sub") and parts == 1 and how == "sum":
        return None  # a number that is added to a sum is no part of every item
    made: SymTensor = r.add(node.op, operands)
    return made


def _per_item(r: Recorder, index: int, how: Reduction) -> SymTensor | None:
    """The mean or sum of each item's entries, (batch,); None if the entries are not those of the batch's items."""
    type_ = r.types[index]
    if type_.is_number or type_.dtype != "float":
        return None
    x = SymTensor(index, type_)
    if type_.dims == (_BATCH,):
        return x
    if len(type_.dims) == 1:
        return _over_batches(r, x, how)
    others = tuple(axis for axis, dim in enumerate(type_.dims) if dim != _BATCH)
    if len(others) != len(type_.dims) - 1 or any(type_.dims[axis].batches(BATCH) for axis in others):
        return None
    return r.add(how, (x,), {"dim": others, "keepdim": False})  # type: ignore[no-any-return]


def _over_batches(r: Recorder, x: SymTensor, how: Reduction) -> SymTensor | None:
    """The mean or sum over the batches of a tensor of several whole batches, one after the other."""
    count = x.dims[0].batches(BATCH)
    if count is None:
        return None
    parts = parts_between(r, x, 0, [Dim.of(i) * _BATCH for i in range(count + 1)])
    if parts is None:
        return None
    total: Any = parts[0]
    for part in parts[1:]:
        total = r.add("add", (total, part))
    return total if how == "sum" else r.add("div", (total, count))  # type: ignore[no-any-return]


def _batches(r: Recorder, index: int) -> int | None:
    """The number of whole batches that a number counts the items of: 2 for twice the batch's size; None for any other."""
    size = r.dim_of(r.number(index)) if r.types[index].is_number else None
    return size.batches(BATCH) if size is not None else None
