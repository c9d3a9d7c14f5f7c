"""Stretches: intervals of lines within which a quantity is zero, or nearest to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sandbox.execute.evaluate import Array
from sandbox.numeric.edges.lookup.edges import MOST_EDGES


@dataclass(frozen=True, slots=True)
class Stretch:
    """An interval of a line: indices of site, line and entry, both ends, and whether the quantity changes sign in it."""

    site: int
    line: int
    entry: int
    low: float
    high: float
    crosses: bool


def stretches(coarse: Sequence[Array], grid: Array, straight: Sequence[bool]) -> list[Stretch]:
    """The intervals in which a quantity changes sign, or is nearest to zero, on each line; equal ones of a site once."""
    lines, steps = grid.shape
    found: dict[tuple[float, ...], Stretch] = {}
    for site, q in enumerate(coarse):
        table = q.reshape(lines, steps, -1)
        for line in range(lines):
            for entry in range(table.shape[2]):
                values = table[line, :, entry]
                for a, b, crosses in _turns(values):
                    if not crosses and straight[site] and _shallow(grid[line], values, a, b):
                        continue
                    key = (site, line, a, b, float(values[a]), float(values[b]))
                    found.setdefault(
                        key, Stretch(site, line, entry, float(grid[line, a]), float(grid[line, b]), crosses)
                    )
    return list(found.values())


def _shallow(grid: Array, values: Array, a: int, b: int) -> bool:
    """Whether a quantity is so far from zero, compared with its slope, that no narrow window can be there."""
    least = float(np.abs(values[a : b + 1]).min())
    slope = float(np.abs(np.diff(values[a : b + 1]) / np.diff(grid[a : b + 1])).max())
    return least > _SHALLOW * slope


_SHALLOW: Final = 8.0
"""Nats."""


def _turns(q: Array) -> list[tuple[int, int, bool]]:
    """Steps between which a quantity changes sign (True), and steps around a local minimum of its size (False)."""
    changes = np.flatnonzero((q[:-1] <= 0) != (q[1:] <= 0))
    size = np.abs(np.nan_to_num(q, nan=np.inf))
    dips = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:])) + 1
    dips = dips[~np.isin(dips, changes) & ~np.isin(dips - 1, changes)]
    least = dips[np.argsort(size[dips], kind="stable")][:2]
    turns = [(int(i), int(i) + 1, True) for i in changes] + [(int(i) - 1, int(i) + 1, False) for i in least]
    return turns[: MOST_EDGES + 1]


def closer(t: Array, q: Array) -> tuple[Array, Array]:
    """The ways around the first change of sign of each row, (rows, steps), or around its smallest size if there is none."""
    changes = (q[:, :-1] <= 0) != (q[:, 1:] <= 0)
    nearest = np.nan_to_num(np.abs(q), nan=np.inf).argmin(axis=1)
    crosses, first = changes.any(axis=1), changes.argmax(axis=1)
    low = np.where(crosses, first, np.maximum(nearest - 1, 0))
    high = np.where(crosses, first + 1, np.minimum(nearest + 1, t.shape[1] - 1))
    rows = np.arange(len(t))
    return t[rows, low], t[rows, high]
