"""Symbolic values of a traced candidate, and the recorder of its operations.

A `SymTensor` represents a tensor of unknown content; a `SymNumber` represents beta, a size, or arithmetic on them. All other values
of a candidate are constants: Python numbers, strings, lists, tuples, dicts, its own functions, and the frozen facades.
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from typing import Any, NoReturn

from sandbox.child.protocol import Refusal, SourceSpan, Violation
from sandbox.child.source_locations import here
from sandbox.contracts.contract import Contract
from sandbox.graph.loss_graph import MAX_OPERATIONS
from sandbox.graph.nodes import GraphError, Node, make_node
from sandbox.graph.operations import OPERATIONS, SOURCES
from sandbox.graph.operations.parts.attributes import MAX_INTEGER
from sandbox.graph.shapes import ShapeError, infer
from sandbox.graph.types import Dim, Shape, Type


class OperandMismatch(BaseException):
    """An operation rejects its operands. It is the last recorded node, and the parent determines the reason."""


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
    """A tensor. `shared`: another name may refer to the same memory, so `+=` could change that one too.

    `widened`: the source converted it to another floating dtype. The conversion is dropped, and only a result may have it.
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
    """The value of `x.shape`: a tuple of sizes, with the symbolic shape that it came from."""

    dims: Shape
    items: tuple[Any, ...]

    def __bool__(self) -> bool:
        return bool(self.items)


@dataclass(frozen=True, slots=True)
class Pair:
    """The result of sort, max, min or median along an axis. `indices` is None if no operation computes them (median)."""

    values: SymTensor
    indices: SymTensor | None


@dataclass(frozen=True, slots=True)
class DType:
    """A dtype: float (the dtype that the loss is computed in), int, bool, or another floating dtype that is dropped."""

    name: str


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a tensor: can be passed on, has no properties."""


@dataclass(frozen=True, slots=True)
class FInfo:
    """torch.finfo of the dtype that the loss is computed in."""


class Reported:
    """A number or text that is known in training only, such as `x.mean().item()`: it can be kept, and returned beside the loss.

    A loss may not depend on it: it is refused as an operand, in a condition, and as a key.
    """

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise Refusal("SBX133")


DEVICE = Device()
VIEWS = (KeysView, ValuesView, ItemsView)
"""Results of the methods keys, values and items of a dict, which may be iterated."""
Number = int | float | SymNumber

_CERTAIN = frozenset({"add", "sub", "mul", "neg"})
"""Operations on Python numbers that raise nothing. A quotient or a power may divide by zero or overflow."""
_RAISING = frozenset({"binary_cross_entropy", "gather", "one_hot"})
"""Operations for which torch raises if the numbers in a tensor are out of range."""

_OF_ANY_DTYPE = frozenset({"cast", "where", "detach", "unsqueeze", "squeeze"})
_OF_TRUTH_VALUES = frozenset({"any", "all", "logical_not", "logical_and", "logical_or"})


class Recorder:
    """Records operations as graph nodes. Raises Refusal at the limits, OperandMismatch if operands do not fit."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.nodes: list[Node] = []
        self.types: list[Type] = []
        self.operations = 0
        self.notes: list[Violation] = []
        self.keeps_gradients = True
        """False inside `with torch.no_grad():`."""
        self.tries = 0
        """Above zero inside the body of `try`, where an exception that only training has would be caught."""
        self._sources: dict[Any, int] = {}
        self._made: dict[Any, int] | None = None
        self._without_gradient: set[int] = set()
        self._detached: dict[int, int] = {}

    def repeat(self) -> None:
        """Start another run of the candidate: from now on an operation that the graph already holds is reused."""
        self._made = {self._key(node, i in self._without_gradient): i for i, node in enumerate(self.nodes)}

    @staticmethod
    def _key(node: Node, without_gradient: bool) -> Any:
        return node.op, node.args, repr(tuple(node.attrs.items())), without_gradient

    def note(self, code: str, span: SourceSpan | None = None) -> None:
        """Record a note at `span`, or else at the candidate's current location. Only the first note of each code is kept."""
        if all(n.code != code for n in self.notes):
            self.notes.append(Violation(code, span or here()))

    def number(self, index: int) -> SymNumber:
        """The number at a node, as an operand."""
        return SymNumber(index, self.types[index])

    def add(self, op: str, operands: Sequence[Any] = (), attrs: Mapping[str, Any] | None = None) -> Any:
        """Record one operation and return its value, a SymTensor or a SymNumber."""
        index = self._add(op, tuple(self.index(o) for o in operands), attrs)
        result = self.types[index]
        if self.tries and (op not in _CERTAIN if result.is_number else self._may_raise(index)):
            raise Refusal("SBX115")
        if result.is_number:
            return SymNumber(index, result)
        shared = OPERATIONS[op].shares_memory
        if shared and isinstance(operands[0], SymTensor):
            operands[0].shared = True
        return SymTensor(index, result, shared)

    def _may_raise(self, index: int) -> bool:
        """Whether torch may raise where the graph does not: for values out of range, or for integers and truth values."""
        node = self.nodes[index]
        kinds = {self.types[a].dtype for a in node.args if not self.types[a].is_number}
        return (
            node.op in _RAISING
            or ("int" in kinds and node.op not in _OF_ANY_DTYPE)
            or ("bool" in kinds and node.op not in _OF_ANY_DTYPE | _OF_TRUTH_VALUES)
        )

    def _add(self, op: str, args: tuple[int, ...], attrs: Mapping[str, Any] | None = None) -> int:
        try:
            node = make_node(op, args, attrs)
        except GraphError as error:
            raise Refusal(error.code) from None
        without_gradient = not self.keeps_gradients and op not in SOURCES
        if self._made is not None:
            made = self._made.get(self._key(node, without_gradient))
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
            raise OperandMismatch from None
        self.types.append(result)
        index = len(self.nodes) - 1
        if without_gradient and not result.is_number and result.dtype == "float":
            self._without_gradient.add(index)
        if self._made is not None:
            self._made[self._key(node, without_gradient)] = index
        return index

    def index(self, value: Any) -> int:
        """The index of a value's node; a constant is recorded first. Raises Refusal."""
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
        """The node to use for this value here: a value computed under no_grad is detached if gradients are now kept."""
        if not self.keeps_gradients or index not in self._without_gradient:
            return index
        if index not in self._detached:
            self._detached[index] = self._add("detach", (index,))
        return self._detached[index]

    def lacks_gradient(self, value: SymTensor) -> bool:
        """Whether a tensor was computed under no_grad."""
        return value.index in self._without_gradient

    def _source(self, op: str, attrs: dict[str, Any], key: Any) -> int:
        if key not in self._sources:
            self._sources[key] = self._add(op, (), attrs)
        return self._sources[key]

    def input(self, name: str) -> Any:
        """An argument of the contract. Tensors belong to the caller, so they count as shared and cannot change in place."""
        index = self._source("input", {"name": name}, ("input", name))
        kind = self.types[index]
        return SymNumber(index, kind) if kind.is_number else SymTensor(index, kind, shared=True)

    def size(self, dim: Dim) -> Number:
        """A size as a Python number: an int if it is constant, else a SymNumber."""
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
        """A number as a symbolic size: an int, a size, or a sum or product of these, up to `depth` levels. None for any other."""
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

    def quotient(self, value: Any, by: Any) -> Number | None:
        """The exact quotient of two sizes, such as 2 B // 2; None for other numbers and if there is a rest for some batches."""
        size, part = self.dim_of(value), self.dim_of(by)
        found = size.divide(part) if size is not None and part is not None and part.terms else None
        return None if found is None else self.size(found)

    def symbol_of(self, value: Any) -> str | None:
        """The contract's symbol of a number that is a size, or None."""
        if isinstance(value, SymNumber) and self.nodes[value.index].op == "size":
            return str(self.nodes[value.index].attrs["symbol"])
        return None


def checked_number(value: Any) -> Any:
    """The value, if a graph may hold it as a constant. Raises Refusal."""
    if isinstance(value, float) and math.isnan(value):
        raise Refusal("SBX232")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise Refusal("SBX204")
    return value


def is_number(value: Any) -> bool:
    """Whether a value is a number, constant or symbolic."""
    return isinstance(value, bool | int | float | SymNumber)
