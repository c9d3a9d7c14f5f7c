"""Structure of a loss graph: uses of nodes, dependence on inputs, margins, and edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from evo.proposing.genetic.builder import Builder, Value
from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS, SOURCES


@dataclass(frozen=True, slots=True)
class Use:
    """One operand of one node: the node's index and the operand's position."""

    node: int
    position: int


@dataclass(frozen=True)
class Anatomy:
    """A graph with properties derived from its structure, each in linear time."""

    graph: LossGraph

    @cached_property
    def uses(self) -> dict[int, list[Use]]:
        """The uses of each node as an operand."""
        found: dict[int, list[Use]] = {i: [] for i in range(len(self.graph.nodes))}
        for i, node in enumerate(self.graph.nodes):
            for position, a in enumerate(node.args):
                found[a].append(Use(i, position))
        return found

    @cached_property
    def reads(self) -> list[frozenset[str]]:
        """The names of the inputs that each node depends on."""
        found: list[frozenset[str]] = []
        for node in self.graph.nodes:
            if node.op == "input":
                found.append(frozenset({str(node.attrs["name"])}))
            else:
                found.append(frozenset().union(*(found[a] for a in node.args)))
        return found

    @cached_property
    def pulled(self) -> frozenset[str]:
        """The inputs with a gradient that the loss's gradient can reach."""
        learning = {a.name for a in contract_named(self.graph.contract).arguments if a.learns}
        found: list[frozenset[str]] = []
        for node in self.graph.nodes:
            if node.op == "input":
                found.append(frozenset({node.attrs["name"]} & learning))
            elif not OPERATIONS[node.op].differentiable:
                found.append(frozenset())
            else:
                operands = node.args[1:] if node.op == "where" else node.args
                found.append(frozenset().union(*(found[a] for a in operands)))
        return found[self.graph.output]

    @cached_property
    def forms(self) -> list[int]:
        """A hash of the expression that each node computes: equal for equal expressions, also of two graphs."""
        found: list[int] = []
        for node in self.graph.nodes:
            found.append(hash((node.op, *sorted(node.attrs.items()), *(found[a] for a in node.args))))
        return found

    @cached_property
    def reached(self) -> list[bool]:
        """Whether the loss's gradient passes through each node to an input that learns."""
        found = [False] * len(self.graph.nodes)
        found[self.graph.output] = True
        for i in reversed(range(len(found))):
            node = self.graph.nodes[i]
            if found[i] and OPERATIONS[node.op].differentiable:
                for a in node.args[1:] if node.op == "where" else node.args:
                    found[a] = True
        return [a and b for a, b in zip(found, self.learns, strict=True)]

    @cached_property
    def learns(self) -> list[bool]:
        """Whether each node depends on an input with a gradient, through whatever operation."""
        learning = {a.name for a in contract_named(self.graph.contract).arguments if a.learns}
        return [bool(names & learning) for names in self.reads]

    @cached_property
    def sizes(self) -> list[int]:
        """Number of nodes that each node is computed from, itself included."""
        above: list[int] = []  # the set of these nodes, one bit each
        for i, node in enumerate(self.graph.nodes):
            own = 1 << i
            for a in node.args:
                own |= above[a]
            above.append(own)
        return [nodes.bit_count() for nodes in above]

    @cached_property
    def slopes(self) -> list[tuple[float, float] | None]:
        """Slope of each node to the two learning inputs with other factors taken as 1, or None where it is not linear in
        them. For contracts with one learning input the second slope is 0."""
        learning = [a.name for a in contract_named(self.graph.contract).arguments if a.learns]
        up, down = (*learning, "")[:2]
        found: list[tuple[float, float] | None] = []
        for node in self.graph.nodes:
            found.append(self._slope(node, [found[a] for a in node.args], up, down))
        return found

    @cached_property
    def margins(self) -> dict[int, int]:
        """Nodes linear in the two learning inputs, with opposite signs, that something not linear reads; to +1 where they
        grow with the chosen one, else -1. Empty for contracts with one learning input."""
        found = {}
        for i, slope in enumerate(self.slopes):
            if slope is None or slope[0] * slope[1] >= 0:
                continue
            if i == self.graph.output or any(self.slopes[u.node] is None for u in self.uses[i]):
                found[i] = 1 if slope[0] > 0 else -1
        return found

    @property
    def direction(self) -> list[tuple[int, int] | None]:
        """The signs of `slopes`."""
        return [None if s is None else (_sign(s[0]), _sign(s[1])) for s in self.slopes]

    def _slope(
        self, node: Node, operands: list[tuple[float, float] | None], up: str, down: str
    ) -> tuple[float, float] | None:
        if node.op == "input":
            return (float(node.attrs["name"] == up), float(node.attrs["name"] == down))
        known = [o for o in operands if o is not None]
        if len(known) < len(operands):
            return None
        if not any(a or b for a, b in known):
            return (0.0, 0.0)
        if node.op == "neg":
            return (-known[0][0], -known[0][1])
        if node.op in ("add", "sub"):
            sign = 1 if node.op == "add" else -1
            return (known[0][0] + sign * known[1][0], known[0][1] + sign * known[1][1])
        if node.op in ("mul", "div"):
            return self._scaled(node, known)
        return None

    def _scaled(self, node: Node, operands: list[tuple[float, float]]) -> tuple[float, float] | None:
        steady = [k for k, o in enumerate(operands) if o == (0.0, 0.0)]
        if steady not in ([0], [1]) or (node.op == "div" and steady == [0]):
            return None
        other = self.graph.nodes[node.args[steady[0]]]
        if other.op == "input" and contract_named(self.graph.contract).argument(other.attrs["name"]).shape is None:
            factor = 1.0
        elif other.op == "const" and other.attrs["value"]:
            factor = float(other.attrs["value"])
        else:
            return None
        a, b = operands[1 - steady[0]]
        return (a * factor, b * factor) if node.op == "mul" else (a / factor, b / factor)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def edited(graph: VerifiedGraph, through: Mapping[Use, Callable[[Value], Value]]) -> VerifiedGraph:
    """The graph with functions applied to some operands. Raises GraphError if the result does not verify."""
    builder = Builder(graph.contract)
    values: list[Value] = []
    for i, node in enumerate(graph.nodes):
        operands = [values[a] for a in node.args]
        for k, operand in enumerate(operands):
            if function := through.get(Use(i, k)):
                operands[k] = function(operand)
        values.append(builder.append(Node(node.op, tuple(o.index for o in operands), node.attrs)))
    return builder.finish(values[graph.output])


def exchanged(graph: VerifiedGraph, at: int, make: Callable[[Sequence[Value]], Value]) -> LossGraph:
    """The graph with one node rebuilt from its operands. It is not verified yet."""
    builder = Builder(graph.contract)
    values: list[Value] = []
    for i, node in enumerate(graph.nodes):
        operands = [values[a] for a in node.args]
        made = (
            make(operands) if i == at else builder.append(Node(node.op, tuple(o.index for o in operands), node.attrs))
        )
        values.append(made)
    return builder.unverified(values[graph.output])


def size_with_operand(graph: VerifiedGraph, use: Use) -> tuple[int, frozenset[str]]:
    """Of `graph` with a node replaced by one of its operands: the number of operations, equal ones not merged, and the inputs that
    its gradient reaches (`Anatomy.pulled`). Linear time, and much faster than making that graph."""
    learning = {a.name for a in contract_named(graph.contract).arguments if a.learns}
    stands = graph.nodes[use.node].args[use.position]
    output = stands if graph.output == use.node else graph.output
    needed, reached, operations, pulled = {output}, {output}, 0, set()
    for i in range(output, -1, -1):
        if i not in needed:
            continue
        node = graph.nodes[i]
        operands = [stands if a == use.node else a for a in node.args]
        needed.update(operands)
        operations += node.op not in SOURCES
        if i in reached and node.op == "input":
            pulled.add(str(node.attrs["name"]))
        elif i in reached and OPERATIONS[node.op].differentiable:
            reached.update(operands[1:] if node.op == "where" else operands)
    return operations, frozenset(pulled & learning)


def replaced_by_operand(graph: VerifiedGraph, use: Use) -> LossGraph:
    """The graph with a node replaced by one of its operands. It is not verified yet."""
    builder = Builder(graph.contract)
    values: list[Value] = []
    for i, node in enumerate(graph.nodes):
        operands = tuple(values[a].index for a in node.args)
        own = i == use.node
        values.append(values[node.args[use.position]] if own else builder.append(Node(node.op, operands, node.attrs)))
    return builder.unverified(values[graph.output])


def with_inputs(builder: Builder, graph: VerifiedGraph, inputs: Mapping[str, Value]) -> Value:
    """Copies `graph` into `builder` with some of its inputs replaced; gives its output."""
    replaced = {
        i: inputs[n.attrs["name"]] for i, n in enumerate(graph.nodes) if n.op == "input" and n.attrs["name"] in inputs
    }
    return builder.graft(graph, replaced)[graph.output]
