"""Losses that repeat one operation: for the bound on a loss's cost, and for measuring what operations cost."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sandbox.graph import LossGraph, Node, make_node, prune
from sandbox.operations import OPERATIONS

SHAPES = ("B", "B,1", "B,B", "B,64", "64,B", "B,B,64", "4096", "1")
"""What the operation is given: pairs, all pairs of pairs, many values per pair, rows as long as the batch."""

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


def repeated(name: str, shape: str, count: int, *, limited: bool = True, **attrs: Any) -> LossGraph:
    """DPO plus a little of `count` results of one operation on operands of `shape`, between 0 and 1.

    Raises GraphError or ShapeError where the operation does not take them, or, if `limited`, where the loss is too dear.
    """
    build = Builder()
    x = build.add("sub", build.add("sub", 0, 1), build.add("sub", 2, 3))
    # Sorted, so that an operation along the batch does not make the loss depend on a pair's place.
    low = build.add("sort", build.add("sigmoid", build.add("mul", x, build.number(0.01))))
    operand = _shaped(build, low, shape)
    other = build.add("sub", build.number(1.0), operand)
    total = build.add("softplus", build.add("neg", build.add("mul", x, 4)))
    for _ in range(count):
        result = _applied(build, name, shape, operand, other, attrs)
        part = build.add("sum", build.add("cast", result, to="float"))
        total = build.add("add", total, build.add("mul", part, build.number(1e-12)))
    graph = prune(LossGraph("preference", tuple(build.nodes), total))
    if limited:
        return LossGraph.from_nodes("preference", build.nodes, total)
    _ = graph.types
    return graph


def _shaped(build: Builder, low: int, shape: str) -> int:
    column, row = build.add("unsqueeze", low, dim=1), build.add("unsqueeze", low, dim=0)
    match shape:
        case "B":
            return low
        case "B,1":
            return column
        case "B,B":
            return build.add("mul", column, row)
        case "B,64":
            return build.add("stack", *[low] * 64, dim=1)
        case "64,B":
            return build.add("stack", *[low] * 64, dim=0)
        case "B,B,64":
            return build.add("stack", *[build.add("mul", column, row)] * 64, dim=2)
        case "1":
            return build.add("mean", low, dim=0, keepdim=True)
    mean = build.add("mean", low)
    return build.add("expand", mean, shape=(int(shape),))


def _applied(build: Builder, name: str, shape: str, a: int, b: int, attrs: Mapping[str, Any]) -> int:
    operation = OPERATIONS[name]
    given = {n: _ATTRS[n] for n, spec in operation.attrs.items() if n in _ATTRS and (spec.default is ... or n == "dim")}
    if name in ("reshape", "expand", "full"):
        given["shape"] = tuple(int(s) if s.isdigit() else s for s in shape.split(","))
    if name == "where":
        return build.add(name, build.add("gt", a, b), a, b, **given | attrs)
    if name == "gather":
        return build.add(name, a, build.add("argsort", b, dim=0), **given | attrs)
    if name == "full":
        return build.add(name, build.number(0.5), **given | attrs)
    if name == "full_like":
        return build.add(name, a, build.number(0.5))
    if name == "matmul" and shape in ("B,64", "64,B"):
        return build.add(name, a, build.add("transpose", b, dim0=0, dim1=1))
    count = (
        64
        if name in ("cat", "stack") and shape in ("B", "B,1")
        else 2
        if operation.arity[1] == 64
        else operation.arity[1]
    )
    return build.add(name, *[a, b, a][:count] if count < 64 else [a] * 64, **given | attrs)
