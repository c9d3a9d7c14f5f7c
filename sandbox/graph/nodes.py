"""Nodes of a loss graph: creation with checked attributes, and conversion to and from JSON. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sandbox.graph.operations import OPERATIONS

_NONE: Mapping[str, Any] = MappingProxyType({})


class GraphError(Exception):
    """An invalid graph. `code` is a rule of the catalogue, `node` the index of the faulty node or None."""

    def __init__(self, code: str, message: str, node: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.node = node


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its name, the indices of its operands' nodes, and all its attributes, with defaults filled in."""

    op: str
    args: tuple[int, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __reduce__(self) -> tuple[Any, ...]:
        return (make_node, (self.op, self.args, dict(self.attrs)))


def make_node(op: str, args: Iterable[int] = (), attrs: Mapping[str, Any] | None = None) -> Node:
    """A node with the defaults of its operation filled in and each attribute checked. Raises GraphError."""
    operation = OPERATIONS.get(op)
    if operation is None:
        raise GraphError("SBX211", f"unknown operation {op[:40]!r}")
    if not operation.attrs and not attrs:
        return Node(op, tuple(args), _NONE)
    given = dict(attrs or {})
    unknown = given.keys() - operation.attrs.keys()
    if unknown:
        raise GraphError("SBX212", f"{op} has no attribute {min(unknown)[:40]!r}")
    full = {}
    for name, spec in operation.attrs.items():
        value = given.get(name, spec.default)
        if value is ...:
            raise GraphError("SBX212", f"{op} needs the attribute {name}")
        try:
            full[name] = value if name not in given and value is None else spec.normal(value)
        except ValueError:
            raise GraphError("SBX212", f"{value!r:.60} is not a valid {name} of {op}") from None
    return Node(op, tuple(args), MappingProxyType(full))


def node_from_json(index: int, data: Any) -> Node:
    """The node from the output of `node_to_json`. Its operation and attributes are not checked. Raises GraphError."""
    if not isinstance(data, list) or not 2 <= len(data) <= 3:
        raise GraphError("SBX210", _expected(index), index)
    op, args, attrs = data[0], data[1], data[2] if len(data) == 3 else {}
    if not isinstance(op, str) or not isinstance(args, list) or not isinstance(attrs, dict):
        raise GraphError("SBX210", _expected(index), index)
    if any(type(a) is not int for a in args):
        raise GraphError("SBX210", f"the operands of node {index} must be integers", index)
    return Node(op, tuple(args), {k: tuple(v) if isinstance(v, list) else v for k, v in attrs.items()})


def node_to_json(node: Node) -> list[Any]:
    """[operation, operands], or [operation, operands, attributes] if attributes differ from their defaults."""
    spec = OPERATIONS[node.op].attrs
    attrs = {
        k: _plain(v) for k, v in node.attrs.items() if v != spec[k].default or type(v) is not type(spec[k].default)
    }
    return [node.op, list(node.args), attrs] if attrs else [node.op, list(node.args)]


def _expected(index: int) -> str:
    return f"node {index} must be [operation, operands] or [operation, operands, attributes]"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
