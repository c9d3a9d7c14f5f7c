"""Lowerings of functions that join, repeat and rearrange tensors, and of sums of products over named axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.child.trace.lowering.registry import LOWERINGS, axes, floating, lowering, misfit, shape_of
from sandbox.child.trace.lowering.shaping import MOST_PARTS
from sandbox.child.trace.lowering.values import view_of
from sandbox.child.trace.symbols import Recorder, Sizes, SymTensor
from sandbox.graph.types import Dim

_MOST_AXES = 4
_MOST_OPERANDS = 3


@lowering("hstack")
def _hstack(r: Recorder, a: dict[str, Any]) -> Any:
    tensors = [_with_an_axis(r, x) for x in a["tensors"]]
    return r.add("cat", tensors, {"dim": 0 if len(tensors[0].dims) == 1 else 1})


@lowering("vstack")
def _vstack(r: Recorder, a: dict[str, Any]) -> Any:
    tensors = [_with_an_axis(r, x) for x in a["tensors"]]
    rows = [r.add("unsqueeze", (x,), {"dim": 0}) if len(x.dims) == 1 else x for x in tensors]
    return r.add("cat", rows, {"dim": 0})


@lowering("column_stack")
def _column_stack(r: Recorder, a: dict[str, Any]) -> Any:
    tensors = [_with_an_axis(r, x) for x in a["tensors"]]
    columns = [r.add("unsqueeze", (x,), {"dim": 1}) if len(x.dims) == 1 else x for x in tensors]
    return r.add("cat", columns, {"dim": 1})


def _with_an_axis(r: Recorder, x: SymTensor) -> SymTensor:
    return x if x.dims else r.add("unsqueeze", (x,), {"dim": 0})


@lowering("permute")
def _permute(r: Recorder, a: dict[str, Any]) -> Any:
    x, dims = a["input"], axes(a["dims"])
    order = [_axis(d, x) for d in (dims if isinstance(dims, tuple) else (dims,))]
    if sorted(order) != list(range(len(x.dims))):
        raise misfit()
    return view_of(r, _ordered(r, x, order))


@lowering("movedim")
def _movedim(r: Recorder, a: dict[str, Any]) -> Any:
    x = a["input"]
    source, target = _axis(a["source"], x), _axis(a["destination"], x)
    order = [i for i in range(len(x.dims)) if i != source]
    order.insert(target, source)
    return view_of(r, _ordered(r, x, order))


def _axis(dim: Any, x: SymTensor) -> int:
    if type(dim) is not int or not -len(x.dims) <= dim < len(x.dims):
        raise misfit()
    return dim % len(x.dims)


def _ordered(r: Recorder, x: SymTensor, order: Sequence[int]) -> SymTensor:
    """x with its axes in this order."""
    now = list(range(len(order)))
    for at, wanted in enumerate(order):
        found = now.index(wanted)
        if found != at:
            x = r.add("transpose", (x,), {"dim0": at, "dim1": found})
            now[at], now[found] = now[found], now[at]
    return x


@lowering("repeat")
def _repeat(r: Recorder, a: dict[str, Any]) -> Any:
    """Copies of x along its axes, in front of which further axes may be added. An axis of size one is expanded."""
    x, sizes = a["input"], _repeats(a["repeats"])
    if not len(x.dims) <= len(sizes) <= _MOST_AXES:
        raise misfit()
    for _ in range(len(sizes) - len(x.dims)):
        x = r.add("unsqueeze", (x,), {"dim": 0})
    wide: list[Any] = [-1] * len(sizes)
    for at, times in enumerate(sizes):
        if type(times) is int and times == 1:
            continue
        if x.dims[at] == Dim.of(1):
            wide[at] = times
        elif type(times) is int and 1 < times <= MOST_PARTS:
            x = r.add("cat", [x] * times, {"dim": at})
        else:
            raise misfit()
    if all(w == -1 for w in wide):
        return LOWERINGS["copy"](r, {"input": x})  # torch returns a tensor of its own
    return r.add("expand", (x,), {"shape": shape_of(wide, r)})


@lowering("tile")
def _tile(r: Recorder, a: dict[str, Any]) -> Any:
    sizes = _repeats(a["dims"])
    return _repeat(r, {"input": a["input"], "repeats": [1] * (len(a["input"].dims) - len(sizes)) + sizes})


def _repeats(sizes: Any) -> list[Any]:
    if isinstance(sizes, Sizes):
        sizes = sizes.items
    found = list(sizes) if isinstance(sizes, list | tuple) else [sizes]
    if not found or any(type(n) is int and n < 1 for n in found):
        raise misfit()
    return found


@lowering("diff")
def _diff(r: Recorder, a: dict[str, Any]) -> Any:
    """The differences of neighbours along an axis of constant size."""
    x = floating(a["input"])
    at = _axis(a["dim"], x)
    size = x.dims[at].constant
    if size is None or size < 2:
        raise misfit()
    after, before = (
        r.add("slice", (x,), {"dim": at, "start": start, "stop": stop}) for start, stop in ((1, size), (0, size - 1))
    )
    return r.add("sub", (after, before))


@lowering("take_along_dim")
def _take_along_dim(r: Recorder, a: dict[str, Any]) -> Any:
    x, index = a["input"], a["indices"]
    at = _axis(a["dim"], x)
    if [d for i, d in enumerate(x.dims) if i != at] != [d for i, d in enumerate(index.dims) if i != at]:
        raise misfit()
    return r.add("gather", (x, index), {"dim": at})


@lowering("bmm")
def _bmm(r: Recorder, a: dict[str, Any]) -> Any:
    x, y = floating(a["input"]), floating(a["mat2"])
    if len(x.dims) != 3 or len(y.dims) != 3 or x.dims[0] != y.dims[0] or x.dims[2] != y.dims[1]:
        raise misfit()
    return _sum_of_products(r, ["bij", "bjk"], [x, y], "bik")


@lowering("einsum")
def _einsum(r: Recorder, a: dict[str, Any]) -> Any:
    """Products and sums over named axes, each axis at most once in an operand; no ellipsis."""
    tensors = [floating(x) for x in a["operands"]]
    left, arrow, right = a["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    if not 1 <= len(tensors) <= _MOST_OPERANDS or len(terms) != len(tensors):
        raise misfit()
    letters = "".join(terms)
    if not arrow:  # the axes that occur once, in the order of the alphabet
        right = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    if not set(right) <= set(letters) or not all(c.isascii() and c.isalpha() for c in letters):
        raise misfit()
    for term, x in zip([*terms, right], [*tensors, None], strict=True):
        if len(set(term)) != len(term) or (x is not None and len(term) != len(x.dims)):
            raise misfit()
    return _sum_of_products(r, terms, tensors, right)


def _sum_of_products(r: Recorder, terms: Sequence[str], tensors: Sequence[SymTensor], result: str) -> Any:
    """Each tensor with the axes of all of them, multiplied; then the sum over the axes that are not in the result."""
    summed = sorted(set("".join(terms)) - set(result))
    every = result + "".join(summed)
    if len(every) > _MOST_AXES:
        raise misfit()
    out: Any = None
    for term, x in zip(terms, tensors, strict=True):
        wide = _ordered(r, x, [term.index(c) for c in every if c in term])
        for at, letter in enumerate(every):
            if letter not in term:
                wide = r.add("unsqueeze", (wide,), {"dim": at})
        out = wide if out is None else r.add("mul", (out, wide))
    dims = tuple(range(len(result), len(every)))
    out = view_of(r, out) if len(tensors) == 1 else out
    return r.add("sum", (out,), {"dim": dims, "keepdim": False}) if dims else out
