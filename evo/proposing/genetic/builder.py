"""Construction of loss graphs by arithmetic: `-(beta * rho)` appends nodes instead of computing. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph, infer_types, prune
from sandbox.graph.nodes import Node, make_node
from sandbox.graph.types import Type


class Builder:
    """Collects the nodes of a graph of one contract; equal nodes are stored once."""

    def __init__(self, contract: str) -> None:
        self.contract = contract
        self._nodes: list[Node] = []
        self._known: dict[tuple[object, ...], int] = {}
        self._types: tuple[Type, ...] = ()

    def input(self, name: str) -> Value:
        """The contract's argument called `name`."""
        return self.append(make_node("input", (), {"name": name}))

    def const(self, value: float) -> Value:
        """A constant, as a Python number."""
        return self.append(make_node("const", (), {"value": value}))

    def op(self, name: str, *operands: Value | float, **attrs: object) -> Value:
        """The operation `name` on `operands`; numbers among them become constants. Raises GraphError."""
        return self.append(make_node(name, [self._operand(o).index for o in operands], attrs))

    def append(self, node: Node) -> Value:
        """`node`, whose operands are indices of this builder."""
        attrs = tuple(sorted((k, type(v).__name__, repr(v)) for k, v in node.attrs.items()))
        key = (node.op, node.args, attrs)
        if key not in self._known:
            self._known[key] = len(self._nodes)
            self._nodes.append(node)
        return Value(self, self._known[key])

    def node(self, value: Value) -> Node:
        """The node that computes `value`."""
        return self._nodes[value.index]

    def graft(self, graph: LossGraph, replaced: Mapping[int, Value] | None = None) -> list[Value]:
        """Copies `graph` in, with the nodes in `replaced` exchanged for values of this builder.

        Gives the value of each node of `graph`, in its order.
        """
        values: list[Value] = []
        for i, node in enumerate(graph.nodes):
            if replaced and i in replaced:
                values.append(replaced[i])
            else:
                values.append(self.append(Node(node.op, tuple(values[a].index for a in node.args), node.attrs)))
        return values

    def finish(self, output: Value) -> VerifiedGraph:
        """The verified graph that computes `output`, without unused nodes. Raises GraphError."""
        return VerifiedGraph.from_nodes(self.contract, self._nodes, output.index)

    def unverified(self, output: Value) -> LossGraph:
        """The graph that computes `output`, without unused nodes. It is not verified yet."""
        return prune(LossGraph(self.contract, tuple(self._nodes), output.index))

    def type_of(self, value: Value) -> Type:
        """Type and symbolic shape of `value`. Raises GraphError if it is ill-typed."""
        if value.index >= len(self._types):
            self._types = infer_types(contract_named(self.contract), self._nodes[: value.index + 1], self._types)
        return self._types[value.index]

    def _operand(self, operand: Value | float) -> Value:
        # 1 - 0.463 is 0.537 for a reader, and 0.5369999999999999 in binary.
        return operand if isinstance(operand, Value) else self.const(rounded(operand, 12))


class Value:
    """A node under construction, with arithmetic and a few common functions."""

    __slots__ = ("builder", "index")

    def __init__(self, builder: Builder, index: int) -> None:
        self.builder = builder
        self.index = index

    @property
    def op(self) -> str:
        """The operation that gives this value."""
        return self.builder.node(self).op

    def __add__(self, other: Value | float) -> Value:
        return self.builder.op("add", self, other)

    def __radd__(self, other: float) -> Value:
        return self.builder.op("add", other, self)

    def __sub__(self, other: Value | float) -> Value:
        return self.builder.op("sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self.builder.op("sub", other, self)

    def __mul__(self, other: Value | float) -> Value:
        return self if other == 1.0 else self.builder.op("mul", self, other)

    def __rmul__(self, other: float) -> Value:
        return self if other == 1.0 else self.builder.op("mul", other, self)

    def __truediv__(self, other: Value | float) -> Value:
        return self if other == 1.0 else self.builder.op("div", self, other)

    def __rtruediv__(self, other: float) -> Value:
        return self.builder.op("div", other, self)

    def __neg__(self) -> Value:
        return self.builder.op("neg", self)

    def apply(self, name: str, *others: Value | float, **attrs: object) -> Value:
        """The operation `name` with this value as the first operand."""
        return self.builder.op(name, self, *others, **attrs)

    def sigmoid(self) -> Value:
        """Logistic function."""
        return self.apply("sigmoid")

    def softplus(self) -> Value:
        """log(1 + exp(value)), without overflow."""
        return self.apply("softplus")

    def relu(self) -> Value:
        """Positive part."""
        return self.apply("relu")

    def square(self) -> Value:
        """value^2."""
        return self.apply("square")

    def detach(self) -> Value:
        """The same value without a gradient."""
        return self.apply("detach")

    def at_least(self, low: float) -> Value:
        """max(value, low)."""
        return self.apply("clamp_min", low)

    def at_most(self, high: float) -> Value:
        """min(value, high)."""
        return self.apply("clamp_max", high)


def rounded(value: float, digits: int = 3) -> float:
    """`value` rounded to `digits` significant digits, so that constants are readable."""
    return float(f"{value:.{digits}g}")


def log_uniform(rng: Random, low: float, high: float) -> float:
    """A positive constant with log-uniform distribution between `low` and `high`."""
    return rounded(low * (high / low) ** rng.random())


def uniform(rng: Random, low: float, high: float) -> float:
    """A constant between `low` and `high`, to three significant digits."""
    return rounded(rng.uniform(low, high))
