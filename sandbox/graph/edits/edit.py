"""An edit of a graph as data, and the graph with edits applied.

All edits of a list refer to the nodes of the same, unedited graph, so they can be combined in any number and order. What an edit
makes superfluous is removed: x + 0, x - 0, x * 1, x / 1 and x ** 1 become x, and the nodes that nothing reads any more are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sandbox.graph.loss_graph import LossGraph, VerifiedGraph
from sandbox.graph.nodes import GraphError, Node, make_node

NEUTRAL: dict[str, float] = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}
"""Neutral element of each operation whose operands can be dropped."""


class Action(StrEnum):
    """What an edit does to a node."""

    DROP = "drop"
    """An operand of a sum or product becomes the neutral element."""
    KEEP = "keep"
    """The node is replaced by one of its operands."""
    SET = "set"
    """A constant operand, or an attribute, gets another value."""


class EditError(ValueError):
    """The edit does not fit the graph. The message says why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of the node `node`. `slot`: the position of an operand, or (SET only) the name of an attribute."""

    action: Action
    node: int
    slot: int | str
    value: float | None = None
    """The new value; None unless the action is SET."""

    def to_json(self) -> list[Any]:
        """[action, node, slot], and the value for SET."""
        return [self.action.value, self.node, self.slot, *([] if self.value is None else [self.value])]

    @classmethod
    def from_json(cls, data: Any) -> Edit:
        """The edit from the output of `to_json`. Raises EditError for anything else."""
        if not isinstance(data, list) or len(data) not in (3, 4) or data[0] not in set(Action):
            raise EditError(f"expected [action, node, slot] or [action, node, slot, value], got {str(data)[:80]!r}")
        action, node, slot = Action(data[0]), data[1], data[2]
        value = data[3] if len(data) == 4 else None
        fits = type(node) is int and type(slot) in ((int, str) if action is Action.SET else (int,))
        if not fits or (action is Action.SET) != (type(value) in (int, float)):
            raise EditError(f"expected a node, a slot and for {Action.SET} a number, got {str(data)[:80]!r}")
        return cls(action, node, slot, value)


def edited(graph: VerifiedGraph, edits: Iterable[Edit]) -> VerifiedGraph:
    """The verified graph with all edits applied; without edits, the graph itself.

    An edit of a node that another edit has removed has no effect. Raises EditError for an edit that does not fit the graph,
    GraphError if the result does not verify.
    """
    by_node: dict[int, list[Edit]] = {}
    for edit in edits:
        _check(graph, edit)
        by_node.setdefault(edit.node, []).append(edit)
    if not by_node:
        return graph
    return _Rewriter(graph, by_node).rewritten()


def attempted(graph: VerifiedGraph, edits: Iterable[Edit]) -> VerifiedGraph | None:
    """Like `edited`; None if the result is no valid graph."""
    try:
        return edited(graph, edits)
    except GraphError:
        return None


def _check(graph: VerifiedGraph, edit: Edit) -> None:
    if not 0 <= edit.node < len(graph.nodes):
        raise EditError(f"the graph has nodes 0 to {len(graph.nodes) - 1}, got an edit of node {edit.node}")
    node = graph.nodes[edit.node]
    if isinstance(edit.slot, str):
        if edit.slot not in node.attrs:
            raise EditError(f"{node.op} has no attribute {edit.slot[:40]!r}; it has: {', '.join(node.attrs) or 'none'}")
    elif not 0 <= edit.slot < len(node.args):
        raise EditError(f"{node.op} (node {edit.node}) has {len(node.args)} operands, got an edit of {edit.slot}")
    elif edit.action is Action.SET and graph.nodes[node.args[edit.slot]].op != "const":
        raise EditError(f"operand {edit.slot} of {node.op} (node {edit.node}) is no constant")
    elif edit.action is Action.DROP and node.op not in NEUTRAL:
        raise EditError(f"an operand of {', '.join(NEUTRAL)} can be dropped, got {node.op}")


@dataclass(frozen=True, slots=True)
class _Number:
    """A number that an edit has put in the place of a value; no node is made before one is needed."""

    value: float


_Value = int | _Number
"""A value of the new graph: the index of its node, or a number."""


class _Rewriter:
    """Rebuilds a graph node by node."""

    def __init__(self, graph: VerifiedGraph, edits: dict[int, list[Edit]]) -> None:
        self.graph = graph
        self.edits = edits
        self.nodes: list[Node] = []

    def rewritten(self) -> VerifiedGraph:
        values: list[_Value] = []
        for i, node in enumerate(self.graph.nodes):
            values.append(self._value(i, node, [values[a] for a in node.args]))
        output = self._index(values[self.graph.output])
        return LossGraph.from_nodes(self.graph.contract, self.nodes, output)

    def _value(self, index: int, node: Node, operands: list[_Value]) -> _Value:
        attrs = dict(node.attrs)
        kept: int | None = None
        for edit in self.edits.get(index, ()):
            if isinstance(edit.slot, str):
                attrs[edit.slot] = edit.value
            elif edit.action is Action.KEEP:
                kept = edit.slot
            else:
                operands[edit.slot] = _Number(NEUTRAL[node.op] if edit.value is None else edit.value)
        if kept is not None:
            return operands[kept]
        folded = self._folded(index, node, operands)
        return self._append(make_node(node.op, map(self._index, operands), attrs)) if folded is None else folded

    def _folded(self, index: int, node: Node, operands: Sequence[_Value]) -> _Value | None:
        """The value of a node that an edited operand makes superfluous; None if the node is still needed."""
        numbers = [operand.value if isinstance(operand, _Number) else None for operand in operands]
        if all(number is None for number in numbers):
            return None
        whole = [self.graph.types[a] == self.graph.types[index] for a in node.args]
        match node.op, numbers:
            case ("mul", (0.0, _)) | ("mul", (_, 0.0)) | ("div", (0.0, _)):
                return _Number(0.0)
            case ("add", (0.0, _)) | ("mul", (1.0, _)) if whole[1]:
                return operands[1]
            case ("add" | "sub", (_, 0.0)) | ("mul" | "div" | "pow", (_, 1.0)) if whole[0]:
                return operands[0]
            case ("sub", (0.0, _)) if whole[1]:
                return self._negated(operands[1])
            case ("neg", (float() | int(),)):
                return self._negated(operands[0])
        return None

    def _negated(self, value: _Value) -> _Value:
        if isinstance(value, _Number):
            return _Number(-value.value)
        return self._append(make_node("neg", (value,)))

    def _index(self, value: _Value) -> int:
        return self._append(make_node("const", (), {"value": value.value})) if isinstance(value, _Number) else value

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1
