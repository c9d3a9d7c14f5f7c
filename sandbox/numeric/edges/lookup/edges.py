"""Straight edges of a loss: their positions, and the windows that they enclose.

An edge is where a linear quantity of the log-probabilities is zero: a straight line in the plane of the two shifts. All lines are
known exactly, and so are their distances, even if a third condition is false nearby or the gradient does not show the edge.
Positions are those at the start of training, where all log-ratios are zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from sandbox.numeric.edges.lookup.forms import Forms
from sandbox.numeric.edges.lookup.linear import Linear
from sandbox.numeric.edges.lookup.shifts import LOWEST
from sandbox.numeric.edges.sites import EDGES, Kind, Site

MOST_EDGES: Final = 12
"""A formula of the reference's values has fewer edges along one shift; a look-up table has two for every entry."""
NARROW: Final = 1.0
"""Nats. Edges closer than this make a window; at large betas, where margins are small, closer than _SCALED / beta."""
_SCALED: Final = 0.1
STEEP: Final = 2.0
"""A smooth step whose argument changes by more than this per nat counts as an edge."""
_BOX: Final = 100.0
"""Square nats. Four edges that enclose a smaller area in the plane of both shifts make a window, even if each two are far
apart."""
_TRIANGLE: Final = 0.25
_SAME: Final = 1e-7
TIE: Final = 2.0
"""Nats. Conditions on the difference of the two completions that are this close to a tie select near-ties, not single pairs."""
LEAST_TIE: Final = 0.05
"""Nats. A narrower window singles out pairs even near a tie."""
_AT_ZERO: Final = 0.25
"""Nats. No completion has a log-probability this close to zero; conditions there only guard logarithms."""


Name = tuple[Site, int]
"""A site, and the index of the alternative of its quantity."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A line in the plane of shifts: a s + b t + q = 0, with (a, b) of length one. q holds at log-probabilities of zero and
    log-ratios of zero. `side` says on which side the line's own points belong, 0 for kinks. `linear` is the quantity that is zero
    on it, divided by its slope."""

    a: float
    b: float
    q: float
    side: int
    linear: Linear
    name: Name
    free: tuple[tuple[int, float], ...]
    """Nodes and their coefficients that differ from batch to batch, and so move the line."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """A window: the edges in words (`what`), its `width` in nats, and log-probabilities of both completions inside it."""

    what: str
    width: float
    chosen: float
    rejected: float


def narrow(beta: float) -> float:
    """The width in nats below which a window counts as narrow at this beta."""
    return min(NARROW, _SCALED / beta)


def is_edge(site: Site, slope: float) -> bool:
    """Whether a quantity with this slope per nat makes an edge where it is zero."""
    least = STEEP / max(site.scale, 1e-9) if site.kind is Kind.STEEP else 0.0
    return (site.kind in EDGES or site.kind is Kind.EQUALITY) and slope > least


def edges_of(forms: Forms, sites: Sequence[Site], offsets: Mapping[int, float], moving: Set[int]) -> list[Edge]:
    """All straight edges of these sites within the range of log-probabilities, each once. `offsets` are the values of other nodes
    at the start of training, `moving` those of them that differ from batch to batch."""
    found: dict[object, Edge] = {}
    for site in sites:
        for i, linear in enumerate(forms.deciding(site)):
            edge = None if forms.bent(linear) or not linear.finite else _edge(linear, (site, i), offsets, moving)
            if edge is not None:
                found.setdefault((round(edge.a, 9), round(edge.b, 9), round(edge.q, 7), edge.side), edge)
    return list(found.values())


def crossing(before: Sequence[Edge], after: Sequence[Edge]) -> Iterator[tuple[Name, Name]]:
    """Pairs of parallel edges whose order differs between two betas."""
    later = {e.name: e for e in after}
    for one, other in combinations([e for e in before if e.name in later], 2):
        pair = later[one.name], later[other.name]
        comparable = all(_parallel(*p) and p[0].free == p[1].free for p in ((one, other), pair))
        if comparable and (one.q - other.q) * (pair[0].q - pair[1].q) < 0:
            yield one.name, other.name


def _parallel(one: Edge, other: Edge) -> bool:
    return abs(one.a * other.b - one.b * other.a) <= 1e-6


def _edge(linear: Linear, name: Name, offsets: Mapping[int, float], moving: Set[int]) -> Edge | None:
    site = name[0]
    first, second = linear.shift
    slope = math.hypot(first, second)
    if slope == 0 or not is_edge(site, slope):
        return None
    sign = -1.0 if first < 0 or (first == 0 and second < 0) else 1.0
    slope *= sign
    q = (linear.constant + sum(k * offsets.get(n, 0.0) for n, k in linear.others)) / slope
    a, b = first / slope, second / slope
    if not math.isfinite(q) or not _crosses_the_range(a, b, q):
        return None
    side = {Kind.BELOW: 1, Kind.ABOVE: -1}.get(site.kind, 0) * int(sign)
    free = tuple((n, round(k / slope, 9)) for n, k in linear.others if n in moving)
    return Edge(a, b, q, side, linear.times(1.0 / slope), name, free)


def _crosses_the_range(a: float, b: float, q: float) -> bool:
    """Whether the line passes through the range of log-probabilities."""
    corners = [a * s + b * t + q for s in (LOWEST, -_AT_ZERO) for t in (LOWEST, -_AT_ZERO)]
    return min(corners) <= 0 <= max(corners)


def narrow_margin(forms: Forms, sites: Sequence[Site], beta: float) -> float | None:
    """The width in nats of the narrowest interval of the margin, or of a log-ratio, that conditions single out; None if none is
    narrow. Comparisons with zero do not count, since they guard divisions, nor do intervals between two kinks."""
    width = _least_width(_margins_compared(forms, sites))
    return width if width * max(beta, _USUAL_BETA) < _NARROW_MARGIN else None


def narrow_statistic(forms: Forms, sites: Sequence[Site], beta: float) -> float | None:
    """The same for a statistic of the batch of log-probabilities, which in a batch of one is that of the pair."""
    width = _least_width(_statistics_compared(forms, sites))
    return width if width < narrow(beta) else None


_Compared = Iterator[tuple[Linear, Site]]
"""Quantities that are compared with zero, in units of their first coefficient, and where."""


def _margins_compared(forms: Forms, sites: Sequence[Site]) -> _Compared:
    for site in sites:
        for linear in forms.deciding(site) if site.kind in _CONDITIONS or site.kind is Kind.KINK else ():
            slope = max(map(abs, linear.log_probs))
            if slope and not any(linear.shift) and linear.finite:
                sign = next(math.copysign(1.0, a) for a in linear.log_probs if a)
                yield linear.times(sign / slope), site


def _statistics_compared(forms: Forms, sites: Sequence[Site]) -> _Compared:
    for site in sites:
        for linear in forms.deciding(site) if site.kind in _CONDITIONS else ():
            if len(linear.others) == 1 and not any(linear.log_probs) and linear.finite:
                ((node, factor),) = linear.others
                if forms.statistics[node]:
                    yield linear.times(1.0 / factor), site


def _least_width(compared: _Compared) -> float:
    """The least width of an interval between two comparisons of the same quantity; 0 if it is compared for equality."""
    found: dict[object, list[tuple[float, bool]]] = {}
    for linear, site in compared:
        if site.kind is Kind.EQUALITY and abs(linear.constant) > _SAME:
            return 0.0
        places = found.setdefault((linear.log_probs, linear.others), [])
        places.append((linear.constant, site.kind in _CONDITIONS))
    return min((_least_gap(places) for places in found.values()), default=math.inf)


def _least_gap(places: Sequence[tuple[float, bool]]) -> float:
    """The least distance of two different places, of which at least one is a condition."""
    least, before, condition = math.inf, -math.inf, False
    for place, is_condition in sorted(places):
        if place - before <= _SAME:
            condition = condition or is_condition
            continue
        if condition or is_condition:
            least = min(least, place - before)
        before, condition = place, is_condition
    return least


_CONDITIONS: Final = frozenset({Kind.BELOW, Kind.ABOVE, Kind.EQUALITY})
_USUAL_BETA: Final = 0.1
_NARROW_MARGIN: Final = 0.02
"""In beta rho. Training can cross such an interval in one step."""


def count_edges(edges: Sequence[Edge]) -> int:
    """The number of different edges along one shift: the larger one of both completions."""
    places = [
        {(round(e.a, 9), round(e.b, 9), round(e.q, 7)) for e in edges if part(e)} for part in (_chosen, _rejected)
    ]
    return max(map(len, places))


def _chosen(edge: Edge) -> bool:
    return abs(edge.a) > 1e-6


def _rejected(edge: Edge) -> bool:
    return abs(edge.b) > 1e-6


def narrowest(edges: Sequence[Edge], beta: float) -> Narrow | None:
    """The narrowest window that the edges enclose; None if there is none."""
    strips = list(_strips(edges))
    found = [_narrow_strip(one, other, width) for one, other, width in strips if width < narrow(beta)]
    found += list(_boxes(strips)) + list(_triangles(edges, beta))
    return min((n for n in found if n is not None), key=lambda n: n.width, default=None)


def _strips(edges: Sequence[Edge]) -> Iterator[tuple[Edge, Edge, float]]:
    """Parallel edges and their distance along the shift that crosses them soonest. Two equal edges count, with width zero, only
    if one condition includes the edge and the other does not."""
    for one, other in combinations(edges, 2):
        if not _parallel(one, other) or one.free != other.free:
            continue
        width = abs(one.q - other.q) / max(abs(one.a), abs(one.b))
        if _near_tie(one) and _near_tie(other) and not _SAME < width < LEAST_TIE:
            continue
        if width > _SAME:
            yield one, other, width
        elif one.side * other.side < 0 and one.name[0] != other.name[0] and _identical(one.linear, other.linear):
            yield one, other, 0.0


def _identical(one: Linear, other: Linear) -> bool:
    """Whether two edges are the same for all pairs, not only at the start of training."""
    gap = one.plus(other.times(-1.0))
    return all(abs(v) < _SAME for v in (*gap.log_probs, gap.constant)) and not gap.others


def _near_tie(edge: Edge) -> bool:
    """Whether the edge is a condition on the difference of both completions, close to their tie."""
    return abs(edge.a + edge.b) < 1e-6 and abs(edge.q / edge.a) <= TIE


def _narrow_strip(one: Edge, other: Edge, width: float) -> Narrow:
    middle = (one.q + other.q) / 2
    if abs(one.a) < 1e-6 or abs(one.b) < 1e-6:
        chosen, rejected = (-middle / one.a, -100.0) if abs(one.a) > abs(one.b) else (-100.0, -middle / one.b)
    else:
        chosen, rejected = (-middle + one.b * 100.0) / one.a, -100.0
    return Narrow("two conditions", width, chosen, rejected)


def _boxes(strips: Sequence[tuple[Edge, Edge, float]]) -> Iterator[Narrow]:
    """Windows between two strips that cross."""
    limited = [s for s in strips if s[2] < _BOX]
    for (one, _, first), (other, _, second) in combinations(limited, 2):
        sine = abs(one.a * other.b - one.b * other.a)
        if sine > 1e-3 and not one.free and not other.free and first * second < _BOX:
            chosen, rejected = _crossing(one, other)
            yield Narrow("four conditions", math.sqrt(first * second), chosen, rejected)


def _triangles(edges: Sequence[Edge], beta: float) -> Iterator[Narrow]:
    """Windows between three edges, no two of them parallel."""
    most = _TRIANGLE * narrow(beta) ** 2
    for three in combinations(edges, 3):
        if any(_near_tie(e) or e.free for e in three):
            continue
        corners = [_crossing(a, b) for a, b in combinations(three, 2) if abs(a.a * b.b - a.b * b.a) > 1e-3]
        if len(corners) == 3:
            (x0, y0), (x1, y1), (x2, y2) = corners
            area = abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)) / 2
            if _SAME < area < most:
                yield Narrow("three conditions", math.sqrt(area), x0, y0)


def _crossing(one: Edge, other: Edge) -> tuple[float, float]:
    determinant = one.a * other.b - one.b * other.a
    return (-(one.q * other.b - one.b * other.q) / determinant, -(one.a * other.q - one.q * other.a) / determinant)
