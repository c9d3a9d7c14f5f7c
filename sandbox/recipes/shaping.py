"""Recipes that rearrange tensors."""

from __future__ import annotations

from typing import Any

from sandbox.recipes.registry import axes, misfit, recipe, shape_of, sizes_of
from sandbox.refusal import Refusal
from sandbox.symbolic import Recorder


@recipe("flip")
def _flip(r: Recorder, a: dict[str, Any]) -> Any:
    out, dims = a["input"], axes(a["dims"])
    for dim in dims if isinstance(dims, tuple) else (dims,):
        out = r.add("flip", (out,), {"dim": dim})
    return out


@recipe("roll")
def _roll(r: Recorder, a: dict[str, Any]) -> Any:
    x, dim = a["input"], a["dims"]
    if dim is None:
        if len(x.dims) != 1:
            raise misfit()
        dim = 0
    return r.add("roll", (x,), {"shift": a["shifts"], "dim": dim})


@recipe("reshape")
def _reshape(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("reshape", (a["input"],), {"shape": shape_of(a["shape"], r)})


@recipe("reshape_as")
def _reshape_as(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("reshape", (a["input"],), {"shape": shape_of(sizes_of(r, a["other"]), r)})


@recipe("expand")
def _expand(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("expand", (a["input"],), {"shape": shape_of(a["shape"], r)})


@recipe("expand_as")
def _expand_as(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("expand", (a["input"],), {"shape": shape_of(sizes_of(r, a["other"]), r)})


@recipe("flatten")
def _flatten(r: Recorder, a: dict[str, Any]) -> Any:
    if (a["start_dim"], a["end_dim"]) != (0, -1):
        raise misfit()
    return r.add("reshape", (a["input"],), {"shape": (-1,)})


@recipe("matrix_transpose")
def matrix_transpose(r: Recorder, a: dict[str, Any]) -> Any:
    """x.t() and x.T: of a matrix; a vector stays itself."""
    x = a["input"]
    if len(x.dims) < 2:
        return x
    if len(x.dims) > 2:
        raise misfit()
    return r.add("transpose", (x,), {"dim0": 0, "dim1": 1})


@recipe("one_hot")
def _one_hot(r: Recorder, a: dict[str, Any]) -> Any:
    classes = a["num_classes"]
    symbol = r.symbol_of(classes)
    if symbol is None:
        raise Refusal("SBX236")
    return r.add("one_hot", (a["input"],), {"symbol": symbol})


@recipe("narrow")
def _narrow(r: Recorder, a: dict[str, Any]) -> Any:
    if type(a["length"]) is not int or a["start"] < 0 or a["length"] < 1:
        raise misfit()
    return r.add("slice", (a["input"],), {"dim": a["dim"], "start": a["start"], "stop": a["start"] + a["length"]})


@recipe("diagonal")
def _diagonal(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("diagonal", (a["input"],))
