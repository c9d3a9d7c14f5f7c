"""Edges: the points at which an operation can change a loss abruptly. Kinks, steps, poles, steep transitions.

The record of an operation without edges (sums, products, changes of shape) has `smooth(...)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sandbox.graph.types import Dim, Type


class Kind(StrEnum):
    """How the result depends on the deciding quantity, `left - right - offset`."""

    ROUNDING = "rounding"
    """Infinitely many steps."""
    EQUALITY = "equality"
    """A different result at exactly zero."""
    FINITENESS = "finiteness"
    """A different result if the operand is NaN or infinite."""
    CHOICE = "choice"
    """The index of the largest or smallest entry, or ranks."""
    WAVE = "wave"
    """Oscillation over the whole range."""
    BELOW = "below"
    """A different formula below zero; zero itself belongs to the upper side."""
    ABOVE = "above"
    """A different formula above zero; zero itself belongs to the lower side."""
    KINK = "kink"
    """Different formulas below and above zero, continuous at zero."""
    STEEP = "steep"
    """A transition around zero, of width about one."""
    POLE = "pole"
    """Rapid change near zero."""


@dataclass(frozen=True, slots=True)
class Site:
    """A node with an edge: its deciding quantity is `left - right - offset`.

    With `axis`, the deciding quantities are the differences between entries of `left` along that axis.
    """

    node: int
    kind: Kind
    left: int
    right: int | None = None
    offset: float = 0.0
    axis: int | None = None
    scale: float = 1.0
    """Factor by which the operation is steeper than its kind."""


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
        """The value of each operand that is a `const` node, None for the others."""
        operands = [self.graph_nodes[a] for a in self.args]
        return [n.attrs["value"] if n.op == "const" else None for n in operands]

    def site(self, kind: Kind, place: int = 0, offset: float = 0.0, scale: float = 1.0) -> Site:
        """A site whose deciding quantity is one operand, less the offset."""
        return Site(self.node, kind, self.args[place], None, offset, None, scale)

    def axes(self, alone: int | None = None) -> list[int]:
        """The axes of the first operand that the node works along; `alone` if it has no attribute `dim`."""
        rank = len(self.types[0].dims)
        if not rank:  # torch allows axis 0 for a tensor without axes
            return []
        dim = self.attrs.get("dim", alone)
        return list(range(rank)) if dim is None else [d % rank for d in (dim if isinstance(dim, tuple) else (dim,))]

    def lengths(self, alone: int | None = None) -> list[Dim]:
        """The lengths of these axes."""
        return [self.types[0].dims[axis] for axis in self.axes(alone)]


SitesOf = Callable[[Use], Iterable[Site]]
Degree = Callable[[Use, Sequence[int]], int]
"""Degrees of the operands as polynomials in the inputs -> a bound on the degree of the result."""


class Edges(NamedTuple):
    """The sites of an operation, its degree as a polynomial, and whether it sorts or compares the entries along its axes."""

    sites: SitesOf
    degree: Degree
    orders: bool = False


HIGHEST_DEGREE: Final = 1_000
STEEP_DEGREE: Final = 16
"""Above this degree, a polynomial is steep around one."""


# ---- degrees ---------------------------------------------------------------------------------------------------------


def as_operands(use: Use, own: Sequence[int]) -> int:
    """Sums and changes of shape: the largest degree of the operands."""
    return max(own, default=0)


def product(use: Use, own: Sequence[int]) -> int:
    """Products of the operands: the sum of their degrees."""
    return sum(own)


def squared(use: Use, own: Sequence[int]) -> int:
    """Squares: twice the largest degree."""
    return 2 * max(own)


def of_many(use: Use, own: Sequence[int]) -> int:
    """Products along an axis: one factor per item, so at least HIGHEST_DEGREE."""
    return HIGHEST_DEGREE * max(own)


def no_polynomial(use: Use, own: Sequence[int]) -> int:
    """Results that are not polynomials: degree one, or zero if no operand depends on the inputs."""
    return min(max(own, default=0), 1)


def of_input(use: Use, own: Sequence[int]) -> int:
    """Degree zero for beta, one for every other input."""
    return int(use.attrs["name"] != "beta")


def _power_degree(use: Use, own: Sequence[int]) -> int:
    exponent = use.constants[1]
    return own[0] * int(max(abs(exponent), 1)) if exponent is not None else max(own)


# ---- edges -----------------------------------------------------------------------------------------------------------


def smooth(degree: Degree) -> Edges:
    """No edges: the operation is a polynomial of this degree."""
    return Edges(lambda use: (), degree)


def edges(sites: SitesOf) -> Edges:
    """The edges at the sites that a function returns."""
    return Edges(sites, no_polynomial)


def operand(kind: Kind, *offsets: float) -> Edges:
    """A site for the first operand, at each of the offsets."""
    return edges(lambda use: [use.site(kind, offset=o) for o in offsets or (0.0,)])


def second_operand(kind: Kind) -> Edges:
    """A site for the second operand."""
    return edges(lambda use: [use.site(kind, 1)])


def difference(kind: Kind) -> Edges:
    """A site for the difference of the two operands."""
    return edges(lambda use: [Site(use.node, kind, use.args[0], use.args[1])])


def each_operand(kind: Kind) -> Edges:
    """A separate site for each floating operand."""
    return edges(lambda use: [use.site(kind, i) for i, t in enumerate(use.types) if t.dtype == "float"])


def all_operands(kind: Kind) -> Edges:
    """A separate site for each operand."""
    return edges(lambda use: [use.site(kind, i) for i in range(len(use.args))])


def attribute_kinks(*names: str, both_signs: bool = False) -> Edges:
    """Kinks where the first operand, or the difference of two, equals an attribute; with `both_signs`, also its negative."""

    def sites(use: Use) -> Iterable[Site]:
        right = use.args[1] if len(use.args) > 1 else None
        bounds = [b for v in (use.attrs[n] for n in names) for b in ((v, -v) if both_signs else (v,))]
        return [Site(use.node, Kind.KINK, use.args[0], right, b) for b in bounds]

    return edges(sites)


def along(kind: Kind, alone: int | None = None) -> Edges:
    """A site for each axis along which entries are compared, except the batch axis: comparing items with each other is no edge."""

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
"""A number used as a condition: an edge at zero."""


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
"""Poles at zero and one, and kinks at the bounds of the clamp."""


def _softplus(use: Use) -> Iterable[Site]:
    at, beta = use.attrs["threshold"], use.attrs["beta"]
    steep = use.site(Kind.STEEP, scale=beta)
    return [steep, use.site(Kind.KINK, offset=at / beta)] if at < _LATE_ENOUGH else [steep]


softplus: Final = edges(_softplus)
"""A transition of width about 1 / beta, and a jump at `threshold`, where torch uses the identity. The jump is negligible if
`threshold` is at least _LATE_ENOUGH."""
_LATE_ENOUGH: Final = 10.0

root_of_squares: Final = edges(lambda use: [Site(use.node, Kind.POLE, use.node)])
"""A root of a sum of squares: a pole at zero."""
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
"""The operand holds integers, which come from a rounding or a choice that has its own site: no site here, no polynomial."""
