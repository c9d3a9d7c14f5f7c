"""Lowerings of reductions."""

from __future__ import annotations

import math
from typing import Any

from sandbox.child.trace.lowering.registry import LOWERINGS, Lowering, axes, floating, lowering, misfit
from sandbox.child.trace.symbols import Pair, Recorder, SymTensor


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


@lowering("norm")
def _norm(r: Recorder, a: dict[str, Any]) -> Any:
    p = 2.0 if a["p"] in (None, "fro") else a["p"]
    if not isinstance(p, int | float) or isinstance(p, bool):
        raise misfit()
    attrs = {"dim": a["dim"], "keepdim": a["keepdim"]}
    if math.isinf(p):
        return r.add("amax" if p > 0 else "amin", (r.add("abs", (floating(a["input"]),)),), attrs)
    return r.add("norm", (floating(a["input"]),), {"p": float(p), **attrs})


def _position(op: str) -> Lowering:
    def made(r: Recorder, a: dict[str, Any]) -> Any:
        return r.add(op, (a["input"],), {"dim": a["dim"], "keepdim": a["keepdim"]})

    return made


LOWERINGS["argmax"], LOWERINGS["argmin"] = _position("argmax"), _position("argmin")


@lowering("sort")
def _sort(r: Recorder, a: dict[str, Any]) -> Any:
    attrs = {"dim": a["dim"], "descending": a["descending"]}
    return Pair(r.add("sort", (a["input"],), attrs), r.add("argsort", (a["input"],), attrs))
