"""Lowerings that reshape, split and rearrange tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from sandbox.child.protocol import Refusal
from sandbox.child.trace.lowering.registry import axes, cast, lowering, misfit, shape_entry, shape_of, sizes_of
from sandbox.child.trace.lowering.values import view_of
from sandbox.child.trace.symbols import Recorder, SymTensor
from sandbox.contracts.contract import BATCH
from sandbox.graph.types import Dim

MOST_PARTS = 64
"""Maximum number of parts into which a tensor may be split."""


@lowering("flip")
def _flip(r: Recorder, a: dict[str, Any]) -> Any:
    out, dims = a["input"], axes(a["dims"])
    for dim in dims if isinstance(dims, tuple) else (dims,):
        out = r.add("flip", (out,), {"dim": dim})
    return out


@lowering("roll")
def _roll(r: Recorder, a: dict[str, Any]) -> Any:
    x, dim = a["input"], a["dims"]
    if dim is None:
        if len(x.dims) != 1:
            raise misfit()
        dim = 0
    return r.add("roll", (x,), {"shift": a["shifts"], "dim": dim})


@lowering("reshape")
def _reshape(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("reshape", (a["input"],), {"shape": shape_of(a["shape"], r)})


@lowering("reshape_as")
def _reshape_as(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("reshape", (a["input"],), {"shape": shape_of(sizes_of(r, a["other"]), r)})


@lowering("expand")
def _expand(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("expand", (a["input"],), {"shape": shape_of(a["shape"], r)})


@lowering("expand_as")
def _expand_as(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("expand", (a["input"],), {"shape": shape_of(sizes_of(r, a["other"]), r)})


@lowering("flatten")
def _flatten(r: Recorder, a: dict[str, Any]) -> Any:
    if (a["start_dim"], a["end_dim"]) != (0, -1):
        raise misfit()
    if len(a["input"].dims) == 1:
        return a["input"]  # the tensor itself, with its gradient also inside of no_grad
    return r.add("reshape", (a["input"],), {"shape": (-1,)})


@lowering("ravel")
def _ravel(r: Recorder, a: dict[str, Any]) -> Any:
    x = a["input"]
    return view_of(r, x) if len(x.dims) == 1 else r.add("reshape", (x,), {"shape": (-1,)})


@lowering("matrix_transpose")
def matrix_transpose(r: Recorder, a: dict[str, Any]) -> Any:
    """x.t() and x.T: the transpose of a matrix, a vector unchanged."""
    x = a["input"]
    if len(x.dims) < 2:
        return x if r.keeps_gradients else r.add("detach", (x,))
    if len(x.dims) > 2:
        raise misfit()
    return r.add("transpose", (x,), {"dim0": 0, "dim1": 1})


@lowering("one_hot")
def _one_hot(r: Recorder, a: dict[str, Any]) -> Any:
    x, classes = a["input"], a["num_classes"]
    if type(classes) is int and 1 <= classes <= MOST_PARTS:
        if x.type.dtype != "int":
            raise misfit()
        return cast(r, r.add("stack", [r.add("eq", (x, i)) for i in range(classes)], {"dim": -1}), "int")
    symbol = r.symbol_of(classes)
    if symbol is None:
        raise Refusal("SBX236")
    return r.add("one_hot", (x,), {"symbol": symbol})


@lowering("narrow")
def _narrow(r: Recorder, a: dict[str, Any]) -> Any:
    if type(a["length"]) is not int or a["start"] < 0 or a["length"] < 1:
        raise misfit()
    return r.add("slice", (a["input"],), {"dim": a["dim"], "start": a["start"], "stop": a["start"] + a["length"]})


@lowering("unbind")
def _unbind(r: Recorder, a: dict[str, Any]) -> Any:
    return parts_of(r, a["input"], a["dim"])


def parts_of(r: Recorder, x: SymTensor, dim: int = 0) -> tuple[Any, ...]:
    """The entries of x along an axis of constant size. Raises Refusal."""
    at = dim % len(x.dims) if x.dims else -1
    size = x.dims[at].constant if -len(x.dims) <= dim < len(x.dims) else None
    if size is None or size > MOST_PARTS:
        raise Refusal("SBX234")
    return tuple(r.add("select", (x,), {"dim": at, "index": i}) for i in range(size))


@lowering("chunk")
def _chunk(r: Recorder, a: dict[str, Any]) -> Any:
    """Parts of equal size. The batch axis is split only if it consists of a multiple of that many batches."""
    x, chunks, dim = a["input"], a["chunks"], a["dim"]
    if not 1 <= chunks <= MOST_PARTS or not -len(x.dims) <= dim < len(x.dims):
        raise misfit()
    at = dim % len(x.dims)
    size = x.dims[at].constant
    if size is not None:
        return _split_at(r, x, at, _starts(size, -(-size // chunks)))
    each = x.dims[at].divide(Dim.of(chunks))
    if each is None:
        raise misfit()
    return _split_at(r, x, at, [each * Dim.of(i) for i in range(chunks)])


@lowering("split", "split_method")
def _split(r: Recorder, a: dict[str, Any]) -> Any:
    """Parts of one given size, or of several given sizes."""
    x, dim = a["input" if "input" in a else "tensor"], a["dim"]
    wanted = a["split_size" if "split_size" in a else "split_size_or_sections"]
    if not -len(x.dims) <= dim < len(x.dims):
        raise misfit()
    at = dim % len(x.dims)
    total = x.dims[at]
    if isinstance(wanted, list | tuple):
        sizes = [_known_size(r, w) for w in wanted]
        ends = list(accumulate(sizes, initial=Dim.of(0)))
        if ends[-1] != total or not 1 <= len(sizes) <= MOST_PARTS:
            raise misfit()
        return _split_at(r, x, at, ends[:-1])
    each = _known_size(r, wanted)
    if total.constant is not None and each.constant:
        return _split_at(r, x, at, _starts(total.constant, each.constant))
    parts = total.divide(each)
    if parts is None or parts.constant is None:
        raise misfit()
    return _split_at(r, x, at, [each * Dim.of(i) for i in range(parts.constant)])


def _starts(size: int, each: int) -> list[Dim]:
    return [Dim.of(start) for start in range(0, size, max(each, 1))]


def _known_size(r: Recorder, value: Any) -> Dim:
    size = r.dim_of(value)
    if size is None or size.constant == 0:
        raise misfit()
    return size


def _split_at(r: Recorder, x: SymTensor, at: int, starts: Sequence[Dim]) -> tuple[SymTensor, ...]:
    """The parts of x that begin at these positions along an axis. Raises Refusal."""
    if len(starts) > MOST_PARTS:
        raise misfit()
    parts = parts_between(r, x, at, [*starts, x.dims[at]])
    if parts is None:
        raise misfit()
    return parts


def parts_between(r: Recorder, x: SymTensor, at: int, places: Sequence[Dim]) -> tuple[SymTensor, ...] | None:
    """The parts of x between neighbouring positions in `places` along an axis.

    The positions must be constants, or boundaries of whole batches on an axis of concatenated batches; else returns None.
    """
    total = x.dims[at]
    known = [p.constant for p in places]
    if total.constant is not None and None not in known:
        ends = pairwise(known)
        return tuple(r.add("slice", (x,), {"dim": at, "start": a, "stop": b}) for a, b in ends)
    if list(places) == [Dim.of(0), total]:
        return (r.add("slice", (x,), {"dim": at}),)
    around = [shape_entry(d) for d in x.dims]
    count = total.batches(BATCH)
    cuts = [p.batches(BATCH) for p in places]
    if count is None or None in cuts or None in around[:at] + around[at + 1 :]:
        return None
    ordered = [c for c in cuts if c is not None]
    if not all(0 <= a < b <= count for a, b in pairwise(ordered)):
        return None
    batches = r.add("reshape", (x,), {"shape": (*around[:at], count, -1, *around[at + 1 :])})
    return tuple(_batches(r, batches, at, a, b, (*around[:at], -1, *around[at + 1 :])) for a, b in pairwise(ordered))


def _batches(r: Recorder, x: SymTensor, at: int, first: int, last: int, shape: tuple[Any, ...]) -> SymTensor:
    """The batches from `first` to before `last` along an axis of batches, concatenated."""
    if last - first == 1:
        return r.add("select", (x,), {"dim": at, "index": first})  # type: ignore[no-any-return]
    kept = r.add("slice", (x,), {"dim": at, "start": first, "stop": last})
    return r.add("reshape", (kept,), {"shape": shape})  # type: ignore[no-any-return]


@lowering("diagonal")
def _diagonal(r: Recorder, a: dict[str, Any]) -> Any:
    return r.add("diagonal", (a["input"],))
