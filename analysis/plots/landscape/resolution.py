"""Margins at which a loss is computed: as close together as its curve asks for. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Evaluate = Callable[[Array], tuple[Array, Array]]
"""margins (n,) -> values and slopes, each (n,)."""

TOLERANCE = 1 / 400
"""Largest error of a straight line between two margins: as a share of the usual size of values and slopes, about half a pixel."""
_SPLIT = 0.4
"""Where an interval is examined: not in its within, where a curve that bends both ways meets its chord."""
_ROUNDS = 40
_MOST = 6000
_AROUND = np.geomspace(1e-6, 0.3, 24)
"""Distances from an edge, as shares of the reach: a narrow feature there is seen whatever its width."""


def start_grid(reach: float, points: int, edges: Sequence[float]) -> Array:
    """`points` even margins from -reach to reach, and ever closer ones around zero, where training starts, and around `edges`."""
    around = [centre + sign * reach * _AROUND for centre in (0.0, *edges) for sign in (-1, 1)]
    found = np.concatenate([np.linspace(-reach, reach, points), [0.0], *around, np.asarray(edges, dtype=float)])
    return np.asarray(np.unique(found[np.abs(found) <= reach]))


def refined(evaluate: Evaluate, margins: Array) -> tuple[Array, Array, Array]:
    """Margins, values and slopes, with margins added until straight lines between them are close to both curves.

    At a jump or a kink, margins are added until they are about 1e-8 of the range apart. A feature that is narrower than the gaps
    of `margins` can be missed.
    """
    margins = np.asarray(margins, dtype=float)
    values, slopes = evaluate(margins)
    least = 1e-8 * float(margins[-1] - margins[0])
    usual = (usual_size(margins, values - _lowest(values)), usual_size(margins, slopes))
    fresh = np.ones(len(margins) - 1, dtype=bool)  # intervals that were not examined yet
    for _ in range(_ROUNDS):
        places = np.flatnonzero(fresh & (np.diff(margins) > least))
        if not places.size or len(margins) >= _MOST:
            break
        within = margins[places] + _SPLIT * (margins[places + 1] - margins[places])
        found = evaluate(within)
        wanted = np.zeros(len(places), dtype=bool)
        for known, seen, size in zip((values, slopes), found, usual, strict=True):
            wanted |= _off(known[places], seen, known[places + 1], size)
        at = places[wanted] + 1
        margins = np.insert(margins, at, within[wanted])
        values = np.insert(values, at, found[0][wanted])
        slopes = np.insert(slopes, at, found[1][wanted])
        new = np.searchsorted(margins, within[wanted])
        fresh = np.zeros(len(margins) - 1, dtype=bool)
        fresh[new - 1] = fresh[new] = True
    return margins, values, slopes


def _lowest(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.min()) if finite.size else 0.0


def usual_size(margins: Array, numbers: Array) -> float:
    """The largest finite absolute number within the inner third of the range; 1 if there is none or it is 0."""
    inner = np.abs(numbers[np.abs(margins) <= np.abs(margins).max() / 3])
    inner = inner[np.isfinite(inner)]
    return float(inner.max(initial=0.0)) or 1.0


def _off(left: Array, within: Array, right: Array, size: float) -> Array:
    """Where a straight line misses the value within the interval, or where a curve begins or ends."""
    with np.errstate(invalid="ignore", over="ignore"):
        missed = np.abs(within - left - _SPLIT * (right - left)) > TOLERANCE * np.maximum(size, np.abs(within))
    whole = np.isfinite(left) & np.isfinite(within) & np.isfinite(right)
    none = ~(np.isfinite(left) | np.isfinite(within) | np.isfinite(right))
    return np.where(whole, missed, ~none)
