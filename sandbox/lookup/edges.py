"""How far the edges of a loss lie apart along the shifts, measured without going there (torch-free).

Where a quantity q is straight, with slope a per nat of a shift, its edge lies -q/a away from any pair. So two edges are as
far apart as the difference of these ways, be it that a third condition does not hold at the pair, that the window
between them is out of reach at this beta, or that nothing is seen of it in the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sandbox.evaluate import Array
from sandbox.lookup.screen import Keyed, Screen
from sandbox.sites import EDGES, Kind

MOST_EDGES: Final = 12
"""A formula of the reference's values has fewer edges along one shift; a look-up table has two for every entry."""
NARROW = 1.0
"""Nats. Edges nearer to each other make a window; at large betas, where margins are small, nearer than SCALED / beta."""
_SCALED = 0.1
_STEEP = 2.0
"""Change per nat from which on a smooth step is an edge."""
_SAME = 1e-7
_MOST_COLUMNS = 128
_AT_ZERO = 0.25
"""Nats from a log-probability of zero within which conditions only guard logarithms."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """Two edges `width` nats apart along the shift of the chosen (0) or the rejected completion (1), at `item` of a screen."""

    width: float
    shift: int
    item: int
    at: float
    """Way from the item to the window, nats."""


def narrow(beta: float) -> float:
    """Width in nats below which a window is narrow at this beta."""
    return min(NARROW, _SCALED / beta)


def is_edge(kind: Kind, slope: Array | float) -> Any:
    """Whether a quantity with this slope per nat makes an edge where it is zero."""
    least = _STEEP if kind is Kind.STEEP else 0.0
    return (np.abs(slope) > least) & (kind in EDGES or kind is Kind.EQUALITY)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Ways from each item to each edge, (items, edges), and on which side of the edge its own value lies (0 for kinks)."""

    ways: Array
    sides: Array


def count_edges(seen: Screen) -> int:
    """How many different edges lie along one shift, of the two the larger number."""
    return max(_different(_columns(seen, shift).ways) for shift in (0, 1))


def narrowest(seen: Screen) -> Narrow | None:
    """The two edges that lie nearest to each other, if they are narrow for most pairs."""
    found = [n for shift in (0, 1) if (n := _nearest(seen, shift)) is not None]
    return min(found, key=lambda n: n.width, default=None)


def _columns(seen: Screen, shift: int) -> _Columns:
    ways, sides = [], []
    for keyed in seen.keyed:
        if not keyed.straight:
            continue
        slope = keyed.slope[shift]
        with np.errstate(all="ignore"):
            way = np.where(is_edge(keyed.site.kind, slope), -keyed.quantity / slope, np.nan)
        side = {Kind.BELOW: 1, Kind.ABOVE: -1}.get(keyed.site.kind, 0) * np.sign(np.median(slope, axis=0))
        usable = np.isfinite(way).mean(axis=0) > 0.5
        usable &= ~_guards(seen.inputs, way, shift)
        ways.append(way[:, usable])
        sides.append(side[usable])
    if not ways:
        return _Columns(np.zeros((len(seen.inputs), 0)), np.zeros(0))
    return _Columns(np.concatenate(ways, axis=1)[:, :_MOST_COLUMNS], np.concatenate(sides)[:_MOST_COLUMNS])


def _guards(inputs: Array, way: Array, shift: int) -> Array:
    """Which edges lie where a log-probability is zero."""
    ends = np.abs(inputs[:, [shift, shift + 2], None] + way[:, None, :]).min(axis=1)
    return np.asarray((ends < _AT_ZERO).mean(axis=0) > 0.9)


def _different(ways: Array) -> int:
    left, count = np.ones(ways.shape[1], dtype=bool), 0
    while left.any():
        first = int(left.argmax())
        left &= ~(_gap(ways, first) < _SAME)
        left[first] = False
        count += 1
    return count


def _gap(ways: Array, column: int) -> Array:
    """Largest distance over the items to each edge from one of them."""
    gap = np.abs(ways - ways[:, [column]])
    return np.asarray(np.nanmax(np.where(np.isfinite(gap), gap, 0.0), axis=0))


def _nearest(seen: Screen, shift: int) -> Narrow | None:
    columns = _columns(seen, shift)
    ways, most = columns.ways, narrow(seen.beta)
    best: Narrow | None = None
    for i in range(ways.shape[1] - 1):
        gap = np.abs(ways[:, i + 1 :] - ways[:, [i]])
        with np.errstate(invalid="ignore"):
            near = (gap < most).sum(axis=0) > 0.5 * len(gap)
        same = _gap(ways, i)[i + 1 :] < _SAME
        opposed = columns.sides[i] * columns.sides[i + 1 :] < 0
        for j in np.flatnonzero(near & (~same | opposed)):
            width = float(np.nanmedian(gap[:, j]))
            item = int(np.nanargmin(np.abs(ways[:, i])))
            if best is None or width < best.width:
                best = Narrow(width, shift, item, float(ways[item, i]) + width / 2)
    return best


def touching(keyed: Sequence[Keyed]) -> Keyed | None:
    """The first site that singles values out by its kind alone."""
    return next((k for k in keyed if _at_once(k)), None)


def _at_once(keyed: Keyed) -> bool:
    match keyed.site.kind:
        case Kind.ROUNDING | Kind.EQUALITY | Kind.CHOICE | Kind.WAVE:
            return keyed.moves
        case Kind.FINITENESS:
            return keyed.moves and not keyed.straight
    return False
