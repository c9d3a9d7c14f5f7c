"""LossGraph: a loss as data, a short list of allow-listed tensor operations. The only thing that leaves the jail.

A graph is a list of nodes in order of evaluation. Each node names an operation of `operations.OPERATIONS`, the nodes it
reads (earlier ones only, so a graph cannot be cyclic) and constant attributes. `LossGraph.from_json` trusts nothing: size,
depth, schema, operation table, types and symbolic shapes are checked before anybody computes with it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from sandbox.contracts.contract import CONTRACTS, contract_named
from sandbox.graph.costs import cost, work
from sandbox.graph.operations import OPERATIONS, SOURCES, Operation
from sandbox.graph.operations.parts.attributes import MAX_INTEGER
from sandbox.graph.scalars import constant
from sandbox.graph.shapes import ShapeError, infer
from sandbox.graph.types import Dim, Type

SCHEMA = 1
MAX_OPERATIONS = 400
MAX_NODES = 800
"""Operations plus inputs and constants."""
MAX_JSON_BYTES = 131_072
MAX_WORK = 2**19
"""Numbers that a loss may read or write at 64 items of 10 classes, products of matrices counted by their multiplications.
A hundred comparisons of all pairs are within it; without it, 400 operations on large tensors take minutes."""
MAX_COST = 2_500
"""Units of `sandbox.graph.costs` that a loss may cost: below a second of CPU for all that the trusted process computes of it. The
400 operations that it may have are within it where they are simple; so are ninety quantiles, or 160 comparisons of all pairs."""
MAX_CONSTANTS = 64
"""Different constants in one loss. Published losses have up to seven; a look-up table of pairs needs one or two for each."""


class GraphError(Exception):
    """A graph that may not be used. `code` is a rule of the catalogue, `node` the index at fault or None."""

    def __init__(self, code: str, message: str, node: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.node = node


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its name, the indices of the nodes that it reads, and its attributes (all of them, defaults filled in)."""

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


@dataclass(frozen=True)
class LossGraph:
    """A verified loss. Build one with `from_json`, `from_nodes` or the tracer; the constructor alone verifies nothing."""

    contract: str
    nodes: tuple[Node, ...]
    output: int

    @classmethod
    def from_nodes(cls, contract: str, nodes: Iterable[Node], output: int) -> LossGraph:
        """A verified graph without the nodes that `output` does not need. Raises GraphError."""
        graph = prune(cls(contract, tuple(nodes), output))
        verify(graph)
        return graph

    @classmethod
    def from_json(cls, text: str | bytes) -> LossGraph:
        """Parse and verify. Raises GraphError, whatever the bytes."""
        data = _parse(text)
        if not isinstance(data, dict) or data.keys() != {"schema", "contract", "nodes", "output"}:
            raise GraphError("SBX210", "expected an object with schema, contract, nodes, output")
        if data["schema"] != SCHEMA or isinstance(data["schema"], bool):
            raise GraphError("SBX210", f"expected graph schema {SCHEMA}, got {data['schema']!r:.40}")
        if (
            not isinstance(data["contract"], str)
            or not isinstance(data["nodes"], list)
            or type(data["output"]) is not int
        ):
            raise GraphError("SBX210", "contract must be a string, nodes a list, output an integer")
        if len(data["nodes"]) > MAX_NODES:
            raise GraphError("SBX213", f"the graph has {len(data['nodes'])} nodes, at most {MAX_NODES} are allowed")
        graph = cls(data["contract"], tuple(_node_from(i, n) for i, n in enumerate(data["nodes"])), data["output"])
        verify(graph)
        return graph

    def to_json(self) -> str:
        """Compact JSON with defaults left out; equal graphs give equal text."""
        nodes = []
        for node in self.nodes:
            spec = OPERATIONS[node.op].attrs
            attrs = {
                k: _plain(v)
                for k, v in node.attrs.items()
                if v != spec[k].default or type(v) is not type(spec[k].default)
            }
            nodes.append([node.op, list(node.args), attrs] if attrs else [node.op, list(node.args)])
        data = {"schema": SCHEMA, "contract": self.contract, "nodes": nodes, "output": self.output}
        return json.dumps(data, separators=(",", ":"), allow_nan=False)

    @cached_property
    def types(self) -> tuple[Type, ...]:
        """The type of every node. Raises GraphError on an ill-typed graph."""
        return _types(self)

    @cached_property
    def constants(self) -> Mapping[int, Any]:
        """The numbers that are made of constants alone, by node. Raises GraphError where one has no value: log(0), 1 / 0."""
        found: dict[int, Any] = {}
        for i, node in enumerate(self.nodes):
            if node.op == "const":
                found[i] = node.attrs["value"]
            elif node.args and self.types[i].is_number and all(a in found for a in node.args):
                found[i] = constant(node.op, self.types[i].dtype, [found[a] for a in node.args])
                if found[i] is None:
                    shown = ", ".join(f"{found[a]!r}" for a in node.args)
                    raise GraphError("SBX215", f"{node.op}({shown}) is no {self.types[i].dtype} number", i)
        return found

    @cached_property
    def operations(self) -> int:
        """How many nodes compute something: inputs, sizes and constants are free."""
        return sum(n.op not in SOURCES for n in self.nodes)

    @cached_property
    def work(self) -> int:
        """How many numbers the loss reads or writes for 64 items of 10 classes. Raises GraphError on an ill-typed graph."""
        return sum(work(*step) for step in self._steps())

    @cached_property
    def cost(self) -> int:
        """What testing the loss costs, in units of `sandbox.graph.costs`. Raises GraphError on an ill-typed graph."""
        return sum(cost(*step) for step in self._steps())

    def _steps(self) -> Iterator[tuple[Operation, list[Type], Type]]:
        """The operation, operands and result of each node."""
        types = self.types
        for node, result in zip(self.nodes, types, strict=True):
            yield OPERATIONS[node.op], [types[a] for a in node.args], result

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of the contract's arguments that the loss reads."""
        return frozenset(str(n.attrs["name"]) for n in self.nodes if n.op == "input")


def prune(graph: LossGraph) -> LossGraph:
    """The same graph without the nodes that the output does not depend on. Linear time."""
    if not 0 <= graph.output < len(graph.nodes):
        raise GraphError("SBX214", f"output {graph.output} is not a node")
    needed = {graph.output}
    for i in range(graph.output, -1, -1):
        if i in needed:
            _check_order(i, graph.nodes[i])
            needed.update(graph.nodes[i].args)
    place = {old: new for new, old in enumerate(sorted(needed))}
    nodes = tuple(
        Node(n.op, tuple(place[a] for a in n.args), n.attrs) for i, n in enumerate(graph.nodes) if i in needed
    )
    return LossGraph(graph.contract, nodes, place[graph.output])


def verify(graph: LossGraph) -> None:
    """Check everything that can be checked without computing: contract, size, table, types, symbolic shapes, result.

    Raises GraphError. Linear in the number of nodes.
    """
    contract = CONTRACTS.get(graph.contract)  # a graph may be a stranger's: it loads no package
    if contract is None:
        raise GraphError(
            "SBX210", f"unknown contract {graph.contract[:40]!r}: expected one of {', '.join(CONTRACTS)}"[:200]
        )
    if not 0 <= graph.output < len(graph.nodes):
        raise GraphError("SBX214", f"output {graph.output} is not a node")
    if len(graph.nodes) > MAX_NODES or graph.operations > MAX_OPERATIONS:
        raise GraphError(
            "SBX213",
            f"the loss takes {graph.operations} operations ({len(graph.nodes)} nodes), at most {MAX_OPERATIONS} are allowed",
        )
    constants = {(type(n.attrs["value"]), n.attrs["value"]) for n in graph.nodes if n.op == "const"}
    if len(constants) > MAX_CONSTANTS:
        raise GraphError(
            "SBX216", f"the loss holds {len(constants)} different constants, at most {MAX_CONSTANTS} are allowed"
        )
    graph.constants  # noqa: B018  (raises where one has no value)
    if graph.work > MAX_WORK:
        raise GraphError(
            "SBX222", f"the loss computes {graph.work:,} numbers for 64 items, at most {MAX_WORK:,} are allowed"
        )
    if graph.cost > MAX_COST:
        raise GraphError("SBX217", _too_dear(graph))
    result = graph.types[graph.output]
    batch = (Dim.of("B"),)
    if result.shape != batch:
        raise GraphError("SBX223", _wrong_result(result), graph.output)
    if result.dtype != "float":
        raise GraphError("SBX224", f"the loss is a {result}; expected float32, one loss per item", graph.output)


def _too_dear(graph: LossGraph) -> str:
    """By how much, and which operation takes most of it."""
    units, counts = Counter[str](), Counter[str]()
    for operation, operands, result in graph._steps():
        units[operation.name] += cost(operation, operands, result)
        counts[operation.name] += 1
    dearest, own = units.most_common(1)[0]
    return (
        f"the loss costs {graph.cost:,} units to compute, at most {MAX_COST:,} are allowed; {own / graph.cost:.0%} of them are "
        f"for {dearest}, which occurs {counts[dearest]} times: an addition of two vectors costs 3"
    )


def _wrong_result(result: Type) -> str:
    hint = ""
    if result.shape == ():
        hint = "; was it summed over the batch?"
    elif result.shape == (Dim.of("B") + Dim.of("B"),):
        hint = "; did you concatenate the two halves?"
    elif len(result.dims) == 2:
        hint = "; did (batch, 1) broadcast against (batch,)?"
    return f"the loss is a {result}; expected a float tensor (B,): one loss per item of the batch{hint}"


def _types(graph: LossGraph) -> tuple[Type, ...]:
    contract = contract_named(graph.contract)
    types: list[Type] = []
    for i, node in enumerate(graph.nodes):
        _check_order(i, node)
        operation = _operation(node, i)
        try:
            result = infer(operation, [types[a] for a in node.args], node.attrs, contract)
            types.append(_FRACTION if _is_fraction(graph, node, result) else result)
        except ShapeError as error:
            raise GraphError(error.code, str(error), i) from None
    return tuple(types)


_FRACTION = Type("float", None)


def _is_fraction(graph: LossGraph, node: Node, result: Type) -> bool:
    """Whether a node is a whole number to a negative power."""
    if node.op != "pow" or result != Type("int", None):
        return False
    exponent = graph.nodes[node.args[1]]
    return exponent.op == "const" and exponent.attrs["value"] < 0


def _operation(node: Node, index: int) -> Operation:
    operation = OPERATIONS.get(node.op)
    if operation is None:
        raise GraphError("SBX211", f"unknown operation {node.op[:40]!r}", index)
    least, most = operation.arity
    if not least <= len(node.args) <= most:
        raise GraphError("SBX212", f"{node.op} takes {least} to {most} operands, got {len(node.args)}", index)
    return operation


def _check_order(index: int, node: Node) -> None:
    for a in node.args:
        if not 0 <= a < index:
            raise GraphError("SBX214", f"node {index} reads node {a}, which does not come before it", index)


def _parse(text: str | bytes) -> Any:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_JSON_BYTES:
        raise GraphError("SBX213", f"the graph is {len(raw)} bytes of JSON, at most {MAX_JSON_BYTES} are allowed")
    if raw.count(b"[") + raw.count(b"{") > 4 * MAX_NODES:
        raise GraphError("SBX213", "the graph's JSON is nested or split too far")
    try:
        return json.loads(raw, parse_constant=_no_constant, parse_int=_integer, parse_float=_finite)
    except GraphError:
        raise
    except (ValueError, RecursionError):
        raise GraphError("SBX210", "the graph is not valid JSON") from None


def _no_constant(name: str) -> Any:
    raise GraphError("SBX210", f"{name} is not allowed in a graph's JSON")


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(value := int(digits)) > MAX_INTEGER:
        raise GraphError("SBX215", "an integer constant is out of range")
    return value


def _finite(digits: str) -> float:
    value = float(digits) if len(digits) <= 64 else math.inf
    if not math.isfinite(value):
        raise GraphError("SBX215", "a constant is out of range")
    return value


def _node_from(index: int, data: Any) -> Node:
    if not isinstance(data, list) or not 2 <= len(data) <= 3:
        raise GraphError(
            "SBX210", f"node {index} must be [operation, operands] or [operation, operands, attributes]", index
        )
    op, args, attrs = data[0], data[1], data[2] if len(data) == 3 else {}
    if not isinstance(op, str) or not isinstance(args, list) or not isinstance(attrs, dict):
        raise GraphError(
            "SBX210", f"node {index} must be [operation, operands] or [operation, operands, attributes]", index
        )
    if any(type(a) is not int for a in args):
        raise GraphError("SBX210", f"the operands of node {index} must be integers", index)
    try:
        return make_node(op, args, {k: tuple(v) if isinstance(v, list) else v for k, v in attrs.items()})
    except GraphError as error:
        raise GraphError(error.code, error.message, index) from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
