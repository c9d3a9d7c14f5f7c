"""The values that a candidate computes with while it is traced, and the recorder that writes down what it does.

A `SymTensor` stands for a tensor of unknown content, a `SymNumber` for beta, a size, or arithmetic on them. Everything else a
candidate can hold is a constant: Python numbers, strings, lists, tuples, dicts, functions of its own, and our frozen facades.
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from typing import Any, NoReturn

from sandbox.child.allowlist import limits as policy
from sandbox.child.places import here
from sandbox.child.protocol import Complaint, Refusal, Spot
from sandbox.contracts.contract import Contract
from sandbox.graph.loss_graph import MAX_OPERATIONS
from sandbox.graph.nodes import GraphError, Node, make_node
from sandbox.graph.operations import OPERATIONS, SOURCES
from sandbox.graph.shapes import ShapeError, infer
from sandbox.graph.types import Dim, Shape, Type


class Broken(BaseException):
    """An operation whose operands do not fit: the nodes so far end with it, and the parent works out what is wrong."""


class Symbol:
    """A value that is not known while tracing."""

    __slots__ = ("index", "type")

    def __init__(self, index: int, type: Type) -> None:
        self.index = index
        self.type = type

    def __bool__(self) -> NoReturn:
        raise Refusal("SBX201")

    def __iter__(self) -> NoReturn:
        raise Refusal("SBX234")

    def __len__(self) -> NoReturn:
        raise Refusal("SBX234")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]


class SymTensor(Symbol):
    """A tensor. `shared` says that another name may see the same memory, so that `+=` could change that one too.

    `widened` says that source asked for another floating type, which is dropped: only a result may be so.
    """

    __slots__ = ("shared", "widened")

    def __init__(self, index: int, type: Type, shared: bool = False, widened: bool = False) -> None:
        super().__init__(index, type)
        self.shared = shared
        self.widened = widened

    @property
    def dims(self) -> Shape:
        """The symbolic shape."""
        return self.type.dims


class SymNumber(Symbol):
    """A Python number that depends on beta or on sizes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Sizes:
    """The shape of a tensor, as `x.shape` gives it: a tuple of sizes that knows what it came from."""

    dims: Shape
    items: tuple[Any, ...]

    def __bool__(self) -> bool:
        return bool(self.items)


@dataclass(frozen=True, slots=True)
class Pair:
    """What sort, max, min give along an axis. `indices` is None where no operation gives them (median)."""

    values: SymTensor
    indices: SymTensor | None


@dataclass(frozen=True, slots=True)
class DType:
    """A type of numbers: float (whatever the loss is computed in), int or bool."""

    name: str


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a tensor: passed about, never looked into."""


@dataclass(frozen=True, slots=True)
class FInfo:
    """torch.finfo of the type that the loss is computed in."""


DEVICE = Device()
VIEWS = (KeysView, ValuesView, ItemsView)
"""What the methods of a dict give: to be looped over."""
Number = int | float | SymNumber


class Recorder:
    """Writes operations down. Raises Refusal at the limits, Broken where operands do not fit."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.nodes: list[Node] = []
        self.types: list[Type] = []
        self.operations = 0
        self.notes: list[Complaint] = []
        self.keeps_gradients = True
        """False inside of `with torch.no_grad():`."""
        self._sources: dict[Any, int] = {}
        self._made: dict[Any, int] | None = None
        self._quiet: set[int] = set()
        self._detached: dict[int, int] = {}

    def repeat(self) -> None:
        """From here on an operation that is in the graph already is not recorded again: the candidate runs once more."""
        self._made = {self._key(node, i in self._quiet): i for i, node in enumerate(self.nodes)}

    @staticmethod
    def _key(node: Node, quiet: bool) -> Any:
        return node.op, node.args, repr(tuple(node.attrs.items())), quiet

    def note(self, code: str, spot: Spot | None = None) -> None:
        """Remember what was taken off the source, at a place or where the candidate is now. Of each kind the first."""
        if all(n.code != code for n in self.notes):
            self.notes.append(Complaint(code, spot or here()))

    def number(self, index: int) -> SymNumber:
        """The number that a node holds, as an operand."""
        return SymNumber(index, self.types[index])

    def add(self, op: str, operands: Sequence[Any] = (), attrs: Mapping[str, Any] | None = None) -> Any:
        """Record one operation; gives a SymTensor or a SymNumber."""
        index = self._add(op, tuple(self.index(o) for o in operands), attrs)
        result = self.types[index]
        if result.is_number:
            return SymNumber(index, result)
        shared = OPERATIONS[op].shares_memory
        if shared and isinstance(operands[0], SymTensor):
            operands[0].shared = True
        return SymTensor(index, result, shared)

    def _add(self, op: str, args: tuple[int, ...], attrs: Mapping[str, Any] | None = None) -> int:
        try:
            node = make_node(op, args, attrs)
        except GraphError as error:
            raise Refusal(error.code) from None
        quiet = not self.keeps_gradients and op not in SOURCES
        if self._made is not None:
            made = self._made.get(self._key(node, quiet))
            if made is not None:
                return made
        if op not in SOURCES:
            self.operations += 1
            if self.operations > MAX_OPERATIONS:
                raise Refusal("SBX213", (self.operations, MAX_OPERATIONS))
        self.nodes.append(node)
        try:
            result = infer(OPERATIONS[op], [self.types[a] for a in args], node.attrs, self.contract)
        except ShapeError:
            raise Broken from None
        self.types.append(result)
        index = len(self.nodes) - 1
        if quiet and not result.is_number and result.dtype == "float":
            self._quiet.add(index)
        if self._made is not None:
            self._made[self._key(node, quiet)] = index
        return index

    def index(self, value: Any) -> int:
        """The node that holds a value, recorded now if it is a constant."""
        if isinstance(value, SymTensor):
            if value.widened:
                raise Refusal("SBX231")
            return self.kept(value.index)
        if isinstance(value, Symbol):
            return value.index
        if not isinstance(value, bool | int | float):
            raise Refusal("SBX205")
        number = checked_number(value)
        return self._source("const", {"value": number}, (type(number), math.copysign(1, number), number))

    def kept(self, index: int) -> int:
        """The node as it counts here: what was computed without gradients is detached where gradients are kept."""
        if not self.keeps_gradients or index not in self._quiet:
            return index
        if index not in self._detached:
            self._detached[index] = self._add("detach", (index,))
        return self._detached[index]

    def is_quiet(self, value: SymTensor) -> bool:
        """Whether a tensor was computed without gradients."""
        return value.index in self._quiet

    def _source(self, op: str, attrs: dict[str, Any], key: Any) -> int:
        if key not in self._sources:
            self._sources[key] = self._add(op, (), attrs)
        return self._sources[key]

    def input(self, name: str) -> Any:
        """An argument of the contract. Tensors belong to the caller, so nothing may change them in place."""
        index = self._source("input", {"name": name}, ("input", name))
        kind = self.types[index]
        return SymNumber(index, kind) if kind.is_number else SymTensor(index, kind, shared=True)

    def size(self, dim: Dim) -> Number:
        """A size as a Python number: an int where it is constant."""
        if dim.constant is not None:
            return dim.constant
        total: Any = 0
        for symbols, coefficient in dim.terms:
            term: Any = coefficient
            for s in symbols:
                index = self._source("size", {"symbol": s}, ("size", s))
                symbol = SymNumber(index, self.types[index])
                term = symbol if type(term) is int and term == 1 else self.add("mul", (term, symbol))
            total = term if type(total) is int and total == 0 else self.add("add", (total, term))
        return total  # type: ignore[no-any-return]

    def dim_of(self, value: Any, depth: int = 4) -> Dim | None:
        """The size that a number is: a constant int, a size, or a short sum or product of these. None for all else."""
        if type(value) is int:
            return Dim.of(value)
        if not isinstance(value, SymNumber) or depth == 0:
            return None
        node = self.nodes[value.index]
        if node.op == "size":
            return Dim.of(node.attrs["symbol"])
        if node.op == "const":
            return self.dim_of(node.attrs["value"])
        if node.op not in ("add", "mul", "sub", "neg"):
            return None
        parts = [self.dim_of(self.number(a), depth - 1) for a in node.args]
        known = [p for p in parts if p is not None]
        if len(known) < len(parts):
            return None
        match node.op:
            case "mul":
                return known[0] * known[1]
            case "neg":
                return known[0] * Dim.of(-1)
        return known[0] + (known[1] * Dim.of(-1) if node.op == "sub" else known[1])

    def symbol_of(self, value: Any) -> str | None:
        """The contract's symbol that a size stands for, or None."""
        if isinstance(value, SymNumber) and self.nodes[value.index].op == "size":
            return str(self.nodes[value.index].attrs["symbol"])
        return None


def checked_number(value: Any) -> Any:
    """A constant that a graph may hold. Raises Refusal."""
    if isinstance(value, float) and math.isnan(value):
        raise Refusal("SBX232")
    if isinstance(value, int) and abs(value) > policy.MAX_INTEGER:
        raise Refusal("SBX204")
    return value


def is_number(value: Any) -> bool:
    """Whether a value is a number that source may use as one: constant or symbolic."""
    return isinstance(value, bool | int | float | SymNumber)
