"""Indexing x[...] of a symbolic tensor: ints, slices, None, Ellipsis, and index tensors that are equivalent to a gather."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import cast
from sandbox.child.trace.lowering.scattered import places, written
from sandbox.child.trace.lowering.shaping import parts_between
from sandbox.child.trace.symbols import Recorder, SymNumber, SymTensor, is_number
from sandbox.graph.types import Dim


def take(r: Recorder, x: SymTensor, key: Any) -> SymTensor:
    """x[key]. Raises Refusal, OperandMismatch."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(isinstance(k, SymTensor) for k in keys):
        return _by_tensor(r, x, keys)
    if len(keys) > 8:
        raise Refusal("SBX226")
    axis, out = 0, x
    for i, k in enumerate(keys):
        if k is None:
            out = r.add("unsqueeze", (out,), {"dim": axis})
            axis += 1
        elif isinstance(k, EllipsisType):
            if any(isinstance(other, EllipsisType) for other in keys[i + 1 :]):
                raise Refusal("SBX226")
            axis = len(out.dims) - sum(other is not None for other in keys[i + 1 :])
        elif type(k) is int:
            out = r.add("select", (out,), {"dim": axis, "index": k})
        elif isinstance(k, slice):
            out = _slice(r, out, axis, k)
            axis += 1
        else:
            raise Refusal("SBX226")
        if axis < 0:
            raise Refusal("SBX226")
    if out is x:
        if x.widened or not r.keeps_gradients:
            return r.add("detach", (x,))  # type: ignore[no-any-return]
        x.shared = True
        return SymTensor(x.index, x.type, shared=True)
    return out


def put(r: Recorder, x: SymTensor, key: Any, value: Any) -> SymTensor:
    """The tensor after x[key] = value, for a mask, or for a column where their number is constant. Raises Refusal."""
    if isinstance(key, SymTensor) and key.type.dtype == "bool" and key.dims == x.dims:
        if not is_number(value) and not (isinstance(value, SymTensor) and not value.dims):
            raise Refusal("SBX134")
        return r.add("where", (key, value, x))  # type: ignore[no-any-return]
    match key:
        case (SymTensor() as rows, SymTensor() as i) if _is_row_of(r, x, rows, i):
            if isinstance(value, SymTensor) and value.dims:
                if value.dims != i.dims:
                    raise Refusal("SBX134")
                value = r.add("unsqueeze", (value,), {"dim": 1})
            return written(r, x, places(r, x, i), value)
    columns = x.dims[1].constant if len(x.dims) == 2 else None
    match key:
        case (slice(start=None, stop=None, step=None) | EllipsisType(), int() as place) if (
            type(place) is int and columns and -columns <= place < columns
        ):
            shared = x.shared
            old = [r.add("select", (x,), {"dim": 1, "index": i}) for i in range(columns)]
            x.shared = shared  # nothing keeps these views
            place %= columns
            if is_number(value) or (isinstance(value, SymTensor) and not value.dims):
                value = _filled(r, old[place], value)
            if not isinstance(value, SymTensor) or value.type != old[place].type:
                raise Refusal("SBX134")
            return r.add("stack", [*old[:place], value, *old[place + 1 :]], {"dim": 1})  # type: ignore[no-any-return]
    raise Refusal("SBX134")


def changed(r: Recorder, x: SymTensor, key: Any, value: Any, change: Callable[[Any], Any]) -> SymTensor:
    """The tensor after x[key] += value and the like; `change` computes the new entries of old ones. Raises Refusal."""
    if isinstance(key, SymTensor) and key.type.dtype == "bool" and key.dims == x.dims:
        if not is_number(value) and not (isinstance(value, SymTensor) and not value.dims):
            raise Refusal("SBX134")
        made = change(x)
        if not isinstance(made, SymTensor) or made.type != x.type:
            raise Refusal("SBX134")
        return r.add("where", (key, made, x))  # type: ignore[no-any-return]
    shared = x.shared
    old = take(r, x, key)
    x.shared = shared  # nothing keeps this view
    return put(r, x, key, change(old))


def _filled(r: Recorder, like: SymTensor, value: Any) -> SymTensor:
    """A tensor of the same shape with one value everywhere."""
    if is_number(value):
        return r.add("full_like", (like, value))  # type: ignore[no-any-return]
    return r.add("mul", (r.add("full_like", (like, 1.0)), value))  # type: ignore[no-any-return]


def _slice(r: Recorder, x: SymTensor, axis: int, key: slice) -> SymTensor:
    start, stop = key.start, key.stop
    size = x.dims[axis].constant if axis < len(x.dims) else None
    if (
        type(key.step) is int
        and key.step > 1
        and size is not None
        and all(v is None or type(v) is int for v in (start, stop))
    ):
        chosen = range(size)[key]
        if not chosen:
            raise Refusal("SBX226")
        parts = [r.add("select", (x,), {"dim": axis, "index": i}) for i in chosen]
        x.shared = True  # in torch the slice is a view
        out = r.add("stack", parts, {"dim": axis})
        out.shared = True
        return out  # type: ignore[no-any-return]
    if key.step not in (None, 1):
        raise Refusal("SBX249" if axis < len(x.dims) and x.dims[axis].constant is None else "SBX226")
    if isinstance(stop, SymNumber) and axis < len(x.dims) and _is_size(r, stop, x, axis):
        stop = None
    if isinstance(start, SymNumber) or isinstance(stop, SymNumber):
        return _batches(r, x, axis, start, stop)
    if start is None and stop is None:
        if axis >= len(x.dims):
            raise Refusal("SBX226")
        return x
    if not all(v is None or type(v) is int for v in (start, stop)):
        raise Refusal("SBX226")
    return r.add("slice", (x,), {"dim": axis, "start": start or 0, "stop": stop})  # type: ignore[no-any-return]


def _batches(r: Recorder, x: SymTensor, axis: int, start: Any, stop: Any) -> SymTensor:
    """A slice of whole batches from an axis of several concatenated ones: torch.cat([a, b])[:len(a)]. Raises Refusal."""
    if axis >= len(x.dims):
        raise Refusal("SBX226")
    total = x.dims[axis]
    places = [Dim.of(0) if start is None else r.dim_of(start), total if stop is None else r.dim_of(stop)]
    known = [p + total if any(c < 0 for _, c in p.terms) else p for p in places if p is not None]
    parts = parts_between(r, x, axis, known) if len(known) == 2 else None
    if parts is None:
        raise Refusal("SBX249")
    return parts[0]


def _is_size(r: Recorder, value: SymNumber, x: SymTensor, axis: int) -> bool:
    size = r.size(x.dims[axis])
    return isinstance(size, SymNumber) and size.index == value.index


def _by_tensor(r: Recorder, x: SymTensor, keys: tuple[Any, ...]) -> SymTensor:
    """x[i] and x[arange, i], as a gather. Raises Refusal, with a rule of its own (SBX225) for masks."""
    if any(isinstance(k, SymTensor) and k.type.dtype == "bool" for k in keys):
        raise Refusal("SBX225")
    match keys:
        case (SymTensor() as i,) if len(x.dims) == 1 and len(i.dims) == 1 and i.type.dtype == "int":
            return r.add("gather", (x, i), {"dim": 0})  # type: ignore[no-any-return]
        case (SymTensor() as i,) if r.nodes[x.index].op == "eye" and len(i.dims) == 1 and i.type.dtype == "int":
            return cast(r, r.add("one_hot", (i,), {"symbol": r.nodes[x.index].attrs["symbol"]}), x.type.dtype)
        case (SymTensor() as rows, SymTensor() as i) if _is_row_of(r, x, rows, i):
            column = r.add("unsqueeze", (i,), {"dim": 1})
            return r.add("squeeze", (r.add("gather", (x, column), {"dim": 1}),), {"dim": 1})  # type: ignore[no-any-return]
    raise Refusal("SBX226")


def _is_row_of(r: Recorder, x: SymTensor, rows: SymTensor, i: SymTensor) -> bool:
    """Whether x[rows, i] is one place in each row of a matrix."""
    return len(x.dims) == 2 and _is_arange(r, rows) and rows.dims == x.dims[:1] == i.dims and i.type.dtype == "int"


def _is_arange(r: Recorder, x: SymTensor) -> bool:
    return r.nodes[x.index].op == "arange"
