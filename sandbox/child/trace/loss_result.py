"""The per-item loss of a function's return value: one tensor of several results, and a final mean over the batch removed.

The trainer averages the losses of a batch, so a function that averages them itself is the same loss. One that sums them is not,
since its value grows with the batch. Several losses of an item, as columns or as whole batches one after the other, are reduced to
one.
"""

from __future__ import annotations

from typing import Any, Literal

from sandbox.child.protocol import Refusal, SourceSpan
from sandbox.child.trace.guards.instances import Instance, items_of
from sandbox.child.trace.lowering.shaping import parts_between
from sandbox.child.trace.symbols import Recorder, Reported, SymTensor
from sandbox.contracts.contract import BATCH
from sandbox.graph.types import Dim

Reduction = Literal["mean", "sum"]
_Known = dict[tuple[int, Reduction], SymTensor | None]
_BATCH = Dim.of(BATCH)
_NAMES = ("loss", "losses")
_LINEAR = frozenset({"neg", "mul", "div", "add", "sub"})


def loss_of(r: Recorder, value: Any, entry: SourceSpan) -> SymTensor:
    """The losses in a candidate's return value. Changes are noted at `entry`. Raises Refusal if there is no tensor."""
    if isinstance(value, tuple | dict | Instance):
        value = _first(value)
        if value is not None:
            r.note("SBX252", entry)
    if not isinstance(value, SymTensor):
        raise Refusal("SBX209")
    index = r.kept(value.index)
    if r.types[index].dims == ():
        undone = _undone(r, index, "mean", {})
        if undone is not None:
            r.note("SBX251", entry)
            return undone
    return SymTensor(index, r.types[index])


def _first(value: tuple[Any, ...] | dict[Any, Any] | Instance) -> SymTensor | None:
    """The tensor under the name `loss` or `losses`, or the first one of a tuple; None if there is none."""
    if not isinstance(value, tuple):
        named = value.values if isinstance(value, Instance) else value
        for name in _NAMES:
            if isinstance(named.get(name), SymTensor):
                return named[name]  # type: ignore[no-any-return]
            if isinstance(named.get(name), Reported):
                raise Refusal("SBX133")
        value = items_of(value) or ()
    return next((v for v in value if isinstance(v, SymTensor)), None)


def _undone(r: Recorder, index: int, how: Reduction, known: _Known) -> SymTensor | None:
    """The tensor (batch,) of which the value is the mean or the sum; None if it is neither. `known` keeps what was found.

    Negation, sums, and products with numbers and tensors without axes commute with both. A sum over k batches by their number of
    items is a mean, and so is one by the sum of weights, or with weights that add up to one: the mean of each item's part, times
    the number of items.
    """
    if (index, how) not in known:
        known[index, how] = _found(r, index, how, known)
    return known[index, how]


def _found(r: Recorder, index: int, how: Reduction, known: _Known) -> SymTensor | None:
    node = r.nodes[index]
    if node.op == how:
        return _per_item(r, node.args[0], how) if r.types[index].dims == () else None
    if node.op == "sum" and r.types[index].dims == () and _is_average(r, node.args[0]):
        return r.add("mul", (_value(r, node.args[0]), r.size(_BATCH)))  # type: ignore[no-any-return]
    if node.op in ("div", "mul") and how == "mean" and (share := _share(r, index, known)) is not None:
        return share
    if node.op not in _LINEAR:
        return None
    lifted = [None if r.types[a].is_number else _undone(r, a, how, known) for a in node.args]
    if node.op in ("mul", "div"):  # one factor is reduced; the others are the same for all items
        place = next((i for i, part in enumerate(lifted) if part is not None), None)
        lifted = [part if i == place and (node.op, i) != ("div", 1) else None for i, part in enumerate(lifted)]
    parts = sum(part is not None for part in lifted)
    if parts == 0 or (node.op in ("add", "sub") and parts == 1 and how == "sum"):
        return None  # a number that is added to a sum is no part of every item
    kept = [part if part is not None else _value(r, a) for a, part in zip(node.args, lifted, strict=True)]
    return r.add(node.op, kept)  # type: ignore[no-any-return]


def _share(r: Recorder, index: int, known: _Known) -> SymTensor | None:
    """The mean that a sum over the batch is if it is divided by its number of items, or by the sum of weights; None for others."""
    node = r.nodes[index]
    if node.op == "mul":
        for number, other in (node.args, node.args[::-1]):
            scale = _per_count(r, number)
            total = _undone(r, other, "sum", known) if scale is not None and not r.types[other].is_number else None
            if scale is not None and total is not None:
                return r.add("mul", (total, scale))  # type: ignore[no-any-return]
        return None
    total = _undone(r, node.args[0], "sum", known)
    if total is None:
        return None
    if batches := _batches(r, node.args[1]):
        return total if batches == 1 else r.add("div", (total, batches))
    if not _is_sum_of_weights(r, node.args[1]):
        return None
    items = r.size(_BATCH)
    return r.add("div", (r.add("mul", (total, items)), _value(r, node.args[1])))  # type: ignore[no-any-return]


def _per_count(r: Recorder, index: int) -> Any:
    """c / k for a number c / (k items of the batch), such as 1 / len(losses); None for any other."""
    if not r.types[index].is_number:
        return None
    node = r.nodes[index]
    if node.op == "neg":
        inner = _per_count(r, node.args[0])
        return None if inner is None else r.add("neg", (inner,))
    batches = _batches(r, node.args[1]) if node.op == "div" else None
    return r.add("div", (r.number(node.args[0]), batches)) if batches else None


def _is_sum_of_weights(r: Recorder, index: int) -> bool:
    """Whether a value is a sum over the batch, perhaps kept above a constant or with one added."""
    node = r.nodes[index]
    if node.op == "sum":
        return r.types[index].dims == () and r.types[node.args[0]].dims == (_BATCH,)
    if node.op not in ("clamp_min", "add", "maximum", "cast", "detach"):
        return False
    return _is_sum_of_weights(r, node.args[0]) and all(_is_constant(r, a) for a in node.args[1:])


def _is_average(r: Recorder, index: int) -> bool:
    """Whether a tensor (batch,) is a product with weights that add up to one: a softmax, or w / w.sum()."""
    seen, waiting = set[int](), [index]
    while waiting:
        at = waiting.pop()
        node = r.nodes[at]
        if at in seen or r.types[at].is_number or r.types[at].dims != (_BATCH,):
            continue
        seen.add(at)
        if node.op == "softmax":
            return True
        if node.op == "div" and _is_sum_of_weights(r, node.args[1]):
            if _below(r, node.args[1]) == _below(r, node.args[0]):
                return True
        elif node.op in ("mul", "neg", "detach"):
            waiting += node.args
    return False


def _below(r: Recorder, index: int) -> int:
    """The value under sums and detachments."""
    while r.nodes[index].op in ("sum", "detach"):
        index = r.nodes[index].args[0]
    return index


def _is_constant(r: Recorder, index: int) -> bool:
    node = r.nodes[index]
    return node.op == "const" or (node.op in ("full", "full_like") and _is_constant(r, node.args[-1]))


def _value(r: Recorder, index: int) -> Any:
    return r.number(index) if r.types[index].is_number else SymTensor(index, r.types[index])


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
    """The number of whole batches of which a value is the count of items: 2 for twice the batch's size; None for others."""
    node = r.nodes[index]
    if node.op in ("full", "tensor", "cast") and r.types[index].dims == () and r.types[index].dtype != "bool":
        return _batches(r, node.args[0])
    if not r.types[index].is_number:
        return None
    if node.op == "maximum" and (ones := [a for a in node.args if r.nodes[a].attrs.get("value") == 1]):
        return _batches(r, next(a for a in node.args if a not in ones)) if len(ones) == 1 else None
    if node.op == "mul" and (factors := [a for a in node.args if r.nodes[a].attrs.get("value") == 1.0]):
        return _batches(r, next((a for a in node.args if a not in factors), factors[0]))
    size = r.dim_of(r.number(index))
    return size.batches(BATCH) if size is not None else None
