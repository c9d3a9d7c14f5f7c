"""Lowerings of reductions."""

from __future__ import annotations

import math
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.creation import constants_of
from sandbox.child.trace.lowering.registry import LOWERINGS, Lowering, axes, floating, lowering, misfit
from sandbox.child.trace.symbols import Pair, Recorder, SymNumber, SymTensor


def _spread(op: str) -> Lowering:
    def made(r: Recorder, a: dict[str, Any]) -> Any:
        dim, unbiased, correction = a["dim"], a["unbiased"], a["correction"]
        if isinstance(dim, bool):
            if unbiased is not None:
                raise misfit()
            dim, unbiased = None, dim
        if correction is not None and unbiased is not None:
            raise misfit()
        if correction is None:
            correction = 0 if unbiased is False else 1
        attrs = {"dim": axes(dim), "keepdim": a["keepdim"], "correction": correction}
        return r.add(op, (floating(a["input"]),), attrs)

    return made


LOWERINGS["var"], LOWERINGS["std"] = _spread("var"), _spread("std")


def _spread_and_mean(op: str) -> Lowering:
    spread = _spread(op)

    def made(r: Recorder, a: dict[str, Any]) -> Any:
        found = spread(r, a)
        dim = None if isinstance(a["dim"], bool) else axes(a["dim"])
        return found, r.add("mean", (floating(a["input"]),), {"dim": dim, "keepdim": a["keepdim"]})

    return made


LOWERINGS["var_mean"], LOWERINGS["std_mean"] = _spread_and_mean("var"), _spread_and_mean("std")


def _extreme(op: str, position: str, elementwise: str) -> Lowering:
    def made(r: Recorder, a: dict[str, Any]) -> Any:
        x, dim, other = a["input"], a["dim"], a["other"]
        if isinstance(dim, SymTensor):
            other = dim
        if other is not None:
            return r.add(elementwise, (x, other))
        if dim is None:
            if a["keepdim"]:
                raise misfit()
            return r.add(op, (x,))
        attrs = {"dim": dim, "keepdim": a["keepdim"]}
        if type(dim) is not int:
            raise misfit()
        found = r.add(op, (x,), attrs)
        return Pair(found, None if x.type.dtype == "bool" else r.add(position, (x,), attrs))

    return made


LOWERINGS["extreme_max"] = _extreme("max", "argmax", "maximum")
LOWERINGS["extreme_min"] = _extreme("min", "argmin", "minimum")


@lowering("median")
def _median(r: Recorder, a: dict[str, Any]) -> Any:
    x = a["input"]
    if a["dim"] is None:
        if a["keepdim"]:
            raise misfit()
        return r.add("median", (x,))
    return Pair(r.add("median", (x,), {"dim": a["dim"], "keepdim": a["keepdim"]}), None)


@lowering("quantile")
def _quantile(r: Recorder, a: dict[str, Any]) -> Any:
    """The quantile for a number q, or those for a tensor of constants, along a new first axis. Raises Refusal."""
    q, attrs = a["q"], {name: a[name] for name in ("dim", "keepdim", "interpolation")}
    numbers = constants_of(r, q) if isinstance(q, SymTensor) else [q]
    if numbers is None or isinstance(q, SymNumber):
        raise Refusal("SBX207")
    if not all(type(n) in (int, float) for n in numbers):
        raise misfit()
    found = [r.add("quantile", (floating(a["input"]),), {"q": n, **attrs}) for n in numbers]
    return r.add("stack", found, {"dim": 0}) if isinstance(q, SymTensor) and q.dims else found[0]


@lowering("norm")
def _norm(r: Recorder, a: dict[str, Any]) -> Any:
    p = 2.0 if a["p"] in (None, "fro") else a["p"]
    if not isinstance(p, int | float) or isinstance(p, bool):
        raise misfit()
    attrs = {"dim": a["dim"], "keepdim": a["keepdim"]}
    if math.isinf(p):
        return r.add("amax" if p > 0 else "amin", (r.add("abs", (floating(a["input"]),)),), attrs)
    return r.add("norm", (floating(a["input"]),), {"p": float(p), **attrs})


@lowering("vector_norm")
def _vector_norm(r: Recorder, a: dict[str, Any]) -> Any:
    return _norm(r, {"input": a["x"], "p": a["ord"], "dim": a["dim"], "keepdim": a["keepdim"]})


@lowering("linalg_norm")
def _linalg_norm(r: Recorder, a: dict[str, Any]) -> Any:
    """The norm of vectors. Without an axis and with an order, torch takes the norm of a matrix."""
    if a["ord"] is not None and type(a["dim"]) is not int and len(a["A"].dims) != 1:
        raise misfit()
    return _vector_norm(r, {**a, "x": a["A"]})


def _position(op: str) -> Lowering:
    def made(r: Recorder, a: dict[str, Any]) -> Any:
        return r.add(op, (a["input"],), {"dim": a["dim"], "keepdim": a["keepdim"]})

    return made


LOWERINGS["argmax"], LOWERINGS["argmin"] = _position("argmax"), _position("argmin")


@lowering("sort")
def _sort(r: Recorder, a: dict[str, Any]) -> Any:
    attrs = {"dim": a["dim"], "descending": a["descending"]}
    return Pair(r.add("sort", (a["input"],), attrs), r.add("argsort", (a["input"],), attrs))


@lowering("topk")
def _topk(r: Recorder, a: dict[str, Any]) -> Any:
    """The k largest or smallest values along an axis, in order. Of a batch, whose size is not known, only one."""
    x, k, dim = a["input"], a["k"], a["dim"]
    if k == 1:
        return _one(r, x, dim, largest=a["largest"], keepdim=True)
    return _in_order(r, x, dim, k, "slice", {"start": 0, "stop": k}, descending=a["largest"])


@lowering("kthvalue")
def _kthvalue(r: Recorder, a: dict[str, Any]) -> Any:
    """The k-th smallest value along an axis. Of a batch, whose size is not known, only the smallest."""
    x, k, dim = a["input"], a["k"], a["dim"]
    if k == 1:
        return _one(r, x, dim, largest=False, keepdim=a["keepdim"])
    if a["keepdim"]:
        return _in_order(r, x, dim, k, "slice", {"start": k - 1, "stop": k}, descending=False)
    return _in_order(r, x, dim, k, "select", {"index": k - 1}, descending=False)


def _one(r: Recorder, x: SymTensor, dim: int, *, largest: bool, keepdim: bool) -> Pair:
    attrs = {"dim": dim, "keepdim": keepdim}
    return Pair(*(r.add(op, (x,), attrs) for op in (("max", "argmax") if largest else ("min", "argmin"))))


def _in_order(r: Recorder, x: SymTensor, dim: int, k: int, op: str, part: dict[str, int], *, descending: bool) -> Pair:
    """A part of the sorted values, and of their positions."""
    size = x.dims[dim].constant if -len(x.dims) <= dim < len(x.dims) else None
    if size is None or not 1 <= k <= size:
        raise misfit()
    ordered = (r.add(sort, (x,), {"dim": dim, "descending": descending}) for sort in ("sort", "argsort"))
    return Pair(*(r.add(op, (y,), {"dim": dim, **part}) for y in ordered))
