"""Recipes that rearrange tensors."""

from __future__ import annotations

from typing import Any

from sandbox.dims import Dim
from sandbox.recipes.registry import axes, misfit, recipe, shape_of, sizes_of
from sandbox.refusal import Refusal
from sandbox.symbolic import Recorder, SymTensor

MOST_PARTS = 64
"""Parts that a tensor may be taken apart into."""


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
        return x if r.keeps_gradients else r.add("detach", (x,))
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


@recipe("unbind")
def _unbind(r: Recorder, a: dict[str, Any]) -> Any:
    return parts_of(r, a["input"], a["dim"])


def parts_of(r: Recorder, x: SymTensor, dim: int = 0) -> tuple[Any, ...]:
    """The entries of x along an axis of constant size. Raises Refusal."""
    at = dim % len(x.dims) if x.dims else -1
    size = x.dims[at].constant if -len(x.dims) <= dim < len(x.dims) else None
    if size is None or size > MOST_PARTS:
        raise Refusal("SBX234")
    return tuple(r.add("select", (x,), {"dim": at, "index": i}) for i in range(size))


@recipe("chunk")
def _chunk(r: Recorder, a: dict[str, Any]) -> Any:
    """Parts of one size; of the batch's axis only where it is made of so many batches."""
    x, chunks, dim = a["input"], a["chunks"], a["dim"]
    if not 1 <= chunks <= MOST_PARTS or not -len(x.dims) <= dim < len(x.dims):
        raise misfit()
    at = dim % len(x.dims)
    size = x.dims[at].constant
    if size is not None:
        each = -(-size // chunks)
        starts = range(0, size, max(each, 1))
        return tuple(r.add("slice", (x,), {"dim": at, "start": s, "stop": min(s + each, size)}) for s in starts)
    if len(x.dims) != 1 or x.dims[0].divide(Dim.of(chunks)) is None:
        raise misfit()
    return parts_of(r, r.add("reshape", (x,), {"shape": (chunks, -1)}))


@recipe("diagonal")
def _diagonal(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("diagonal", (a["input"],))
