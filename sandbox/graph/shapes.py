"""What each operation makes of the types of its operands. No torch, no execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.contracts.contract import Contract
from sandbox.graph.operations import Operation
from sandbox.graph.types import MAX_ELEMENTS_FACTOR, ONE, Dim, Shape, Type, elements

MAX_RANK = 4


class ShapeError(Exception):
    """An operation does not accept operands of these types. `code` is a rule of the catalogue."""

    def __init__(self, message: str, code: str = "SBX220") -> None:
        super().__init__(message)
        self.code = code


def infer(operation: Operation, operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract) -> Type:
    """The type that `operation` gives for operands of these types.

    Raises ShapeError where it does not accept them, or where the result would be too large.
    """
    numbers = all(t.is_number for t in operands)
    if operands and numbers and not operation.scalar and operation.name not in ("tensor", "full"):
        raise ShapeError(f"{operation.name} needs a tensor, got only Python numbers", "SBX221")
    if operands and numbers and operation.scalar:
        return Type(_dtype(operation, operands, attrs), None)
    if operation.rule not in _NUMBERS_WELCOME:
        for t in operands:
            if t.is_number:
                raise ShapeError(f"{operation.name} needs tensors, got a {t}", "SBX221")
    _check_types(operation.name, operands, attrs)
    shape = _RULES[operation.rule](operands, attrs, contract)
    if shape is None:
        return Type(_dtype(operation, operands, attrs, contract), None)
    if len(shape) > MAX_RANK:
        raise ShapeError(
            f"{operation.name} makes a tensor of {len(shape)} axes, at most {MAX_RANK} are allowed", "SBX222"
        )
    if not elements(shape).bounded:
        raise ShapeError(
            f"{operation.name} makes a tensor of {elements(shape)} numbers, at most "
            f"{MAX_ELEMENTS_FACTOR} times the square of the batch are allowed",
            "SBX222",
        )
    return Type(_dtype(operation, operands, attrs, contract), shape)


_NEVER_BOOL = frozenset({"floor", "ceil", "trunc", "round", "relu", "neg", "abs", "sub", "argmax", "argmin", "cumsum"})
"""Operations that torch does not define where any operand is boolean."""
_NOT_ONLY_BOOL = frozenset({"remainder", "floordiv", "pow", "clamp_min", "clamp_max", "dot", "matmul", "median"})
"""Operations that torch does not define where all operands are boolean."""


def _check_types(name: str, operands: Sequence[Type], attrs: Mapping[str, Any]) -> None:
    """What shapes do not tell, and torch would only tell when it runs."""
    kinds = [t.dtype for t in operands]
    if (name in _NEVER_BOOL and "bool" in kinds) or (name in _NOT_ONLY_BOOL and set(kinds) == {"bool"}):
        raise ShapeError(f"{name} is not defined for booleans; use .float() on the mask, or ~ to invert it")
    if name == "pow" and "bool" in kinds:
        raise ShapeError("pow is not defined for booleans; use .float() on the mask")
    if name in ("dot", "matmul") and len(set(kinds)) > 1 and "float" not in kinds:
        raise ShapeError(f"{name} needs operands of one type, got {operands[0]} and {operands[1]}")
    if name in ("cross_entropy", "nll_loss") and kinds[0] != "float":
        raise ShapeError(f"{name} needs a float tensor, got {operands[0]}")
    if name == "frac" and kinds != ["float"]:
        raise ShapeError(f"frac needs a float tensor, got {operands[0]}")
    if name == "where" and operands[0].is_number:
        raise ShapeError("the condition of where must be a tensor", "SBX221")
    if name in ("roll", "slice") and not operands[0].dims:
        raise ShapeError(f"{name} needs a tensor with at least one axis")
    if name == "hardtanh" and attrs["min_val"] > attrs["max_val"]:
        raise ShapeError("hardtanh needs min_val <= max_val", "SBX212")


_WIDTH = {"bool": 0, "int": 1, "float": 2}


def _dtype(
    operation: Operation, operands: Sequence[Type], attrs: Mapping[str, Any], contract: Contract | None = None
) -> str:
    match operation.result:
        case "promote":
            widest = max((t.dtype for t in operands), key=_WIDTH.__getitem__)
            return "int" if widest == "bool" and all(t.is_number for t in operands) else widest
        case "where":
            return max((t.dtype for t in operands[1:]), key=_WIDTH.__getitem__)
        case "same":
            rounds = operands[0].is_number and operation.name in (
                "floor",
                "ceil",
                "trunc",
            )  # Python's give whole numbers
            return "int" if rounds else operands[0].dtype
        case "sum":
            return "int" if operands[0].dtype == "bool" else operands[0].dtype
        case "cast":
            return str(attrs["to"])
        case "const":
            value = attrs["value"]
            return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
        case "input":
            assert contract is not None
            return contract.argument(attrs["name"]).dtype
        case fixed:
            return fixed


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


_RULES: Mapping[str, Callable[[Sequence[Type], Mapping[str, Any], Contract], Shape | None]] = {
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

_NUMBERS_WELCOME = frozenset({"elementwise", "tensor", "full", "full_like", "same"})
