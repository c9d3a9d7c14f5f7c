"""Lowerings that write to, or read from, places of a tensor which other tensors name: scatter, index_select, bucketize.

Written are one place in each row, as in `torch.zeros_like(logits).scatter(1, targets.unsqueeze(1), 1.0)`: the places are a mask,
and `where` selects between the tensor and what is written. torch's gradient is the same.
"""

from __future__ import annotations

from typing import Any

from sandbox.child.trace.lowering.creation import constants_of
from sandbox.child.trace.lowering.registry import LOWERINGS, cast, floating, lowering, misfit
from sandbox.child.trace.symbols import Recorder, SymTensor, is_number
from sandbox.graph.types import Dim


def places(r: Recorder, x: SymTensor, index: SymTensor) -> SymTensor:
    """The mask of the places x[i, index[i]], for an index (batch,). Raises Refusal."""
    if len(x.dims) != 2 or index.dims != x.dims[:1] or index.type.dtype != "int":
        raise misfit()
    columns = x.dims[1].constant
    classes = columns if columns is not None else r.size(x.dims[1])
    return cast(r, LOWERINGS["one_hot"](r, {"input": index, "num_classes": classes}), "bool")


def written(r: Recorder, x: SymTensor, mask: SymTensor, value: Any) -> SymTensor:
    """x with a number, or with the entries of a column (batch, 1), under a mask. Raises Refusal."""
    if is_number(value):
        value = bool(value) if x.type.dtype == "bool" else value
        if x.type.dtype == "int" and type(value) is not int:
            raise misfit()
    elif not isinstance(value, SymTensor) or value.type.dtype != x.type.dtype:
        raise misfit()
    return r.add("where", (mask, value, x))  # type: ignore[no-any-return]


@lowering("scatter")
def _scatter(r: Recorder, a: dict[str, Any]) -> Any:
    value = a["src"] if a["src"] is not None else a["value"]
    mask = _mask(r, a)
    if value is None or (isinstance(value, SymTensor) and value.dims != a["index"].dims):
        raise misfit()
    return written(r, a["input"], mask, value)


@lowering("scatter_add")
def _scatter_add(r: Recorder, a: dict[str, Any]) -> Any:
    mask, added = _mask(r, a), a["src"]
    if not isinstance(added, SymTensor) or floating(added).dims != a["index"].dims:
        raise misfit()
    return r.add("where", (mask, r.add("add", (floating(a["input"]), added)), a["input"]))


def _mask(r: Recorder, a: dict[str, Any]) -> SymTensor:
    x, index = a["input"], a["index"]
    if len(x.dims) != 2 or a["dim"] not in (1, -1) or index.dims != (x.dims[0], Dim.of(1)):
        raise misfit()
    return places(r, x, r.add("squeeze", (index,), {"dim": 1}))


@lowering("index_select")
def _index_select(r: Recorder, a: dict[str, Any]) -> Any:
    """Entries along an axis of constant size at constant places, or a vector's entries at the places in another vector."""
    x, index, dim = a["input"], a["index"], a["dim"]
    if len(index.dims) != 1 or index.type.dtype != "int" or not -len(x.dims) <= dim < len(x.dims):
        raise misfit()
    known, size = constants_of(r, index), x.dims[dim % len(x.dims)].constant
    if known is not None and size is not None and all(0 <= i < size for i in known):
        return r.add("stack", [r.add("select", (x,), {"dim": dim, "index": i}) for i in known], {"dim": dim})
    if len(x.dims) != 1:
        raise misfit()
    return r.add("gather", (x, index), {"dim": 0})


@lowering("bucketize")
def _bucketize(r: Recorder, a: dict[str, Any]) -> Any:
    """For each number the count of constant boundaries below it; with `right`, also of those that it equals."""
    x, bounds = floating(a["input"]), constants_of(r, a["boundaries"])
    if bounds is None or bounds != sorted(bounds) or a["out_int32"]:
        raise misfit()
    passed = [cast(r, r.add("ge" if a["right"] else "gt", (x, float(b))), "int") for b in bounds]
    total = passed[0]
    for one in passed[1:]:
        total = r.add("add", (total, one))
    return total
