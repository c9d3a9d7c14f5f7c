"""LossGraph: a loss as data, a list of allow-listed tensor operations. It is the only form in which a loss leaves the jail.

A graph is a list of nodes in order of evaluation. Each node names an operation of `operations.OPERATIONS`, the nodes of its
operands (earlier ones only, so a graph cannot be cyclic) and constant attributes.

A `LossGraph` is unchecked data. Code that runs, prints, hashes or measures a loss takes a `VerifiedGraph`, which cannot be created
without the checks of size, operations, attributes, types and symbolic shapes. It is created at the trust boundaries: from the
jail's answer, a file, an archive, or the input of a worker process. Code behind these boundaries does not verify again.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, final

from sandbox.contracts.contract import CONTRACTS, PREFERENCE, Contract
from sandbox.graph.costs import Price, price
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
"""Numbers that a loss may read or write for 64 items and 10 classes; a matrix product counts its multiplications. A hundred
comparisons of all pairs are within the limit. Without it, 400 operations on large tensors would take minutes."""
MAX_COST = 2_500
"""Units of `sandbox.graph.costs` that a loss may cost: less than one CPU second for all tests in the trusted process. 400 simple
operations are within the limit, and so are ninety quantiles, or 160 comparisons of all pairs."""
MAX_CONSTANTS = 64
"""Distinct constants in one loss. Published losses have up to seven; a look-up table needs one or two per memorised pair."""


@dataclass(frozen=True)
class LossGraph:
    """A loss as data. The constructor checks nothing; `from_json` and `from_nodes` return a `VerifiedGraph`."""

    contract: str
    nodes: tuple[Node, ...]
    output: int

    @staticmethod
    def from_nodes(contract: str, nodes: Iterable[Node], output: int) -> VerifiedGraph:
        """The verified graph, without the nodes that `output` does not depend on. Raises GraphError."""
        return verify(prune(LossGraph(contract, tuple(nodes), output)))

    @staticmethod
    def from_json(text: str | bytes) -> VerifiedGraph:
        """Parse and verify. Raises GraphError, and nothing else, for any text or bytes.

        A text that this process verified or wrote a short time ago is not verified again.
        """
        if (known := _VERIFIED.get(text)) is not None:
            return known
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
        graph = VerifiedGraph(data["contract"], nodes, data["output"])
        _VERIFIED.keep(text, graph)
        return graph

    def to_json(self) -> str:
        """Compact JSON without default values; equal graphs have equal text."""
        return self._json

    @cached_property
    def _json(self) -> str:
        nodes = [node_to_json(node) for node in self.nodes]
        data = {"schema": SCHEMA, "contract": self.contract, "nodes": nodes, "output": self.output}
        return json.dumps(data, separators=(",", ":"), allow_nan=False)

    @cached_property
    def operations(self) -> int:
        """The number of nodes other than inputs, sizes and constants."""
        return sum(n.op not in SOURCES for n in self.nodes)


@final
@dataclass(frozen=True)
class VerifiedGraph(LossGraph):
    """A loss that passed all static checks, with their results. The constructor verifies, and raises GraphError.

    Copies, `dataclasses.replace` and unpickling call the constructor, so they verify too. Linear in the number of nodes.
    """

    types: tuple[Type, ...] = field(init=False, repr=False, compare=False)
    """The type of every node."""
    constants: Mapping[int, Any] = field(init=False, repr=False, compare=False)
    """Node -> value, for Python numbers computed from constants only."""
    work: int = field(init=False, repr=False, compare=False)
    """The numbers that the loss reads or writes for 64 items and 10 classes."""
    cost: int = field(init=False, repr=False, compare=False)
    """The cost of testing the loss, in units of `sandbox.graph.costs`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(_checked(i, node) for i, node in enumerate(self.nodes)))
        contract = CONTRACTS.get(self.contract)  # not contract_named: an untrusted graph must not load a package
        if contract is None:
            raise GraphError(
                "SBX210", f"unknown contract {self.contract[:40]!r}: expected one of {', '.join(CONTRACTS)}"[:200]
            )
        self._check_size()
        object.__setattr__(self, "types", infer_types(contract, self.nodes))
        object.__setattr__(self, "constants", _constants(self.nodes, self.types))
        prices = self._prices()
        object.__setattr__(self, "work", sum(p.work for p in prices))
        object.__setattr__(self, "cost", sum(p.cost for p in prices))
        self._check_price()
        self._check_result(contract)

    def to_json(self) -> str:
        """Compact JSON without default values; equal graphs have equal text."""
        _VERIFIED.keep(self._json, self)
        return self._json

    def __init_subclass__(cls) -> None:
        raise TypeError("VerifiedGraph has no subclasses: one could leave its check out")

    def __reduce__(self) -> tuple[Any, ...]:
        return VerifiedGraph, (self.contract, self.nodes, self.output)

    def pruned(self) -> VerifiedGraph:
        """The graph without the nodes that the output does not depend on; the same object if there are none."""
        return verify(prune(self))

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of the contract's arguments that the loss reads."""
        return frozenset(str(n.attrs["name"]) for n in self.nodes if n.op == "input")

    def _prices(self) -> list[Price]:
        """The price of each node."""
        types = self.types
        return [
            price(node.op, tuple([types[a] for a in node.args]), result)
            for node, result in zip(self.nodes, types, strict=True)
        ]

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
            raise GraphError("SBX217", self._too_costly())

    def _check_result(self, contract: Contract) -> None:
        result = self.types[self.output]
        if result.shape != (Dim.of("B"),):
            raise GraphError("SBX223", _wrong_result(result), self.output)
        if result.dtype != "float":
            raise GraphError("SBX224", f"the loss is a {result}; expected float32, one loss per item", self.output)

    def _too_costly(self) -> str:
        """The message for a graph beyond MAX_COST, with the operation that costs most."""
        units, counts = Counter[str](), Counter[str]()
        for node, taken in zip(self.nodes, self._prices(), strict=True):
            units[node.op] += taken.cost
            counts[node.op] += 1
        costliest, own = units.most_common(1)[0]
        return (
            f"the loss costs {self.cost:,} units to compute, at most {MAX_COST:,} are allowed; {own / self.cost:.0%} of them are "
            f"for {costliest}, which occurs {counts[costliest]} times: an addition of two vectors costs 3"
        )


class _Verified:
    """The last graphs that passed the checks in this process, by their text. Thread-safe.

    Equal text gives an equal graph as long as the contract's record is the same object.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str | bytes, tuple[VerifiedGraph, Contract]] = {}
        self._changing = threading.Lock()

    def get(self, text: str | bytes) -> VerifiedGraph | None:
        """The graph of this text, if it is known."""
        graph, contract = self._known.get(text, (None, None))
        return graph if graph is not None and CONTRACTS.get(graph.contract) is contract else None

    def keep(self, text: str | bytes, graph: VerifiedGraph) -> None:
        """Keep a graph, and forget the oldest."""
        if (contract := CONTRACTS.get(graph.contract)) is not None:
            with self._changing:
                self._known.pop(text, None)
                self._known[text] = graph, contract
                if len(self._known) > self._most:
                    del self._known[next(iter(self._known))]


_VERIFIED = _Verified(32)


def verify(graph: LossGraph) -> VerifiedGraph:
    """The graph as a VerifiedGraph; the same object, at no cost, if it is one. Raises GraphError."""
    return graph if isinstance(graph, VerifiedGraph) else VerifiedGraph(graph.contract, graph.nodes, graph.output)


def prune(graph: LossGraph) -> LossGraph:
    """The graph without the nodes that the output does not depend on; the same object if there are none. Linear time."""
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
    """The type of each node; `known` are the types of the first nodes. Raises GraphError for an ill-typed node."""
    types = list(known)
    for i in range(len(types), len(nodes)):
        node = nodes[i]
        _check_order(i, node)
        operation = _operation(node, i)
        try:
            operands = [types[a] for a in node.args]
            if _is_typed_by_operands(operation):
                result = _elementwise(node.op, tuple(operands))
            else:
                result = infer(operation, operands, node.attrs, contract)
        except ShapeError as error:
            raise GraphError(error.code, str(error), i) from None
        types.append(_FRACTION if _is_fraction(nodes, node, result) else result)
    return tuple(types)


@lru_cache(maxsize=4096)
def _elementwise(name: str, operands: tuple[Type, ...]) -> Type:
    """As `infer` for an operation whose result depends on the operands' types only. Raises ShapeError."""
    return infer(OPERATIONS[name], operands, {}, PREFERENCE)  # any contract does: the rule does not read it


def _is_typed_by_operands(operation: Operation) -> bool:
    """Whether neither the attributes nor the contract decide about the result's type."""
    return operation.rule == "elementwise" and (
        not operation.attrs or (operation.check is None and operation.result not in ("cast", "const", "input"))
    )


def _constants(nodes: Sequence[Node], types: Sequence[Type]) -> Mapping[int, Any]:
    """Node -> value, for Python numbers computed from constants only. Raises GraphError for an undefined one: log(0), 1 / 0."""
    found: dict[int, Any] = {}
    for i, node in enumerate(nodes):
        if node.op == "const":
            found[i] = node.attrs["value"]
        elif node.args and types[i].is_number and all(a in found for a in node.args):
            found[i] = constant(node.op, types[i].dtype, [found[a] for a in node.args])
            if found[i] is None:
                shown = ", ".join(f"{found[a]!r}" for a in node.args)
                raise GraphError("SBX215", f"{node.op}({shown}) has no value of type {types[i].dtype}", i)
    return MappingProxyType(found)


def _wrong_result(result: Type) -> str:
    hint = ""
    if result.shape == ():
        hint = "; was it reduced over the batch by something other than a final mean?"
    elif result.shape == (Dim.of("B") + Dim.of("B"),):
        hint = "; did you concatenate the two halves?"
    elif len(result.dims) == 2:
        hint = "; did (batch, 1) broadcast against (batch,)?"
    return f"the loss is a {result}; expected a float tensor (B,): one loss per item of the batch{hint}"


_FRACTION = Type("float", None)


def _is_fraction(nodes: Sequence[Node], node: Node, result: Type) -> bool:
    """Whether a node is an int to a negative constant power, and so a float."""
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
