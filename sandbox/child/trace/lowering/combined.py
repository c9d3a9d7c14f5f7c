"""Lowerings of functions that are short formulas: products with a factor, distances, counts, sums that leave out NaN."""

from __future__ import annotations

import math
from typing import Any

from sandbox.child.trace.lowering.registry import cast, floating, lowering, misfit
from sandbox.child.trace.symbols import Recorder, SymTensor

_SQUARE_ROOT_OF_HALF = math.sqrt(0.5)


@lowering("addcmul")
def _addcmul(r: Recorder, a: dict[str, Any]) -> Any:
    return _plus_scaled(r, a, "mul")


@lowering("addcdiv")
def _addcdiv(r: Recorder, a: dict[str, Any]) -> Any:
    return _plus_scaled(r, a, "div")


def _plus_scaled(r: Recorder, a: dict[str, Any], op: str) -> SymTensor:
    """input + value (tensor1 op tensor2)."""
    term = r.add(op, (floating(a["tensor1"]), floating(a["tensor2"])))
    if type(a["value"]) is not int or a["value"] != 1:
        term = r.add("mul", (term, a["value"]))
    return r.add("add", (floating(a["input"]), term))  # type: ignore[no-any-return]


@lowering("ndtr")
def _ndtr(r: Recorder, a: dict[str, Any]) -> Any:
    """The distribution function of the normal distribution, by erfc, which is exact in the lower tail."""
    scaled = r.add("mul", (floating(a["input"]), -_SQUARE_ROOT_OF_HALF))
    return r.add("mul", (r.add("erfc", (scaled,)), 0.5))


@lowering("entr")
def _entr(r: Recorder, a: dict[str, Any]) -> Any:
    """-x log x; 0 at 0, and minus infinity below."""
    x = floating(a["input"])
    return r.add("where", (r.add("lt", (x, 0.0)), -math.inf, r.add("neg", (r.add("xlogy", (x, x)),))))


@lowering("isclose")
def _isclose(r: Recorder, a: dict[str, Any]) -> Any:
    x, y = floating(a["input"]), floating(a["other"])
    bound = r.add("add", (r.add("mul", (r.add("abs", (y,)), a["rtol"])), a["atol"]))
    near = r.add("le", (r.add("abs", (r.add("sub", (x, y)),)), bound))
    finite = r.add("isfinite", (y,))  # else the bound is infinite too
    return r.add("logical_or", (r.add("eq", (x, y)), r.add("logical_and", (near, finite))))


@lowering("count_nonzero")
def _count_nonzero(r: Recorder, a: dict[str, Any]) -> Any:
    x = a["input"]
    counted = x if x.type.dtype == "bool" else r.add("ne", (x, 0))
    return r.add("sum", (counted,), {"dim": a["dim"], "keepdim": False})


@lowering("aminmax")
def _aminmax(r: Recorder, a: dict[str, Any]) -> Any:
    attrs = {"dim": a["dim"], "keepdim": a["keepdim"]}
    return r.add("amin", (a["input"],), attrs), r.add("amax", (a["input"],), attrs)


def _without_nan(r: Recorder, x: SymTensor) -> tuple[SymTensor, SymTensor]:
    """x with 0 for NaN, and where it is not NaN."""
    missing = r.add("isnan", (floating(x),))
    return r.add("where", (missing, 0.0, x)), r.add("logical_not", (missing,))


@lowering("nansum")
def _nansum(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("sum", (_without_nan(r, a["input"])[0],), {"dim": a["dim"], "keepdim": a["keepdim"]})


@lowering("nanmean")
def _nanmean(r: Recorder, a: dict[str, Any]) -> Any:
    attrs = {"dim": a["dim"], "keepdim": a["keepdim"]}
    kept, present = _without_nan(r, a["input"])
    return r.add("div", (r.add("sum", (kept,), attrs), r.add("sum", (cast(r, present, "float"),), attrs)))


@lowering("cosine_similarity")
def _cosine_similarity(r: Recorder, a: dict[str, Any]) -> Any:
    x, y, dim = floating(a["x1"]), floating(a["x2"]), a["dim"]
    if type(dim) is not int or len(x.dims) != len(y.dims):
        raise misfit()
    unit = [r.add("div", (t, r.add("clamp_min", (_length(r, t, 2.0, dim, keep=True), a["eps"])))) for t in (x, y)]
    return r.add("sum", (r.add("mul", unit),), {"dim": dim, "keepdim": False})


@lowering("pairwise_distance")
def _pairwise_distance(r: Recorder, a: dict[str, Any]) -> Any:
    return distance(r, a["x1"], a["x2"], a["p"], a["eps"], keep=a["keepdim"])


def distance(r: Recorder, x: SymTensor, y: SymTensor, p: float, eps: float, *, keep: bool = False) -> SymTensor:
    """The p-norm of x - y + eps along the last axis, as torch defines the distance. Raises Refusal."""
    if not x.dims or not y.dims or math.isinf(p):
        raise misfit()
    apart = r.add("add", (r.add("sub", (floating(x), floating(y))), eps))
    return _length(r, apart, float(p), -1, keep=keep)


def _length(r: Recorder, x: SymTensor, p: float, dim: int, *, keep: bool) -> SymTensor:
    return r.add("norm", (x,), {"p": p, "dim": dim, "keepdim": keep})  # type: ignore[no-any-return]
