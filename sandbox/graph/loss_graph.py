"""LossGraph: a loss as data, a short list of allow-listed tensor operations. The only thing that leaves the jail.

A graph is a list of nodes in order of evaluation. Each node names an operation of `operations.OPERATIONS`, the nodes it
reads (earlier ones only, so a graph cannot be cyclic) and constant attributes.

A `LossGraph` is data that nobody has checked. What runs, prints, hashes or measures a loss takes a `VerifiedGraph`, which cannot be
made without the check: size, operation table, attributes, types and symbolic shapes. One is made where a graph comes in: from the
jail's answer, a file, an archive, or the input of a worker process. Nothing behind these places checks again.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, final

from sandbox.contracts.contract import CONTRACTS, Contract
from sandbox.graph.costs import cost, work
from sandbox.graph.nodes import GraphError, Node, make_node, node_from_json, node_to_json
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


@dataclass(frozen=True)
class LossGraph:
    """A loss as data. The constructor checks nothing; `from_json` and `from_nodes` give a `VerifiedGraph`."""

    contract: str
    nodes: tuple[Node, ...]
    output: int

    @staticmethod
    def from_nodes(contract: str, nodes: Iterable[Node], output: int) -> VerifiedGraph:
        """The graph without the nodes that `output` does not need, verified. Raises GraphError."""
        return verify(prune(LossGraph(contract, tuple(nodes), output)))

    @staticmethod
    def from_json(text: str | bytes) -> VerifiedGraph:
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
        nodes = tuple(node_from_json(i, n) for i, n in enumerate(data["nodes"]))
        return VerifiedGraph(data["contract"], nodes, data["output"])

    def to_json(self) -> str:
        """Compact JSON with defaults left out; equal graphs give equal text."""
        return self._json

    @cached_property
    def _json(self) -> str:
        nodes = [node_to_json(node) for node in self.nodes]
        data = {"schema": SCHEMA, "contract": self.contract, "nodes": nodes, "output": self.output}
        return json.dumps(data, separators=(",", ":"), allow_nan=False)

    @cached_property
    def operations(self) -> int:
        """How many nodes compute something: inputs, sizes and constants are free."""
        return sum(n.op not in SOURCES for n in self.nodes)


@final
@dataclass(frozen=True)
class VerifiedGraph(LossGraph):
    """A loss that passed every check that needs no computing, with what the check found out. Making one is checking it.

    Copies, `dataclasses.replace` and unpickling make one too, so they check as well. Raises GraphError. Linear in the number
    of nodes.
    """

    types: tuple[Type, ...] = field(init=False, repr=False, compare=False)
    """The type of every node."""
    constants: Mapping[int, Any] = field(init=False, repr=False, compare=False)
    """The numbers that are made of constants alone, by node."""
    work: int = field(init=False, repr=False, compare=False)
    """How many numbers the loss reads or writes for 64 items of 10 classes."""
    cost: int = field(init=False, repr=False, compare=False)
    """What testing the loss costs, in units of `sandbox.graph.costs`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(_checked(i, node) for i, node in enumerate(self.nodes)))
        contract = CONTRACTS.get(self.contract)  # a graph may be a stranger's: it loads no package
        if contract is None:
            raise GraphError(
                "SBX210", f"unknown contract {self.contract[:40]!r}: expected one of {', '.join(CONTRACTS)}"[:200]
            )
        self._check_size()
        object.__setattr__(self, "types", infer_types(contract, self.nodes))
        object.__setattr__(self, "constants", _constants(self.nodes, self.types))
        steps = list(self._steps())
        object.__setattr__(self, "work", sum(work(*step) for step in steps))
        object.__setattr__(self, "cost", sum(cost(*step) for step in steps))
        self._check_price()
        self._check_result(contract)

    def __init_subclass__(cls) -> None:
        raise TypeError("VerifiedGraph has no subclasses: one could leave its check out")

    def __reduce__(self) -> tuple[Any, ...]:
        return VerifiedGraph, (self.contract, self.nodes, self.output)

    def pruned(self) -> VerifiedGraph:
        """The graph without the nodes that the output does not depend on; itself where there are none."""
        return verify(prune(self))

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of the contract's arguments that the loss reads."""
        return frozenset(str(n.attrs["name"]) for n in self.nodes if n.op == "input")

    def _steps(self) -> Iterator[tuple[Operation, list[Type], Type]]:
        """The operation, operands and result of each node."""
        for node, result in zip(self.nodes, self.types, strict=True):
            yield OPERATIONS[node.op], [self.types[a] for a in node.args], result

    def _check_size(self) -> None:
        if not 0 <= self.output < len(self.nodes):
            raise GraphError("SBX214", f"output {self.output} is not a node")
        if len(self.nodes) > MAX_NODES or self.operations > MAX_OPERATIONS:
            raise GraphError(
                "SBX213",
                f"the loss takes {self.operations} operations ({len(self.nodes)} nodes), at most {MAX_OPERATIONS} are allowed",
            )
        constants = {(type(n.attrs["value"]), n.attrs["value"]) for n in self.nodes if n.op == "const"}
        if len(constants) > MAX_CONSTANTS:
            raise GraphError(
                "SBX216", f"the loss holds {len(constants)} different constants, at most {MAX_CONSTANTS} are allowed"
            )

    def _check_price(self) -> None:
        if self.work > MAX_WORK:
            raise GraphError(
                "SBX222", f"the loss computes {self.work:,} numbers for 64 items, at most {MAX_WORK:,} are allowed"
            )
        if self.cost > MAX_COST:
            raise GraphError("SBX217", self._too_dear())

    def _check_result(self, contract: Contract) -> None:
        result = self.types[self.output]
        if result.shape != (Dim.of("B"),):
            raise GraphError("SBX223", _wrong_result(result), self.output)
        if result.dtype != "float":
            raise GraphError("SBX224", f"the loss is a {result}; expected float32, one loss per item", self.output)

    def _too_dear(self) -> str:
        """By how much, and which operation takes most of it."""
        units, counts = Counter[str](), Counter[str]()
        for operation, operands, result in self._steps():
            units[operation.name] += cost(operation, operands, result)
            counts[operation.name] += 1
        dearest, own = units.most_common(1)[0]
        return (
            f"the loss costs {self.cost:,} units to compute, at most {MAX_COST:,} are allowed; {own / self.cost:.0%} of them are "
            f"for {dearest}, which occurs {counts[dearest]} times: an addition of two vectors costs 3"
        )


def verify(graph: LossGraph) -> VerifiedGraph:
    """The graph, verified; itself where it is verified already, at no cost. Raises GraphError."""
    return graph if isinstance(graph, VerifiedGraph) else VerifiedGraph(graph.contract, graph.nodes, graph.output)


def prune(graph: LossGraph) -> LossGraph:
    """The graph without the nodes that the output does not depend on; itself where there are none. Linear time."""
    if not 0 <= graph.output < len(graph.nodes):
        raise GraphError("SBX214", f"output {graph.output} is not a node")
    needed = {graph.output}
    for i in range(graph.output, -1, -1):
        if i in needed:
            _check_order(i, graph.nodes[i])
            needed.update(graph.nodes[i].args)
    if len(needed) == len(graph.nodes):
        return graph
    place = {old: new for new, old in enumerate(sorted(needed))}
    nodes = tuple(
        Node(n.op, tuple(place[a] for a in n.args), n.attrs) for i, n in enumerate(graph.nodes) if i in needed
    )
    return LossGraph(graph.contract, nodes, place[graph.output])


def infer_types(contract: Contract, nodes: Sequence[Node], known: Sequence[Type] = ()) -> tuple[Type, ...]:
    """The type of each node; `known` are those of the first ones. Raises GraphError where a node is ill-typed."""
    types = list(known)
    for i in range(len(types), len(nodes)):
        node = nodes[i]
        _check_order(i, node)
        operation = _operation(node, i)
        try:
            result = infer(operation, [types[a] for a in node.args], node.attrs, contract)
        except ShapeError as error:
            raise GraphError(error.code, str(error), i) from None
        types.append(_FRACTION if _is_fraction(nodes, node, result) else result)
    return tuple(types)


def _constants(nodes: Sequence[Node], types: Sequence[Type]) -> Mapping[int, Any]:
    """Raises GraphError where a number has no value: log(0), 1 / 0."""
    found: dict[int, Any] = {}
    for i, node in enumerate(nodes):
        if node.op == "const":
            found[i] = node.attrs["value"]
        elif node.args and types[i].is_number and all(a in found for a in node.args):
            found[i] = constant(node.op, types[i].dtype, [found[a] for a in node.args])
            if found[i] is None:
                shown = ", ".join(f"{found[a]!r}" for a in node.args)
                raise GraphError("SBX215", f"{node.op}({shown}) is no {types[i].dtype} number", i)
    return MappingProxyType(found)


def _wrong_result(result: Type) -> str:
    hint = ""
    if result.shape == ():
        hint = "; was it summed over the batch?"
    elif result.shape == (Dim.of("B") + Dim.of("B"),):
        hint = "; did you concatenate the two halves?"
    elif len(result.dims) == 2:
        hint = "; did (batch, 1) broadcast against (batch,)?"
    return f"the loss is a {result}; expected a float tensor (B,): one loss per item of the batch{hint}"


_FRACTION = Type("float", None)


def _is_fraction(nodes: Sequence[Node], node: Node, result: Type) -> bool:
    """Whether a node is a whole number to a negative power."""
    if node.op != "pow" or result != Type("int", None):
        return False
    exponent = nodes[node.args[1]]
    return exponent.op == "const" and exponent.attrs["value"] < 0


def _operation(node: Node, index: int) -> Operation:
    operation = OPERATIONS.get(node.op)
    if operation is None:
        raise GraphError("SBX211", f"unknown operation {node.op[:40]!r}", index)
    least, most = operation.arity
    if not least <= len(node.args) <= most:
        raise GraphError("SBX212", f"{node.op} takes {least} to {most} operands, got {len(node.args)}", index)
    return operation


def _checked(index: int, node: Node) -> Node:
    """The node with its attributes checked. Raises GraphError."""
    try:
        return make_node(node.op, node.args, node.attrs)
    except GraphError as error:
        raise GraphError(error.code, error.message, index) from None


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
