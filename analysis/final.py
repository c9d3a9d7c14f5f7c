"""What the engine recorded of a run's final: where it was measured, on which fresh seeds, and what the finalists are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from archive.records import EventRow
from sandbox.relation import Relation

FINAL = "final"
"""Kind of the event: payload {"rung": name, "seeds": [seed, ...], "beta": number or null, "learning_rate": number or null,
"relations": {candidate: relation or null}}."""


@dataclass(frozen=True)
class Final:
    """The final of a run. `beta` and `learning_rate` are the task's own, None where it has none."""

    rung: str
    seeds: frozenset[int]
    beta: float | None = None
    learning_rate: float | None = None
    relations: Mapping[int, Relation] = field(default_factory=dict)
    """How finalists relate to the published losses; one is absent where the comparison failed or was not made."""


def final_of(events: Iterable[EventRow]) -> Final | None:
    """The last final; a run that was extended keeps the relations of earlier finalists. Unreadable parts are left out."""
    payloads = [e.payload for e in events if e.kind == FINAL and isinstance(e.payload, Mapping)]
    if not payloads:
        return None
    relations: dict[int, Relation] = {}
    for payload in payloads:
        found = payload.get("relations")
        for name, data in found.items() if isinstance(found, Mapping) else ():
            relation = Relation.from_json(data)
            if relation is not None and str(name).isdigit():
                relations[int(name)] = relation
    last = payloads[-1]
    seeds = last.get("seeds")
    fresh = frozenset(seed for seed in seeds if isinstance(seed, int)) if isinstance(seeds, list) else frozenset()
    return Final(
        str(last.get("rung")), fresh, _positive(last.get("beta")), _positive(last.get("learning_rate")), relations
    )


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
