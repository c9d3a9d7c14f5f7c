"""The final of a run as the engine recorded it: its rung, its fresh seeds, the baseline's grid and the finalists' relations.

The payload of an event `final` is {"rung": name, "seeds": [seed, ...], "beta": number or null, "learning_rate": number or null,
"grid": [[beta, learning rate], ...] with null for the task's own, "relations": {candidate: relation or null}}.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from archive.errors import CorruptArchive
from archive.records import EventKind, EventRow
from sandbox.identity.relation import Relation

SEEDS = 2**31
"""Exclusive upper bound of the final's seeds."""


@dataclass(frozen=True)
class Final:
    """The final of a run. `beta` and `learning_rate` are the task's own values; None where the task has none."""

    rung: str
    seeds: frozenset[int]
    beta: float | None = None
    learning_rate: float | None = None
    grid: tuple[tuple[float | None, float | None], ...] = ()
    """Beta and learning rate of each planned arm of the baseline, None for the task's own value. Empty where unknown."""
    relations: Mapping[int, Relation] = field(default_factory=dict)
    """Relation of each finalist to the published losses. A finalist is absent where the comparison failed or was not made."""


def final_of(events: Iterable[EventRow]) -> Final | None:
    """The last final, None before there is one. Relations from the earlier finals of an extended run are included.

    Invalid parts of a payload are left out, except seeds: CorruptArchive is raised as in `seeds_of`.
    """
    payloads = [e.payload for e in events if e.kind == EventKind.FINAL and isinstance(e.payload, Mapping)]
    if not payloads:
        return None
    relations: dict[int, Relation] = {}
    for payload in payloads:
        found = payload.get("relations")
        for name, data in found.items() if isinstance(found, Mapping) else ():
            relation = Relation.from_json(data)
            if relation is not None and re.fullmatch(r"[0-9]{1,18}", str(name)):
                relations[int(name)] = relation
    last = payloads[-1]
    beta, rate = _positive(last.get("beta")), _positive(last.get("learning_rate"))
    return Final(str(last.get("rung")), frozenset(seeds_of(last)), beta, rate, _grid(last.get("grid")), relations)


def seeds_of(payload: object) -> tuple[int, ...]:
    """The seeds in the payload of an event `final`, in order. Raises CorruptArchive for an invalid seed."""
    seeds = payload.get("seeds") if isinstance(payload, Mapping) else None
    if not isinstance(seeds, list):
        return ()
    for seed in seeds:
        if type(seed) is not int or not 0 <= seed < SEEDS:
            raise CorruptArchive(
                f"a seed of the final should be a whole number from 0 to {SEEDS - 1}, but is {str(seed)[:80]!r}; "
                "get a fresh copy of the archive"
            )
    return tuple(seeds)


def _grid(value: object) -> tuple[tuple[float | None, float | None], ...]:
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2] if isinstance(value, list) else []
    return tuple((_positive(beta), _positive(rate)) for beta, rate in pairs)


def _positive(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 < number < math.inf else None
