"""Quality-diversity grid: members by descriptors, the best member of each cell, and empty cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product
from random import Random
from typing import Any

from evo.search.selection.beliefs import ranked
from evo.search.selection.members import Member, SelectionSettings

Cell = tuple[str, ...]


def grid(members: Sequence[Member], settings: SelectionSettings) -> dict[Cell, Member]:
    """The best member of each cell, in order of fitness; empty if the settings switch the grid off."""
    found: dict[Cell, Member] = {}
    for m in ranked(members, settings.shrinkage) if settings.grid else ():
        found.setdefault(cell(m, settings.axes), m)
    return found


def cell(member: Member, axes: Sequence[str]) -> Cell:
    """The cell of a member: one text per descriptor, `-` if it was not measured."""
    return tuple(_bin(member.descriptors.get(axis)) for axis in axes)


def gap(members: Sequence[Member], rng: Random, settings: SelectionSettings) -> dict[str, str]:
    """A random pair of descriptor values that occur separately and in no measured member together, as a target for exploration.

    Empty if there is no such pair, or if the settings switch the grid off.
    """
    cells = set(grid(members, settings))
    seen = [sorted({c[k] for c in cells} - {"-"}) for k in range(len(settings.axes))]
    missing = [
        {settings.axes[i]: a, settings.axes[j]: b}
        for i, j in combinations(range(len(settings.axes)), 2)
        for a, b in product(seen[i], seen[j])
        if not any(c[i] == a and c[j] == b for c in cells)
    ]
    return rng.choice(missing) if missing else {}


def _bin(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return "0" if abs(value) < 1e-9 else f"{'+' if value > 0 else '-'}{math.floor(math.log10(abs(value)))}"
    return "-" if value is None else str(value)
