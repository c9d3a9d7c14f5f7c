"""The parts of a loss that an edit can remove or reset: terms, factors, operations around a value, branches, constants.

A part is listed only if removing it leaves a valid graph. Signs (`neg`, a factor of -1), the 1 of `1 - x` and the operands of
comparisons are no parts of their own: without them the rest would mean something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import copysign, isfinite

from sandbox.graph.edits.edit import NEUTRAL, Action, Edit, attempted
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.printers import to_expression


class PartKind(StrEnum):
    """Kind of a part, and what its edit does."""

    TERM = "term"
    """An addend of a sum; it is dropped."""
    FACTOR = "factor"
    """A factor of a product, or a divisor; it is dropped."""
    OPERATION = "operation"
    """An operation around a value, such as a clamp or a sigmoid; it is replaced by the value."""
    BRANCH = "branch"
    """A choice or mixture of two values; it is replaced by one of them."""
    CONSTANT = "constant"
    """A number; it gets its neutral value, or that of a related loss."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a loss, with the edit that removes or resets it."""

    kind: PartKind
    edit: Edit
    text: str
    """The part as a Python expression; for a constant, the expression that it stands in."""
    change: str
    """What the edit does, in words."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number of a loss: operand `slot` of the node `node`, or its attribute of that name."""

    node: int
    slot: int | str
    value: float
    neutral: float | None
    """The value at which it has no effect, or the operation's default; None if there is none."""

    def to(self, value: float) -> Edit:
        """The edit that gives it another value."""
        return Edit(Action.SET, self.node, self.slot, value)


MIXTURES = {"where": (1, 2), "lerp": (0, 1), "maximum": (0, 1), "minimum": (0, 1), "logaddexp": (0, 1)}
"""Operations that choose between values or mix them, and the positions of these values."""
FAR = 100.0
"""A factor or exponent that is further from 1 than this is not reset to 1, which would be no small change."""
BOUNDS = ("clamp_min", "clamp_max", "pow")
"""Operations of a value and a parameter, which comes second."""
_WRAPPING_RULES = ("elementwise", "same", "along")
_SIGNS_AND_CASTS = ("neg", "cast", "tensor")


def constants(graph: VerifiedGraph) -> tuple[Constant, ...]:
    """The numbers of a loss, in order of nodes: every use of a constant as an operand, and numeric attributes that matter.

    Two uses of one constant are two entries. Left out are numbers that give the form of a value (shapes, fills), signs, and the 1
    of `1 - x`.
    """
    return tuple(_Listing(graph).constants())


def parts(graph: VerifiedGraph, related: Sequence[VerifiedGraph] = ()) -> tuple[Part, ...]:
    """The parts of a loss, in order of nodes; each can be removed or reset by its edit alone.

    A constant is reset to its neutral value, and to the value that it has in the first of the `related` losses (such as parents)
    that has another value at the same place.
    """
    found = [*_Listing(graph).terms(), *_resets(graph, related)]
    return tuple(part for part in found if attempted(graph, [part.edit]) not in (None, graph))


def _resets(graph: VerifiedGraph, related: Sequence[VerifiedGraph]) -> Iterator[Part]:
    listing = _Listing(graph)
    elsewhere = [_Listing(other).by_place() for other in related]
    for place, constant in listing.by_place().items():
        theirs = (values[place].value for values in elsewhere if place in values)
        other = next((value for value in theirs if value != constant.value), None)
        neutral = constant.neutral
        if neutral == 1.0:  # a weight keeps its sign; one of another order of magnitude is as good as absent or alone
            near = 1 / FAR <= abs(constant.value) <= FAR
            neutral = copysign(1.0, constant.value) if near else None
        for value in dict.fromkeys(v for v in (neutral, other) if v is not None and v != constant.value):
            text = to_expression(graph, constant.node)
            yield Part(PartKind.CONSTANT, constant.to(value), text, f"{constant.value:g} becomes {value:g}")


class _Listing:
    """The parts of one graph."""

    def __init__(self, graph: VerifiedGraph) -> None:
        self.graph = graph
        self.uses = Counter(a for node in graph.nodes for a in node.args)
        self.summed = {a for node in graph.nodes if node.op in ("add", "sub") for a in node.args}

    def terms(self) -> Iterator[Part]:
        """All parts except constants."""
        for i, node in enumerate(self.graph.nodes):
            if self.graph.types[i].dtype != "float":
                continue
            if node.op in NEUTRAL:
                yield from self._operands(i)
            elif node.op in MIXTURES:
                yield from self._branches(i)
            elif self._wraps(i):
                yield self._kept(PartKind.OPERATION, i, 0)

    def constants(self) -> Iterator[Constant]:
        for i, node in enumerate(self.graph.nodes):
            operation = OPERATIONS[node.op]
            for name, attr in operation.attrs.items():
                value = node.attrs[name]
                if attr.kind == "number" and (name in operation.genetic.tunable or value != attr.default):
                    yield Constant(i, name, float(value), None if attr.default is ... else float(attr.default))
            if operation.rule == "elementwise":
                for k, a in enumerate(node.args):
                    if self._is_number(a):
                        value = self.graph.nodes[a].attrs["value"]
                        if not self._is_sign_or_complement(i, k, value):
                            yield Constant(i, k, value, _neutral(node.op, k))

    def by_place(self) -> dict[tuple[tuple[str, int | str], ...], Constant]:
        """The constants by their place: operations and operand positions on the way from the loss to the constant."""
        return {(*self._ways[c.node], (self.graph.nodes[c.node].op, c.slot)): c for c in self.constants()}

    @cached_property
    def _ways(self) -> dict[int, tuple[tuple[str, int | str], ...]]:
        """The way to each node from the output; where there are several, the one through the last reader."""
        ways: dict[int, tuple[tuple[str, int | str], ...]] = {self.graph.output: ()}
        for i in range(len(self.graph.nodes) - 1, -1, -1):
            node = self.graph.nodes[i]
            for k, a in enumerate(node.args):
                if i in ways:
                    ways.setdefault(a, (*ways[i], (node.op, k)))
        return ways

    def _operands(self, i: int) -> Iterator[Part]:
        node = self.graph.nodes[i]
        sums = node.op in ("add", "sub")
        for k, a in enumerate(node.args):
            rest = node.args[1 - k]
            alone = node.op == "div" and k == 0  # the reciprocal of the rest is no simpler loss
            # A number may remain of a sum only if it is an addend of a larger sum.
            whole = self.graph.types[rest] == self.graph.types[i] or (sums and i in self.summed and self.uses[i] == 1)
            if alone or self._is_number(a) or not whole or self._continues(a, sums):
                continue
            kind = PartKind.TERM if sums else PartKind.FACTOR
            sign = "" if k == 0 or node.op in ("add", "mul") else "- " if sums else "/ "
            yield Part(kind, Edit(Action.DROP, i, k), sign + to_expression(self.graph, a), "dropped")

    def _continues(self, a: int, sums: bool) -> bool:
        """Whether an operand is a sum of the same sum (a product of the same product), whose operands are parts themselves."""
        while self.graph.nodes[a].op == "neg" and self.uses[a] == 1:
            a = self.graph.nodes[a].args[0]
        node = self.graph.nodes[a]
        if node.op not in (("add", "sub") if sums else ("mul", "div")) or self.uses[a] != 1:
            return False
        return next(self._operands(a), None) is not None or any(self._continues(b, sums) for b in node.args)

    def _branches(self, i: int) -> Iterator[Part]:
        node = self.graph.nodes[i]
        values = [k for k in MIXTURES[node.op] if not self._is_number(node.args[k])]
        for k in values:
            if self.graph.types[node.args[k]] == self.graph.types[i]:
                kind = PartKind.BRANCH if len(values) > 1 else PartKind.OPERATION
                yield self._kept(kind, i, k)

    def _wraps(self, i: int) -> bool:
        """Whether a node is an operation around its first operand, of the same type."""
        node = self.graph.nodes[i]
        if not node.args or self.graph.types[node.args[0]] != self.graph.types[i] or node.op in _SIGNS_AND_CASTS:
            return False
        single = len(node.args) == 1 and OPERATIONS[node.op].rule in _WRAPPING_RULES
        return single or node.op in BOUNDS

    def _kept(self, kind: PartKind, i: int, k: int) -> Part:
        """A node as a part that is replaced by its operand `k`."""
        rest = to_expression(self.graph, self.graph.nodes[i].args[k], 48)
        return Part(kind, Edit(Action.KEEP, i, k), to_expression(self.graph, i), f"replaced by {rest}")

    def _is_number(self, a: int) -> bool:
        node = self.graph.nodes[a]
        return node.op == "const" and not isinstance(node.attrs["value"], bool) and isfinite(node.attrs["value"])

    def _is_sign_or_complement(self, i: int, k: int, value: float) -> bool:
        op = self.graph.nodes[i].op
        return (op in ("mul", "div") and value == -1) or (op == "sub" and k == 0 and value == 1)


def _neutral(op: str, position: int) -> float | None:
    if op == "pow":
        return 1.0 if position == 1 else None
    return NEUTRAL.get(op)
