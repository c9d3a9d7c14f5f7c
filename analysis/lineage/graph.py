"""The lineage of a run as a directed graph from parent to child, with attributes of each candidate. It is acyclic: a parent's id
is below its child's.

Node attributes (absent where unknown; a number is finite or absent):

    name, origin, status, operator, model, step, generation, island, hash, duplicate_of
    fitness, standard_error, seeds, rung    at the highest rung where the candidate was scored
    fitness.RUNG                            mean at each rung, comparable between candidates
    failed_seeds                            trainings that gave no fitness
    known_as                                the known loss that a proposal is or is close to, in words
    caution                                 why no claim may be made for a proposal, in words
    given                                   where a seed loss of the user comes from, in words
    written_by                              person, for a loss that a person gave to the run after its start
    pinned, banned                          true where a person did that
    notes                                   notes of people, separated by a semicolon
    descriptor.NAME                         descriptors that the sandbox measured

Edge attributes: role (refined, combined, explored_from, repaired) and position among the child's parents.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from analysis import stats
from analysis.claims.comparison import best_arm
from analysis.snapshot import Arm, Snapshot
from analysis.wording import notes_on
from archive.query import Reader
from archive.records import PERSON, EventKind
from archive.sqlite.values import NON_FINITE

BLOCK = 500
"""Number of candidates that are read at a time."""

Row = dict[str, Any]


def nodes(reader: Reader) -> Iterator[Row]:
    """The attributes of each candidate, with its `id`, oldest first. A block of candidates is in memory at a time."""
    generations: dict[int, int] = {}
    seeds, ids = Snapshot.of_seeds(reader), iter(reader.ids())
    while block := list(islice(ids, BLOCK)):
        snapshot = seeds.with_candidates(reader, block, bare=True)
        for id in block:
            above = [generations[edge.parent] for edge in snapshot.parents.get(id, ())]
            generations[id] = 1 + max(above) if above else 0
            yield {"id": id, **node_attributes(snapshot, id), "generation": generations[id]}


def edges(reader: Reader, *, by_source: bool = False) -> Iterator[Row]:
    """The edges, with `source` and `target`, in order of targets (or of sources) and position. A parent that is named twice has
    its first position."""
    for edge in reader.edges(by_parent=by_source):
        yield {"source": edge.parent, "target": edge.child, "role": edge.role.value, "position": edge.position}


def node_attributes(snapshot: Snapshot, candidate: int) -> dict[str, Any]:
    """The attributes of one candidate, except its generation."""
    row = snapshot.candidates[candidate]
    proposal = snapshot.proposals.get(row.proposal_id or 0)
    verdict = snapshot.verdicts.get(candidate)
    references = proposal.references if proposal and isinstance(proposal.references, Mapping) else {}
    known: dict[str, Any] = {
        "name": row.name,
        "origin": row.origin.value,
        "status": snapshot.status(candidate).value,
        "operator": proposal.operator if proposal else None,
        "model": proposal.model if proposal else None,
        "step": snapshot.step(candidate),
        "island": _plain(references.get("island")),
        "hash": verdict.hash if verdict else None,
        "duplicate_of": verdict.duplicate_of if verdict else None,
        "known_as": snapshot.known_as(candidate) or None,
        "caution": snapshot.caution(candidate) or None,
        "given": given.words if (given := snapshot.given.get(candidate)) else None,
        "written_by": PERSON if snapshot.by_person(candidate) else None,
        EventKind.PINNED.value: candidate in snapshot.steering.pinned or None,
        EventKind.BANNED.value: snapshot.banned(candidate) or None,
        "notes": "; ".join(notes_on(snapshot, candidate)) or None,
        **_fitness(snapshot, candidate),
        **_descriptors(verdict.descriptors if verdict else None),
    }
    return {name: value for name, value in known.items() if value is not None}


def standing(snapshot: Snapshot, candidate: int) -> Arm | None:
    """The arm that represents a candidate: its best arm at the highest rung where it has a score; None without a score."""
    for rung in reversed(snapshot.rungs):
        if (arm := best_arm(snapshot.arms(candidate, rung))) is not None:
            return arm
    return None


def _fitness(snapshot: Snapshot, candidate: int) -> dict[str, Any]:
    failed = snapshot.failed_trainings(candidate)
    arm = standing(snapshot, candidate)
    if arm is None:
        return {"failed_seeds": failed} if failed else {}
    values = list(snapshot.scores[arm].values())
    found: dict[str, Any] = {
        "fitness": stats.mean(values),
        "standard_error": stats.standard_error(values),
        "seeds": len(values),
        "rung": arm.rung,
        "failed_seeds": failed,
    }
    for rung in snapshot.rungs:
        if (best := best_arm(snapshot.arms(candidate, rung))) is not None:
            found[f"fitness.{rung}"] = stats.mean(list(snapshot.scores[best].values()))
    return found


def _descriptors(descriptors: Any) -> dict[str, Any]:
    if not isinstance(descriptors, Mapping):
        return {}
    return {f"descriptor.{name}": _plain(value) for name, value in descriptors.items()}


def _plain(value: Any) -> str | int | float | bool | None:
    """A scalar for an export: lists as JSON text; None for NaN and infinities (strings in an archive)."""
    if isinstance(value, str):
        return None if value in NON_FINITE else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else json.dumps(value, ensure_ascii=True)
