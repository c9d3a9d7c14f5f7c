"""The quality-diversity grid: members by their descriptors, the best of each cell, and cells that are still empty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product
from random import Random
from typing import Any

from evo.search.selection.beliefs import ranked
from evo.search.selection.members import Member, SelectionSettings

Cell = tuple[str, ...]


def grid(members: Sequence[Member], axes: Sequence[str]) -> dict[Cell, Member]:
    """The best member of each cell, best cells first."""
    found: dict[Cell, Member] = {}
    for m in ranked(members):
        found.setdefault(cell(m, axes), m)
    return found


def cell(member: Member, axes: Sequence[str]) -> Cell:
    """Where a member falls in the grid: one word per descriptor, `-` where it was not measured."""
    return tuple(_bin(member.descriptors.get(axis)) for axis in axes)


def gap(members: Sequence[Member], rng: Random, settings: SelectionSettings) -> dict[str, str]:
    """Two descriptors of the grid with values that no measured member has together, though each has been seen alone;
    empty where there are none. What an explorer may be asked to aim at."""
    cells = set(grid(members, settings.axes))
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
