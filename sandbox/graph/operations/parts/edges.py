"""Edges: where an operation can change a loss abruptly, and what decides there. Kinks, steps, poles, steep transitions.

A record says `smooth(...)` where there are none: sums, products, the same numbers in another shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sandbox.graph.types import Dim, Type


class Kind(StrEnum):
    """How an operation treats its deciding quantity, `left - right - offset`."""

    ROUNDING = "rounding"
    """Steps without end."""
    EQUALITY = "equality"
    """Another result at one value: zero."""
    FINITENESS = "finiteness"
    """Another result where the operand is not a number or overflows."""
    CHOICE = "choice"
    """The index of the largest or smallest, or ranks."""
    WAVE = "wave"
    """Back and forth without end."""
    BELOW = "below"
    """Another formula below zero; the result at zero belongs to the other side."""
    ABOVE = "above"
    """Another formula above zero; the result at zero belongs to the other side."""
    KINK = "kink"
    """Another formula on either side of zero, continuous there."""
    STEEP = "steep"
    """A transition around zero, about one wide."""
    POLE = "pole"
    """Changes fast where the quantity is small."""


@dataclass(frozen=True, slots=True)
class Site:
    """An operation that decides by `left - right - offset`; along an axis by the differences of the entries of `left`."""

    node: int
    kind: Kind
    left: int
    right: int | None = None
    offset: float = 0.0
    axis: int | None = None
    scale: float = 1.0
    """How many times steeper the operation is than its kind says."""


class Use(NamedTuple):
    """One node of a graph: its index, the indices of its operands, its attributes, and the types and nodes of the graph."""

    node: int
    args: Sequence[int]
    attrs: Mapping[str, Any]
    graph_types: Sequence[Type]
    graph_nodes: Sequence[Any]

    @property
    def types(self) -> list[Type]:
        """The operands' types."""
        return [self.graph_types[a] for a in self.args]

    @property
    def constants(self) -> list[Any]:
        """The value of each operand that is a constant of the graph, None for the others."""
        operands = [self.graph_nodes[a] for a in self.args]
        return [n.attrs["value"] if n.op == "const" else None for n in operands]

    def site(self, kind: Kind, place: int = 0, offset: float = 0.0, scale: float = 1.0) -> Site:
        """A site of one operand."""
        return Site(self.node, kind, self.args[place], None, offset, None, scale)

    def axes(self, alone: int | None = None) -> list[int]:
        """The axes of the first operand that the node works along; `alone` where it has no such attribute."""
        rank = len(self.types[0].dims)
        if not rank:  # torch lets a single number have an axis 0
            return []
        dim = self.attrs.get("dim", alone)
        return list(range(rank)) if dim is None else [d % rank for d in (dim if isinstance(dim, tuple) else (dim,))]

    def lengths(self, alone: int | None = None) -> list[Dim]:
        """The lengths of these axes."""
        return [self.types[0].dims[axis] for axis in self.axes(alone)]


SitesOf = Callable[[Use], Iterable[Site]]
Degree = Callable[[Use, Sequence[int]], int]
"""From the operands' degrees as polynomials of the inputs to a bound on that of the result."""


class Edges(NamedTuple):
    """The sites of an operation, its degree as a polynomial, and whether it orders the entries along its axes."""

    sites: SitesOf
    degree: Degree
    orders: bool = False


HIGHEST_DEGREE: Final = 1_000
STEEP_DEGREE: Final = 16
"""Polynomials of a higher degree are steep around one."""


# ---- degrees ---------------------------------------------------------------------------------------------------------


def as_operands(use: Use, own: Sequence[int]) -> int:
    """A sum, or the same numbers: the largest degree of the operands."""
    return max(own, default=0)


def product(use: Use, own: Sequence[int]) -> int:
    """The operands are multiplied with each other."""
    return sum(own)


def squared(use: Use, own: Sequence[int]) -> int:
    """The operands are squared."""
    return 2 * max(own)


def of_many(use: Use, own: Sequence[int]) -> int:
    """As many factors as there are items."""
    return HIGHEST_DEGREE * max(own)


def no_polynomial(use: Use, own: Sequence[int]) -> int:
    """What is no polynomial counts as one of degree one."""
    return min(max(own, default=0), 1)


def of_input(use: Use, own: Sequence[int]) -> int:
    """Beta is a number, every other input a variable."""
    return int(use.attrs["name"] != "beta")


def _power_degree(use: Use, own: Sequence[int]) -> int:
    exponent = use.constants[1]
    return own[0] * int(max(abs(exponent), 1)) if exponent is not None else max(own)


# ---- edges -----------------------------------------------------------------------------------------------------------


def smooth(degree: Degree) -> Edges:
    """No edges: a polynomial of this degree."""
    return Edges(lambda use: (), degree)


def edges(sites: SitesOf) -> Edges:
    """The edges that a function finds."""
    return Edges(sites, no_polynomial)


def operand(kind: Kind, *offsets: float) -> Edges:
    """A site of the first operand, at each of the offsets."""
    return edges(lambda use: [use.site(kind, offset=o) for o in offsets or (0.0,)])


def second_operand(kind: Kind) -> Edges:
    """A site of the second operand."""
    return edges(lambda use: [use.site(kind, 1)])


def difference(kind: Kind) -> Edges:
    """A site of the difference of the two operands."""
    return edges(lambda use: [Site(use.node, kind, use.args[0], use.args[1])])


def each_operand(kind: Kind) -> Edges:
    """A site of every floating operand by itself."""
    return edges(lambda use: [use.site(kind, i) for i, t in enumerate(use.types) if t.dtype == "float"])


def all_operands(kind: Kind) -> Edges:
    """A site of every operand by itself."""
    return edges(lambda use: [use.site(kind, i) for i in range(len(use.args))])


def attribute_kinks(*names: str, both_signs: bool = False) -> Edges:
    """Kinks of the first operand, or of the difference of two, at attributes; with `both_signs` at their negatives too."""

    def sites(use: Use) -> Iterable[Site]:
        right = use.args[1] if len(use.args) > 1 else None
        bounds = [b for v in (use.attrs[n] for n in names) for b in ((v, -v) if both_signs else (v,))]
        return [Site(use.node, Kind.KINK, use.args[0], right, b) for b in bounds]

    return edges(sites)


def along(kind: Kind, alone: int | None = None) -> Edges:
    """What compares entries along axes. Along the batch these are items with each other, and nothing is singled out."""

    def sites(use: Use) -> Iterable[Site]:
        if use.types[0].dtype != "float":
            return
        for axis, length in zip(use.axes(alone), use.lengths(alone), strict=True):
            if length.constant is not None and length.constant > _MOST_ENTRIES:
                yield use.site(Kind.CHOICE)
            elif length.constant is not None and length.constant > 1:
                yield Site(use.node, kind, use.args[0], axis=axis)

    return Edges(sites, no_polynomial, orders=kind is not Kind.STEEP)


_MOST_ENTRIES: Final = 16


# ---- edges of single operations --------------------------------------------------------------------------------------


def _truth(use: Use) -> Iterable[Site]:
    return [use.site(Kind.EQUALITY)] if use.types[0].dtype == "float" else []


truth: Final = edges(_truth)
"""A number in place of a condition: it is zero or not."""


def _cast(use: Use) -> Iterable[Site]:
    if use.types[0].dtype != "float" or use.attrs["to"] == "float":
        return []
    return [use.site(Kind.EQUALITY if use.attrs["to"] == "bool" else Kind.ROUNDING)]


cast: Final = edges(_cast)


def _power(use: Use) -> Iterable[Site]:
    base, exponent = use.constants
    if exponent is None:
        size = abs(float(base)) if base is not None else math.e
        yield use.site(Kind.STEEP, 1, scale=abs(math.log(size)) if size > 0 else 1.0)
    power = float(exponent) if exponent is not None else 0.5
    if base is None and not (power.is_integer() and power >= 1):
        yield use.site(Kind.POLE)
    if base is None and abs(power) > STEEP_DEGREE:
        yield from (use.site(Kind.KINK, offset=one) for one in (1.0, -1.0))


power: Final = Edges(_power, _power_degree)


def _logit(use: Use) -> Iterable[Site]:
    eps = use.attrs["eps"]
    poles = [use.site(Kind.POLE, offset=o) for o in (0.0, 1.0)]
    return [*poles, *(use.site(Kind.KINK, offset=o) for o in (eps, 1.0 - eps))]


logit: Final = edges(_logit)
"""Poles at zero and one, and kinks where it is clamped."""


def _softplus(use: Use) -> Iterable[Site]:
    at, beta = use.attrs["threshold"], use.attrs["beta"]
    steep = use.site(Kind.STEEP, scale=beta)
    return [steep, use.site(Kind.KINK, offset=at / beta)] if at < _LATE_ENOUGH else [steep]


softplus: Final = edges(_softplus)
"""A step about 1 / beta wide, and a jump where torch goes over to the identity, seen where that is early."""
_LATE_ENOUGH: Final = 10.0

root_of_squares: Final = edges(lambda use: [Site(use.node, Kind.POLE, use.node)])
"""A root of a sum of squares: bent where it is zero."""
entropy: Final = operand(Kind.POLE, 0.0, 1.0)
divergence: Final = edges(lambda use: [use.site(Kind.STEEP if use.attrs["log_target"] else Kind.POLE, 1)])
sign: Final = edges(lambda use: [use.site(kind) for kind in (Kind.BELOW, Kind.ABOVE)])
xlogy: Final = edges(lambda use: [use.site(Kind.EQUALITY), use.site(Kind.POLE, 1)])
atan2: Final = edges(lambda use: [use.site(Kind.KINK), use.site(Kind.POLE, 1)])
norm: Final = edges(
    lambda use: [Site(use.node, Kind.POLE, use.node) if use.attrs["p"] else use.site(Kind.EQUALITY)],
)
normalize: Final = edges(lambda use: [Site(use.node, Kind.POLE, use.node), use.site(Kind.KINK)])
chosen_before: Final = edges(lambda use: [])
"""The operand holds whole numbers, which were rounded or chosen before: no site of its own, and no polynomial either."""
