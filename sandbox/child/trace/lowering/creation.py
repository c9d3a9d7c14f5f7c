"""Lowerings that create tensors."""

from __future__ import annotations

import math
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import cast, lowering, misfit, shape_of
from sandbox.child.trace.symbols import DType, Number, Recorder, SymNumber, SymTensor, is_number

MOST_ENTRIES = 64
"""Maximum length of a tensor of constants."""


def _in_type(r: Recorder, value: Any, wanted: DType | None, natural: str) -> Any:
    """The value as a number from which `full` creates a tensor of the wanted dtype (`natural` by default). Raises Refusal."""
    name = wanted.name if wanted is not None else natural
    if isinstance(value, SymNumber):
        if value.type.dtype != name and (value.type.dtype, name) != ("int", "float"):
            raise Refusal("SBX231")
        return value if value.type.dtype == name else r.add("mul", (value, 1.0))
    return {"float": float, "int": int, "bool": bool}[name](value)


def _natural(value: Number) -> str:
    if isinstance(value, SymNumber):
        return value.type.dtype
    return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"


def _full(r: Recorder, sizes: Any, value: Any, dtype: DType | None, natural: str) -> Any:
    return r.add("full", (_in_type(r, value, dtype, natural),), {"shape": shape_of(sizes, r)})


@lowering("full", "new_full")
def _make_full(r: Recorder, a: dict[str, Any]) -> Any:
    natural = a["input"].type.dtype if "input" in a else _natural(a["fill_value"])
    return _full(r, a["size"], a["fill_value"], a["dtype"], natural)


@lowering("zeros", "new_zeros")
def _zeros(r: Recorder, a: dict[str, Any]) -> Any:
    return _full(r, a["size"], 0, a["dtype"], a["input"].type.dtype if "input" in a else "float")


@lowering("ones", "new_ones")
def _ones(r: Recorder, a: dict[str, Any]) -> Any:
    return _full(r, a["size"], 1, a["dtype"], a["input"].type.dtype if "input" in a else "float")


def _filled_like(r: Recorder, x: SymTensor, value: Any, dtype: DType | None) -> Any:
    if dtype is None or dtype.name == x.type.dtype:
        return r.add("full_like", (x, value))
    if x.type.dtype == "float":  # the result is cast, since a cast of x rounds values that are not read
        return cast(r, r.add("full_like", (x, value)), dtype.name)
    return r.add("full_like", (cast(r, x, dtype.name), value))


@lowering("full_like")
def _full_like(r: Recorder, a: dict[str, Any]) -> Any:
    return _filled_like(r, a["input"], a["fill_value"], a["dtype"])


@lowering("zeros_like")
def _zeros_like(r: Recorder, a: dict[str, Any]) -> Any:
    return _filled_like(r, a["input"], 0, a["dtype"])


@lowering("ones_like")
def _ones_like(r: Recorder, a: dict[str, Any]) -> Any:
    return _filled_like(r, a["input"], 1, a["dtype"])


@lowering("tensor", "new_tensor")
def _tensor(r: Recorder, a: dict[str, Any]) -> Any:
    if isinstance(a["data"], SymTensor):
        raise Refusal("SBX238")
    if a["dtype"] is None and "input" in a:
        return _constant(r, a["data"], DType(a["input"].type.dtype))
    return _constant(r, a["data"], a["dtype"])


@lowering("as_tensor")
def _as_tensor(r: Recorder, a: dict[str, Any]) -> Any:
    if isinstance(a["data"], SymTensor):
        return a["data"] if a["dtype"] is None else cast(r, a["data"], a["dtype"].name)
    return _constant(r, a["data"], a["dtype"])


def _constant(r: Recorder, data: Any, dtype: DType | None) -> Any:
    if is_number(data):
        value = _in_type(r, data, dtype, _natural(data))
        return r.add("full", (value,), {"shape": ()})
    if not isinstance(data, list | tuple) or not 1 <= len(data) <= MOST_ENTRIES:
        raise misfit()
    if dtype is None and not any(isinstance(v, list | tuple | SymTensor) for v in data):
        kinds = {_natural(v) for v in data if is_number(v)}
        dtype = DType("float" if "float" in kinds else "int" if "int" in kinds else "bool")
    parts = []
    for value in data:
        if isinstance(value, SymTensor):
            raise Refusal("SBX238")
        parts.append(_constant(r, value, dtype))
    if len({p.type.dtype for p in parts}) != 1:
        raise misfit()
    return r.add("stack", parts, {"dim": 0})


def constants_of(r: Recorder, x: SymTensor) -> list[Any] | None:
    """The numbers in a tensor of constants without an axis or with one, such as torch.tensor([0.25, 0.75]); None for any other."""
    node = r.nodes[x.index]
    if len(x.dims) == 1 and node.op == "stack":
        parts = [constants_of(r, SymTensor(i, r.types[i])) for i in node.args]
        return [p[0] for p in parts if p] if all(p is not None and len(p) == 1 for p in parts) else None
    if node.op != "full" or x.dims or (made := r.nodes[node.args[0]]).op != "const":
        return None
    return [made.attrs["value"]]


def _symbol_from(r: Recorder, start: Any, end: Any) -> str | None:
    """The symbol of the length of range(0, n) or range(k, n + k) with a constant k; None for any other range."""
    if type(start) is not int or not isinstance(end, SymNumber):
        return None
    if start == 0:
        return r.symbol_of(end)
    node = r.nodes[end.index]
    if node.op != "add":
        return None
    sizes = [r.nodes[a] for a in node.args]
    shift = [n.attrs["value"] for n in sizes if n.op == "const"]
    symbols = [str(n.attrs["symbol"]) for n in sizes if n.op == "size"]
    return symbols[0] if shift == [start] and len(symbols) == 1 else None


def _steps(start: float, end: float, step: float) -> list[float]:
    """The numbers of `torch.arange`, no more than a constant may have plus one."""
    count = (end - start) / step
    return [start + i * step for i in range(math.ceil(min(count, MOST_ENTRIES + 1)))]


@lowering("linspace")
def _linspace(r: Recorder, a: dict[str, Any]) -> Any:
    start, end, steps = a["start"], a["end"], a["steps"]
    if isinstance(steps, SymNumber):
        raise Refusal("SBX249")
    if any(isinstance(v, SymNumber) for v in (start, end)) or type(steps) is not int or not 1 <= steps <= MOST_ENTRIES:
        raise misfit()
    step = (end - start) / max(steps - 1, 1)
    # From both ends, as torch does, so that the last number is exact.
    made = [start + step * i if i < steps // 2 else end - step * (steps - 1 - i) for i in range(steps)]
    return _constant(r, made if steps > 1 else [float(start)], a["dtype"] or DType("float"))


@lowering("arange")
def _arange(r: Recorder, a: dict[str, Any]) -> Any:
    start, end, step = a["start"], a["end"], a["step"]
    if end is None:
        start, end = 0, start
    symbol = _symbol_from(r, start, end)
    if symbol is not None and step == 1:
        out = r.add("arange", (), {"symbol": symbol})
        out = r.add("add", (out, start)) if start else out
    elif all(type(v) in (int, float) for v in (start, end, step)) and step:
        out = _constant(r, _steps(start, end, step), None)
        if out.type.dtype == "float" and a["dtype"] is not None and a["dtype"].name != "float":
            raise misfit()
    elif any(isinstance(v, SymNumber) for v in (start, end, step)):
        raise Refusal("SBX249")
    else:
        raise Refusal("SBX236")
    return out if a["dtype"] is None else cast(r, out, a["dtype"].name)


@lowering("eye")
def _eye(r: Recorder, a: dict[str, Any]) -> Any:
    symbol = r.symbol_of(a["n"])
    if symbol is None:
        raise Refusal("SBX236")
    out = r.add("eye", (), {"symbol": symbol})
    return out if a["dtype"] is None else cast(r, out, a["dtype"].name)
