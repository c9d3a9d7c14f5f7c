"""Lowerings that return a tensor unchanged, query its properties, or change its dtype."""

from __future__ import annotations

from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import LOWERINGS, cast, lowering, misfit, sizes_of
from sandbox.child.trace.symbols import Device, DType, FInfo, Recorder, SymTensor
from sandbox.graph.types import ONE


@lowering("same")
def _same(r: Recorder, a: dict[str, Any]) -> Any:
    return a["input"]


@lowering("contiguous")
def _contiguous(r: Recorder, a: dict[str, Any]) -> Any:
    """The tensor itself or a copy, as it lies in memory, which is not known here. So neither may be changed in place."""
    x = a["input"]
    if not r.keeps_gradients and len(x.dims) > 1:
        raise misfit()  # a copy would have no gradient
    x.shared = True
    return SymTensor(r.index(x), x.type, shared=True)


@lowering("copy")
def _copy(r: Recorder, a: dict[str, Any]) -> Any:
    return SymTensor(
        r.index(a["input"]) if r.keeps_gradients else r.add("detach", (a["input"],)).index, a["input"].type
    )


def view_of(r: Recorder, x: SymTensor) -> SymTensor:
    """A view of a whole tensor: another tensor in the same memory, without a gradient inside of no_grad."""
    x.shared = True
    return SymTensor(r.index(x) if r.keeps_gradients else r.add("detach", (x,)).index, x.type, shared=True)


def data_of(r: Recorder, x: SymTensor) -> Any:
    """x.data: the tensor without its gradient, in the same memory."""
    if x.type.dtype == "float":
        return r.add("detach", (x,))
    x.shared = True
    return SymTensor(x.index, x.type, shared=True)


@lowering("size")
def _size_of(r: Recorder, a: dict[str, Any]) -> Any:
    sizes = sizes_of(r, a["input"])
    if a["dim"] is None:
        return sizes
    return item_of(sizes.items, a["dim"])


def item_of(items: Any, index: Any) -> Any:
    """items[index], if the index is a constant int. Raises Refusal."""
    if type(index) is not int or not -len(items) <= index < len(items):
        raise Refusal("SBX226")
    return items[index]


@lowering("count")
def _count(r: Recorder, a: dict[str, Any]) -> Any:
    total = ONE
    for d in a["input"].dims:
        total = total * d
    return r.size(total)


@lowering("rank")
def _rank(r: Recorder, a: dict[str, Any]) -> Any:
    return len(a["input"].dims)


@lowering("is_tensor")
def _is_tensor(r: Recorder, a: dict[str, Any]) -> Any:
    return isinstance(a["obj"], SymTensor)


@lowering("is_floating_point")
def _isfloating(r: Recorder, a: dict[str, Any]) -> Any:
    return a["input"].type.dtype == "float"


@lowering("finfo")
def _finfo(r: Recorder, a: dict[str, Any]) -> Any:
    if a["type"] not in (None, DType("float")):
        raise misfit()
    return FInfo()


@lowering("to")
def _to(r: Recorder, a: dict[str, Any]) -> Any:
    wanted = a.get("dtype")
    if wanted is None and not a["targets"] and "dtype" not in a:
        raise misfit()
    for target in (*a["targets"], *([] if wanted is None else [wanted])):
        if isinstance(target, DType):
            wanted = target
        elif isinstance(target, SymTensor):
            wanted = DType(target.type.dtype)
        elif target is wanted or not isinstance(target, Device | str):
            raise Refusal("SBX231")
    if wanted is None:
        return a["input"]
    if wanted.name == "small int":
        return _to_small_int(r, a)
    if wanted.name not in ("float", "int", "bool"):
        return _to_other_float(r, a)
    return cast(r, a["input"], wanted.name)


@lowering("to_other_float")
def _to_other_float(r: Recorder, a: dict[str, Any]) -> Any:
    """Drop a final conversion to another floating dtype, with a note: the trainer chooses the dtype. Raises Refusal."""
    x = a["input"]
    if x.type.dtype != "float":
        raise Refusal("SBX231")
    r.note("SBX257")
    index = x.index if r.keeps_gradients else r.add("detach", (x,)).index
    return SymTensor(index, x.type, shared=True, widened=True)


@lowering("to_like")
def _to_like(r: Recorder, a: dict[str, Any]) -> Any:
    return cast(r, a["input"], a["other"].type.dtype)


for _name in ("float", "int", "bool"):
    LOWERINGS[f"to_{_name}"] = lambda r, a, name=_name: cast(r, a["input"], name)  # type: ignore[misc]


@lowering("to_small_int")
def _to_small_int(r: Recorder, a: dict[str, Any]) -> Any:
    """A mask as zeros and ones, which all integer types hold. Raises Refusal for other tensors: their values may be too large."""
    if a["input"].type.dtype != "bool":
        raise Refusal("SBX231")
    return cast(r, a["input"], "int")


@lowering("unsupported_type")
def _unsupported_type(r: Recorder, a: dict[str, Any]) -> Any:
    raise Refusal("SBX231")
