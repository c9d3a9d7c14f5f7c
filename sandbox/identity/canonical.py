"""Canonical form and hash of a graph, equal for losses that differ only in how they are written. Linear time, no torch.

Every value becomes a linear form, constant + sum of coefficient * atom. An atom is an input, a product, or another operation on
values. Its name is a digest of the expression, so a shared term is computed once, and a graph of thirty squarings takes thirty
steps.

Only rules that keep the function and its gradients are applied: order of commutative operands, -(-x), a - b = a + (-b),
multiplication by constants, x * 1, x + 0, a/c = (1/c) a, logsigmoid(x) = -softplus(-x), x * x = x^2, even and odd functions,
a > b = b < a, a filled tensor as the number in it, detach of a value without a gradient. Sums and products are regrouped only if
no partial result can leave the range in which float32 keeps its digits (the bounds in the operations' records). Rules that change
values at the ends of the range are not applied: x - x = 0, x * 0 = 0, log(exp(x)) = x, 1 - sigmoid(x) = sigmoid(-x). The
fingerprint covers these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from sandbox.graph.dataflow import depends_on_trainable
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS, computes_in_floats
from sandbox.graph.operations.parts.bounds import LARGEST_SCALAR
from sandbox.graph.shapes import ShapeError, broadcast
from sandbox.graph.types import Type

VERSION = "g1"
REGROUP = 1e7
"""Partial sums stay below this wherever terms are regrouped, so that float32 does not lose the small ones."""
LARGEST_OFFSET = 1e4
"""Constants above this in size stay where they are in a sum: float32 rounds away digits of what they are added to."""
REGROUP_PRODUCT = 1e30
"""Partial products stay below this wherever factors are regrouped, so that float32 does not overflow."""
MAX_TERMS = 16
"""A sum or product with more parts is not regrouped, which keeps the run time linear in the size of the graph."""

_NO_OPS = frozenset({"cast", "reshape", "expand", "slice"})
"""Operations without effect when the type stays the same."""
_MIRRORED = {"gt": "lt", "ge": "le"}


def canonical_hash(graph: VerifiedGraph) -> str:
    """The versioned hash of the graph's canonical form."""
    return f"{VERSION}:{_Canonical(graph.pruned()).digest()}"


@dataclass(frozen=True, slots=True)
class _Linear:
    """constant + sum of coefficient * atom, sorted by the atoms' digests. `bound` is an upper bound of its absolute value."""

    constant: float
    terms: tuple[tuple[str, float], ...]
    bound: float

    @property
    def single(self) -> str | None:
        """The atom, if the form is a single atom with coefficient 1; else None."""
        return self.terms[0][0] if self.constant == 0 and len(self.terms) == 1 and self.terms[0][1] == 1 else None


@dataclass(frozen=True, slots=True)
class _Value:
    """A node's canonical value. `fill` marks a tensor that holds one number everywhere: `linear` is that number, and
    `whole` the digest of the tensor."""

    linear: _Linear
    type: Type
    fill: bool = False
    whole: str = ""


class _Canonical:
    """Canonical values of the nodes of one graph, in order."""

    def __init__(self, graph: VerifiedGraph) -> None:
        self.graph = graph
        self.types = graph.types
        self.products: dict[str, tuple[str, ...]] = {}
        self.detached: set[str] = set()
        self.depends = depends_on_trainable(graph)
        self.values: list[_Value] = []
        for i, node in enumerate(graph.nodes):
            self.values.append(self._value(i, node))

    def digest(self) -> str:
        """Digest of the output."""
        return _hash("graph", self.graph.contract, self._tensor(self.values[self.graph.output]))

    # --- one node ---

    def _value(self, index: int, node: Node) -> _Value:
        type_ = self.types[index]
        operands = [self.values[a] for a in node.args]
        if node.op == "const" and not isinstance(node.attrs["value"], bool):
            return _Value(_constant(float(node.attrs["value"])), type_)
        if node.op in ("full", "full_like") or (node.op in ("tensor", "cast") and _holds_a_number(operands[0], type_)):
            return self._filled(operands[-1], type_)
        if node.op == "tensor" or (node.op == "cast" and type_.dtype == "float"):
            return self._as_float(operands[0])
        if index in self.graph.constants and node.op != "const":
            return _Value(_constant(float(self.graph.constants[index])), type_)
        filled = any(v.fill for v in operands) and all(v.fill or v.type.is_number for v in operands)
        linear = None
        if type_.dtype == "float" and (filled or self._fits(operands, type_)):
            linear = self._arithmetic(node, operands)
        if linear is not None:
            return self._filled(_Value(linear, type_), type_) if filled else _Value(linear, type_)
        return self._other(index, node, operands, type_)

    def _filled(self, content: _Value, type_: Type) -> _Value:
        number = self._number(content.linear)
        whole = _hash("fill", ",".join(map(str, type_.dims)), number) if type_.dims else number
        return _Value(content.linear, type_, True, whole)

    def _arithmetic(self, node: Node, operands: Sequence[_Value]) -> _Linear | None:
        """The linear form of sums, products and operations that reduce to them; None for all others."""
        if node.op not in _ARITHMETIC and OPERATIONS[node.op].parity is None:
            return None
        parts = [self._as_float(v).linear for v in operands]
        match node.op:
            case "neg":
                return self._scaled(parts[0], -1.0)
            case "add":
                return self._sum(parts[0], parts[1], 1.0)
            case "sub":
                return self._sum(parts[0], parts[1], -1.0)
            case "mul":
                return self._product(parts[0], parts[1])
            case "div":
                return self._quotient(parts[0], parts[1])
            case "reciprocal":
                return self._quotient(_constant(1.0), parts[0])
            case "square":
                return self._product(parts[0], parts[0])
            case "mse_loss":
                difference = self._sum(parts[0], parts[1], -1.0)
                return self._product(difference, difference)
            case "l1_loss":
                return self._even("abs", self._sum(parts[0], parts[1], -1.0))
            case "pow" if not parts[1].terms and parts[1].constant in (1.0, 2.0):
                return parts[0] if parts[1].constant == 1 else self._product(parts[0], parts[0])
            case "logsigmoid":
                inner = self._number(self._scaled(parts[0], -1.0))
                softplus = self._applied("softplus", _SOFTPLUS, (inner,), (self._scaled(parts[0], -1.0),))
                return self._scaled(softplus, -1.0)
        match OPERATIONS[node.op].parity:
            case "even":
                return self._even(node.op, parts[0])
            case "odd":
                sign, inside = self._signed(parts[0])
                applied = self._applied(node.op, _attrs(node.attrs), (self._number(inside),), (inside,))
                return self._scaled(applied, sign)
        return None

    def _other(self, index: int, node: Node, operands: Sequence[_Value], type_: Type) -> _Value:
        """The value of an operation that is kept, on canonical operands."""
        op = _MIRRORED.get(node.op, node.op)
        if node.op in _MIRRORED:
            operands = operands[::-1]
        if op == "where":
            operands = [self._as_condition(operands[0]), *operands[1:]]
        if computes_in_floats(op, type_.dtype):
            operands = [self._as_float(v) for v in operands]
        rule = OPERATIONS[node.op].rule
        attrs = _attrs(_positive_axes(node, operands[0].type if operands else type_, type_))
        if rule == "elementwise" and self._fits(operands, type_):
            names = [self._number(v.linear) for v in operands]
        elif rule == "elementwise" and len(operands) > 1 and all(v.fill or v.type.is_number for v in operands):
            names = [self._number(v.linear) for v in operands]
            attrs += ",".join(map(str, type_.dims))
        else:
            names = [self._tensor(v) for v in operands]
        if op == "detach" and (not self.depends[index] or operands[0].linear.single in self.detached):
            return operands[0]
        if op in _NO_OPS and operands[0].type == type_:
            return operands[0]
        if op == "where" and names[1] == names[2] and operands[1].type == type_:
            return operands[1]
        if type_.dtype == "bool" and len({*names}) < len(names):  # of two numbers alike, the last digit decides
            names = [self._exact(v.linear) if v.linear.terms else name for v, name in zip(operands, names, strict=True)]
        if OPERATIONS[node.op].commutative:
            names.sort()
        linear = self._applied(op, attrs, names, [v.linear for v in operands])
        if op == "detach":
            self.detached.update(atom for atom, _ in linear.terms)
        if op == "input" and type_.is_number:
            linear = replace(linear, bound=LARGEST_SCALAR)
        return _Value(linear, type_)

    # --- linear forms ---

    def _sum(self, a: _Linear, b: _Linear, sign: float) -> _Linear:
        b = self._scaled(b, sign)
        for zero, other in ((a, b), (b, a)):
            if not zero.terms and zero.constant == 0:
                return other
        offset = max(abs(a.constant), abs(b.constant)) if a.terms or b.terms else 0.0
        if offset > LARGEST_OFFSET or a.bound + b.bound > REGROUP or len(a.terms) + len(b.terms) > MAX_TERMS:
            a, b = self._opaque(a), self._opaque(b)
        terms = dict(a.terms)
        for atom, coefficient in b.terms:
            terms[atom] = terms.get(atom, 0.0) + coefficient
        return _Linear(a.constant + b.constant, tuple(sorted(terms.items())), a.bound + b.bound)

    def _scaled(self, a: _Linear, factor: float) -> _Linear:
        if factor == 1:
            return a
        if not a.terms and math.isfinite(a.constant * factor):
            return _constant(a.constant * factor)
        if not 1 / REGROUP <= abs(factor) <= REGROUP or a.bound * abs(factor) > REGROUP > a.bound:
            if factor == -1:
                return _Linear(-a.constant, tuple((t, -c) for t, c in a.terms), a.bound)
            inner = self._exact(a) if abs(factor) > REGROUP else self._number(a)  # it would magnify the last digits
            return self._applied("scale", _decimal(factor), (inner,), (a,))
        return _Linear(a.constant * factor, tuple((t, c * factor) for t, c in a.terms), a.bound * abs(factor))

    def _product(self, a: _Linear, b: _Linear) -> _Linear:
        if not a.terms:
            return self._scaled(b, a.constant)
        if not b.terms:
            return self._scaled(a, b.constant)
        (scale_a, inner_a), (scale_b, inner_b) = self._normal(a), self._normal(b)
        factors = (*self._factors(inner_a), *self._factors(inner_b))
        if inner_a.bound * inner_b.bound > REGROUP_PRODUCT or len(factors) > MAX_TERMS:
            factors = (self._number(inner_a), self._number(inner_b))
        product = self._multiplied(factors, inner_a.bound * inner_b.bound)
        return self._scaled(self._scaled(product, scale_a), scale_b)

    def _multiplied(self, factors: Sequence[str], bound: float) -> _Linear:
        ordered = tuple(sorted(factors))
        atom = _hash("product", "", *ordered)
        self.products[atom] = ordered
        return _Linear(0.0, ((atom, 1.0),), bound)

    def _factors(self, a: _Linear) -> tuple[str, ...]:
        atom = a.single
        return self.products.get(atom, (atom,)) if atom is not None else (self._number(a),)

    def _quotient(self, a: _Linear, b: _Linear) -> _Linear:
        if not b.terms and b.constant != 0:
            return self._scaled(a, 1.0 / b.constant)
        (scale_a, inner_a), (scale_b, inner_b) = self._normal(a), self._normal(b)
        quotient = self._applied("div", "", (self._number(inner_a), self._number(inner_b)), (inner_a, inner_b))
        return self._scaled(self._scaled(quotient, scale_a), 1.0 / scale_b)

    def _even(self, op: str, a: _Linear) -> _Linear:
        inside = self._signed(a)[1]
        return self._applied(op, "", (self._number(inside),), (inside,))

    def _normal(self, a: _Linear) -> tuple[float, _Linear]:
        """a = scale * inner, the inner form beginning with coefficient 1."""
        leading = a.terms[0][1] if a.terms else a.constant
        if not 1 / REGROUP <= abs(leading) <= REGROUP:
            return 1.0, a
        return leading, self._scaled(a, 1.0 / leading)

    def _signed(self, a: _Linear) -> tuple[float, _Linear]:
        """a = sign * inner, the inner form beginning with a positive coefficient."""
        leading = a.terms[0][1] if a.terms else a.constant
        return (-1.0, self._scaled(a, -1.0)) if leading < 0 else (1.0, a)

    def _opaque(self, a: _Linear) -> _Linear:
        """The same value as a constant or one coefficient * atom, so that nothing is regrouped with it."""
        if not a.terms or (len(a.terms) == 1 and a.constant == 0):
            return a
        scale, inner = self._normal(a)
        return _Linear(0.0, ((self._number(inner), scale),), a.bound)

    # --- names ---

    def _applied(self, op: str, attrs: str, names: Sequence[str], operands: Sequence[_Linear]) -> _Linear:
        bound = OPERATIONS[op].bound([o.bound for o in operands]) if op in OPERATIONS else math.inf
        return _Linear(0.0, ((_hash(op, attrs, *names), 1.0),), bound)

    def _number(self, a: _Linear) -> str:
        """The digest of a linear form."""
        if a.single is not None:
            return a.single
        terms = (f"{atom}*{_decimal(c)}" for atom, c in a.terms)
        return _hash("linear", _decimal(a.constant), *terms)

    def _exact(self, a: _Linear) -> str:
        """The digest of a linear form with all digits of its numbers."""
        return _hash("exact", repr(a.constant), *(f"{atom}*{c!r}" for atom, c in a.terms))

    def _tensor(self, value: _Value) -> str:
        return value.whole if value.fill else self._number(value.linear)

    def _as_float(self, value: _Value) -> _Value:
        """The operand as operations that compute in floats see it."""
        if value.type.dtype == "float" or value.type.is_number or value.fill:
            return value
        linear = self._applied("cast", '{"to":"float"}', (self._tensor(value),), (value.linear,))
        return _Value(linear, replace(value.type, dtype="float"))

    def _as_condition(self, value: _Value) -> _Value:
        """The operand as torch.where sees it."""
        if value.type.dtype == "bool":
            return value
        linear = self._applied("cast", '{"to":"bool"}', (self._tensor(value),), (value.linear,))
        return _Value(linear, replace(value.type, dtype="bool"))

    def _fits(self, operands: Sequence[_Value], type_: Type) -> bool:
        """Whether the result keeps its shape when filled tensors are taken for the numbers in them."""
        try:
            return broadcast([() if v.fill else v.type.dims for v in operands]) == type_.dims
        except ShapeError:
            return False


_ARITHMETIC = frozenset(
    {"neg", "add", "sub", "mul", "div", "reciprocal", "square", "pow", "logsigmoid", "mse_loss", "l1_loss"}
)


def _holds_a_number(value: _Value, wanted: Type) -> bool:
    """Whether converting the value to `wanted` only changes how its number is stored."""
    return (value.type.is_number or value.fill) and wanted.dtype == "float" and value.type.dtype != "bool"


def _constant(value: float) -> _Linear:
    return _Linear(value + 0.0, (), abs(value))


def _positive_axes(node: Node, operand: Type, result: Type) -> Mapping[str, Any]:
    """The attributes with axes counted from the front, and with all axes listed for a reduction over all of them."""
    rank = len(result.dims) if node.op in ("unsqueeze", "stack") else len(operand.dims)
    attrs = dict(node.attrs)
    for key in attrs.keys() & {"dim", "dim0", "dim1"}:
        axes = attrs[key]
        if isinstance(axes, int) and rank:
            attrs[key] = axes % rank
        if OPERATIONS[node.op].rule == "reduce":
            given = range(rank) if axes is None else axes if isinstance(axes, tuple) else (axes,)
            attrs[key] = tuple(sorted({a % rank for a in given})) if rank else None
    return attrs


def _attrs(attrs: Mapping[str, Any]) -> str:
    shown = (f'"{k}":{_decimal(v) if isinstance(v, float) else f"{v!r}"}' for k, v in sorted(attrs.items()))
    return "{" + ",".join(shown).replace("'", '"') + "}"


def _decimal(value: float) -> str:
    """Twelve digits: constants that differ by the rounding of their arithmetic are the same constant."""
    return f"{value + 0.0:.12g}"


def _hash(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


_SOFTPLUS = _attrs({"beta": 1.0, "threshold": 20.0})
