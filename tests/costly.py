"""Losses that repeat one operation as often as the verifier allows: for tests of the limit on cost, and for benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sandbox.graph.loss_graph import MAX_OPERATIONS, VerifiedGraph
from sandbox.graph.nodes import GraphError, Node, make_node
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.shapes import ShapeError

SHAPES = ("B", "B,B", "B,64", "64,B", "1", "number")
"""Shapes of operands: one value per pair, all pairs of pairs, 64 values per pair, 64 rows, one value, a number."""

_ATTRS: Mapping[str, Any] = MappingProxyType(
    {
        "dim": 0, "dim0": 0, "dim1": -1, "q": 0.3, "shift": 1, "index": 0, "to": "int", "threshold": 0.5, "value": 0.1,
        "symbol": "B",
    }
)  # fmt: skip
_INPUTS = ("policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "reference_rejected_logps", "beta")


class Builder:
    """Adds nodes one by one."""

    def __init__(self) -> None:
        self.nodes: list[Node] = [make_node("input", (), {"name": name}) for name in _INPUTS]

    def add(self, op: str, *args: int, **attrs: Any) -> int:
        self.nodes.append(make_node(op, args, attrs))
        return len(self.nodes) - 1

    def number(self, value: Any) -> int:
        return self.add("const", value=value)


def most_costly(name: str, shape: str, *, chained: bool = False) -> VerifiedGraph | None:
    """The accepted loss with the most repetitions of an operation on operands of this shape; None if even one is refused."""
    low, high = 0, MAX_OPERATIONS
    while low < high:
        middle = (low + high + 1) // 2
        if _accepted(name, shape, middle, chained):
            low = middle
        else:
            high = middle - 1
    return repeated(name, shape, low, chained=chained) if low else None


def _accepted(name: str, shape: str, count: int, chained: bool) -> bool:
    try:
        repeated(name, shape, count, chained=chained)
    except (GraphError, ShapeError):
        return False
    return True


def repeated(name: str, shape: str, count: int, *, chained: bool = False) -> VerifiedGraph:
    """DPO plus a small multiple of `count` results of one operation on operands between 0 and 1: side by side, or with `chained`
    each the operand of the next one. Raises GraphError."""
    build = Builder()
    x = build.add("sub", build.add("sub", 0, 1), build.add("sub", 2, 3))
    # Sorted, so that an operation along the batch does not make the loss depend on a pair's place.
    low = build.add("sort", build.add("sigmoid", build.add("mul", x, build.number(0.01))))
    operand = _shaped(build, low, shape)
    other = build.add("sub", build.number(1.0), operand)
    weight = build.number(1e-12)
    total = build.add("softplus", build.add("neg", build.add("mul", x, 4)))
    result = operand
    for _ in range(count):
        result = _applied(build, name, shape, result if chained else operand, other)
        if not chained:
            total = _with(build, total, result, shape, weight)
    total = _with(build, total, result, shape, weight)
    return VerifiedGraph("preference", tuple(build.nodes), total)


def _with(build: Builder, total: int, result: int, shape: str, weight: int) -> int:
    part = result if shape == "number" else build.add("sum", build.add("cast", result, to="float"))
    return build.add("add", total, build.add("mul", part, weight))


def _shaped(build: Builder, low: int, shape: str) -> int:
    match shape:
        case "B":
            return low
        case "number":
            return build.add("add", 4, build.number(0.5))
        case "B,B":
            return build.add("mul", build.add("unsqueeze", low, dim=1), build.add("unsqueeze", low, dim=0))
        case "B,64":
            return build.add("stack", *[low] * 64, dim=1)
        case "64,B":
            return build.add("stack", *[low] * 64, dim=0)
    return build.add("mean", low, dim=0, keepdim=True)


def _applied(build: Builder, name: str, shape: str, a: int, b: int) -> int:
    operation = OPERATIONS[name]
    given = {n: _ATTRS[n] for n, spec in operation.attrs.items() if n in _ATTRS and (spec.default is ... or n == "dim")}
    if "keepdim" in operation.attrs:
        given["keepdim"] = True
    match name:
        case "reshape" | "expand":
            return build.add(name, a, shape=_sizes(shape))
        case "full":
            return build.add(name, build.number(0.5), shape=_sizes(shape))
        case "full_like":
            return build.add(name, a, build.number(0.5))
        case "where":
            return build.add(name, build.add("gt", a, b), a, b)
        case "gather":
            return build.add(name, a, build.add("argsort", b, dim=0), **given)
        case "matmul" if shape in ("B,64", "64,B"):
            return build.add(name, a, build.add("transpose", b, dim0=0, dim1=1))
        case "cat" | "stack":
            return build.add(name, *[a] * (64 if shape in ("B", "1") else 2), **given)
    return build.add(name, *[a, b, a][: operation.arity[1]], **given)


def _sizes(shape: str) -> tuple[int | str, ...]:
    return tuple(int(s) if s.isdigit() else s for s in shape.split(","))
