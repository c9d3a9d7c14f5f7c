"""What the engine recorded of a run's final: where it was measured, on which fresh seeds, and what the finalists are.

The event that begins it holds {"rung": name, "seeds": [seed, ...], "beta": number or null, "learning_rate": number or null,
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
"""Every seed of a final is below this."""


@dataclass(frozen=True)
class Final:
    """The final of a run. `beta` and `learning_rate` are the task's own, None where it has none."""

    rung: str
    seeds: frozenset[int]
    beta: float | None = None
    learning_rate: float | None = None
    grid: tuple[tuple[float | None, float | None], ...] = ()
    """Beta and learning rate of each arm that the baseline was to have, None for the task's own; empty where unknown."""
    relations: Mapping[int, Relation] = field(default_factory=dict)
    """How finalists relate to the published losses; one is absent where the comparison failed or was not made."""


def final_of(events: Iterable[EventRow]) -> Final | None:
    """The last final; a run that was extended keeps the relations of earlier finalists. Unreadable parts are left out.

    Raises CorruptArchive as `seeds_of` does.
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
    """The seeds that an event of this kind names, in their order. Raises CorruptArchive where one is no seed."""
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
