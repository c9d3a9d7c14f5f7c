"""Shape rules: the symbolic shape of an operation's result, from the types of its operands. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.contracts.contract import Contract
from sandbox.graph.types import ONE, Dim, Shape, Type, elements


class ShapeError(Exception):
    """An operation does not accept operands of these types. `code` is a rule of the catalogue."""

    def __init__(self, message: str, code: str = "SBX220") -> None:
        super().__init__(message)
        self.code = code


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The common shape under broadcasting. Raises ShapeError."""
    rank = max((len(s) for s in shapes), default=0)
    out = []
    for axis in range(rank):
        sizes = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0} - {ONE}
        if len(sizes) > 1:
            shown = " and ".join("(" + ", ".join(map(str, s)) + ")" for s in shapes)
            raise ShapeError(f"shapes {shown} do not broadcast")
        out.append(sizes.pop() if sizes else ONE)
    return tuple(out)


def _axis(dim: Any, rank: int) -> int:
    if not isinstance(dim, int) or isinstance(dim, bool) or not -max(rank, 1) <= dim < max(rank, 1):
        raise ShapeError(f"axis {dim} is out of range for a tensor of {rank} axes")
    return dim % rank if rank else 0


def _reduce(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    shape = operands[0].dims
    dim = attrs["dim"]
    given = range(len(shape)) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    axes = {_axis(d, len(shape)) for d in given}
    if attrs["keepdim"]:
        return tuple(ONE if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def _reduce_one(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape:
    if attrs["dim"] is None and attrs["keepdim"]:
        raise ShapeError("keepdim needs an axis here: torch reduces over all axes without it")
    return _reduce(operands, attrs, contract)


def _along(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    _axis(attrs["dim"], len(operands[0].dims))
    return operands[0].dims


def _per_row(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    scores, targets = operands
    if len(scores.dims) != 2 or targets.dims != scores.dims[:1] or targets.dtype != "int":
        raise ShapeError(f"expected scores (batch, classes) and int targets (batch,), got {scores} and {targets}")
    return targets.dims


def _unsqueeze(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    shape = operands[0].dims
    at = _axis(attrs["dim"], len(shape) + 1)
    return (*shape[:at], ONE, *shape[at:])


def _squeeze(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    shape = operands[0].dims
    if attrs["dim"] is None:
        return tuple(d for d in shape if d != ONE)
    at = _axis(attrs["dim"], len(shape))
    return tuple(d for i, d in enumerate(shape) if i != at or d != ONE)


def _sizes(shape: Sequence[int | str], contract: Contract) -> list[Dim | None]:
    for s in shape:
        if isinstance(s, str) and s not in contract.symbols:
            raise ShapeError(f"unknown size {s!r}")
        if isinstance(s, int) and not -1 <= s <= 4096:
            raise ShapeError(f"a size of {s} is out of range", "SBX222")
    return [None if s == -1 else Dim.of(s) for s in shape]


def _reshape(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape:
    total = elements(operands[0].dims)
    wanted = _sizes(attrs["shape"], contract)
    known = elements(tuple(d for d in wanted if d is not None))
    if wanted.count(None) > 1:
        raise ShapeError("only one size of a reshape can be inferred (-1)")
    if None in wanted:
        rest = total.divide(known)
        if rest is None:
            raise ShapeError(f"cannot reshape {operands[0]} into {list(attrs['shape'])}")
        return tuple(rest if d is None else d for d in wanted)
    if known != total:
        raise ShapeError(f"cannot reshape {operands[0]} into {list(attrs['shape'])}")
    return tuple(d for d in wanted if d is not None)


def _expand(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape:
    shape, wanted = operands[0].dims, _sizes(attrs["shape"], contract)
    lead = len(wanted) - len(shape)
    if lead < 0:
        raise ShapeError(f"cannot expand {operands[0]} to fewer axes")
    out = []
    for i, d in enumerate(wanted):
        own = shape[i - lead] if i >= lead else None
        size = own if d is None else d
        if size is None or (own is not None and own not in (ONE, size)):
            raise ShapeError(f"cannot expand {operands[0]} to {list(attrs['shape'])}")
        out.append(size)
    return tuple(out)


def _transpose(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    shape = list(operands[0].dims)
    if not shape:
        return ()
    a, b = _axis(attrs["dim0"], len(shape)), _axis(attrs["dim1"], len(shape))
    shape[a], shape[b] = shape[b], shape[a]
    return tuple(shape)


def _slice(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    shape = operands[0].dims
    at = _axis(attrs["dim"], len(shape))
    start, stop = attrs["start"], attrs["stop"]
    constant = shape[at].constant
    if constant is not None:
        size = Dim.of(len(range(*slice(start, stop).indices(constant))))
    elif start >= 0 and (stop is None or stop < 0) and start - (stop or 0) <= 1:
        size = shape[at] + Dim.of((stop or 0) - start)
    else:
        raise ShapeError("a slice over the batch may leave out one item at most, since the batch size varies")
    return (*shape[:at], size, *shape[at + 1 :])


def _select(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    shape = operands[0].dims
    if not shape:
        raise ShapeError("a tensor without axes cannot be indexed")
    at = _axis(attrs["dim"], len(shape))
    constant = shape[at].constant
    low, high = (-1, 0) if constant is None else (-constant, constant - 1)
    if not low <= attrs["index"] <= high:
        raise ShapeError(f"index {attrs['index']} is out of range for an axis of size {shape[at]}")
    return (*shape[:at], *shape[at + 1 :])


def _gather(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape:
    source, index = operands
    if index.dtype != "int" or len(source.dims) != len(index.dims):
        raise ShapeError(f"gather needs an int index with as many axes as the tensor, got {source} and {index}")
    at = _axis(attrs["dim"], len(source.dims))
    for i, (s, d) in enumerate(zip(source.dims, index.dims, strict=True)):
        if i != at and d not in (s, ONE):
            raise ShapeError(f"gather along axis {at} needs equal sizes on the others, got {source} and {index}")
    return index.dims


def _one_hot(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape:
    if operands[0].dtype != "int":
        raise ShapeError(f"one_hot needs an int tensor, got {operands[0]}")
    return (*operands[0].dims, *(d for d in _sizes([attrs["symbol"]], contract) if d is not None))


def _cat(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    first = operands[0].dims
    if not first:
        raise ShapeError("cat needs tensors with at least one axis; use stack")
    at = _axis(attrs["dim"], len(first))
    total = Dim(())
    for t in operands:
        if len(t.dims) != len(first) or any(i != at and d != first[i] for i, d in enumerate(t.dims)):
            raise ShapeError(f"cannot concatenate {t} with {operands[0]}")
        total = total + t.dims[at]
    return (*first[:at], total, *first[at + 1 :])


def _stack(operands: Sequence[Type], attrs: Mapping[str, Any], _: Contract) -> Shape:
    first = operands[0].dims
    if any(t.dims != first for t in operands):
        raise ShapeError("stack needs tensors of one shape")
    at = _axis(attrs["dim"], len(first) + 1)
    return (*first[:at], Dim.of(len(operands)), *first[at:])


def _matrix(operands: Sequence[Type], _: Mapping[str, Any], __: Contract) -> Shape:
    if len(operands[0].dims) != 2:
        raise ShapeError(f"expected a matrix, got {operands[0]}")
    return operands[0].dims


def _diagonal(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape:
    rows, columns = _matrix(operands, attrs, contract)
    if rows != columns:
        raise ShapeError(f"expected a square matrix, got {operands[0]}")
    return (rows,)


def _outer(operands: Sequence[Type], _: Mapping[str, Any], __: Contract) -> Shape:
    if any(len(t.dims) != 1 for t in operands):
        raise ShapeError("outer needs two vectors")
    return (operands[0].dims[0], operands[1].dims[0])


def _dot(operands: Sequence[Type], _: Mapping[str, Any], __: Contract) -> Shape:
    if any(len(t.dims) != 1 for t in operands) or operands[0].dims != operands[1].dims:
        raise ShapeError("dot needs two vectors of one size")
    return ()


def _matmul(operands: Sequence[Type], _: Mapping[str, Any], __: Contract) -> Shape:
    a, b = operands[0].dims, operands[1].dims
    if not 1 <= len(a) <= 2 or not 1 <= len(b) <= 2 or a[-1] != b[0]:
        raise ShapeError(f"matmul does not accept {operands[0]} and {operands[1]}")
    return (*a[:-1], *b[1:])


def _full(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape:
    if not operands[0].is_number:
        raise ShapeError("full needs a number; use expand for a tensor")
    sizes = _sizes(attrs["shape"], contract)
    if None in sizes:
        raise ShapeError("full needs explicit sizes")
    return tuple(d for d in sizes if d is not None)


def _full_like(operands: Sequence[Type], _: Mapping[str, Any], __: Contract) -> Shape:
    if operands[0].is_number or not operands[1].is_number:
        raise ShapeError("full_like needs a tensor and a number; use expand for a tensor")
    return operands[0].dims


def _symbol(_: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Dim:
    size = _sizes([attrs["symbol"]], contract)[0]
    assert size is not None
    return size


def _input(_: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Shape | None:
    try:
        shape = contract.argument(attrs["name"]).shape
    except KeyError:
        raise ShapeError(f"the contract {contract.name} has no argument {attrs['name']!r}") from None
    return None if shape is None else tuple(Dim.of(s) for s in shape)


def _number(operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> None:
    if "symbol" in attrs:
        _symbol(operands, attrs, contract)


Rule = Callable[[Sequence[Type], Mapping[str, Any], Contract], Shape | None]
RULES: Mapping[str, Rule] = {
    "input": _input,
    "size": _number,
    "const": _number,
    "elementwise": lambda operands, _, __: broadcast([t.dims for t in operands]),
    "same": lambda operands, _, __: operands[0].shape,
    "tensor": lambda operands, _, __: operands[0].dims,
    "reduce": _reduce,
    "reduce_one": _reduce_one,
    "along": _along,
    "per_row": _per_row,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "reshape": _reshape,
    "expand": _expand,
    "transpose": _transpose,
    "slice": _slice,
    "select": _select,
    "gather": _gather,
    "one_hot": _one_hot,
    "cat": _cat,
    "stack": _stack,
    "matrix": _matrix,
    "diagonal": _diagonal,
    "outer": _outer,
    "dot": _dot,
    "matmul": _matmul,
    "full": _full,
    "full_like": _full_like,
    "arange": lambda operands, attrs, contract: (_symbol(operands, attrs, contract),),
    "eye": lambda operands, attrs, contract: (_symbol(operands, attrs, contract),) * 2,
}
"""Types of the operands, attributes and contract -> shape of the result, None for a Python number. Rules raise ShapeError."""

ALLOW_NUMBERS = frozenset({"elementwise", "tensor", "full", "full_like", "same"})
"""Rules that allow Python numbers as operands."""
TENSOR_FROM_NUMBERS = frozenset({"tensor", "full"})
"""Rules that create a tensor from Python numbers only."""
COMBINE_ENTRIES = frozenset({"along", "reduce", "reduce_one"})
"""Rules of operations that combine entries along axes."""
