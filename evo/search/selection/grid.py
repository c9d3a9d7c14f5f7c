"""Quality-diversity grid: members by descriptors, the best member of each cell, and empty cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product
from random import Random

import numpy as np

from evo.search.selection.beliefs import Posteriors, ranked
from evo.search.selection.columns import Members, Positions
from evo.search.selection.members import Member, SelectionSettings


def grid(members: Members, posteriors: Posteriors, settings: SelectionSettings) -> Positions:
    """Positions of the best member of each cell, in order of fitness; empty if the settings switch the grid off."""
    if not settings.grid or not len(members):
        return np.empty(0, np.intp)
    cells, means = members.columns["cell"], np.nan_to_num(posteriors.mean, nan=-math.inf)
    best = np.full(len(members.cells), -math.inf)
    np.maximum.at(best, cells, means)
    leading = np.flatnonzero((means == best[cells]) & (means > -math.inf))
    _, first = np.unique(cells[leading], return_index=True)
    return ranked(posteriors, leading[first])


def gap(members: Sequence[Member], rng: Random, settings: SelectionSettings) -> dict[str, str]:
    """A random pair of descriptor values that occur separately and in no measured member together, as a target for exploration.

    Empty if there is no such pair, or if the settings switch the grid off.
    """
    if not settings.grid:
        return {}
    members = Members.of(members, settings.axes)
    cells = [members.cells[number] for number in np.unique(members.columns["cell"][members.measured])]
    seen = [sorted({c[k] for c in cells} - {"-"}) for k in range(len(settings.axes))]
    missing = []
    for i, j in combinations(range(len(settings.axes)), 2):
        together = {(c[i], c[j]) for c in cells}
        missing += [
            {settings.axes[i]: a, settings.axes[j]: b} for a, b in product(seen[i], seen[j]) if (a, b) not in together
        ]
    return rng.choice(missing) if missing else {}
