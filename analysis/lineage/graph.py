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
from collections.abc import Iterator, Sequence
from typing import Any

from analysis import stats
from analysis.claims.comparison import best_arm
from analysis.snapshot import CAUTION, SINGLES_OUT, Arm, CandidateStatus, Snapshot
from analysis.wording import notes_on
from archive.nodes import Node, Training, Vetted
from archive.query import Reader
from archive.records import PERSON, EvaluationState, EventKind, Origin
from archive.sqlite.values import NON_FINITE
from sandbox.identity.closeness import beginning, readable
from sandbox.verdicts.verdict import Fingerprint

Row = dict[str, Any]

_PINNED, _BANNED = EventKind.PINNED.value, EventKind.BANNED.value


def nodes(reader: Reader) -> Iterator[Row]:
    """The attributes of each candidate, with its `id`, oldest first. A block of candidates is in memory at a time."""
    generations = reader.generations()
    seeds, singling_out = Snapshot.of_seeds(reader), reader.with_finding(SINGLES_OUT)
    given, steering, noted = seeds.given, seeds.steering, {note.candidate for note in seeds.steering.notes}
    for node in reader.nodes(seeds.run.task):
        proposed, vetted = node.proposed, node.vetted
        is_proposal, descriptors = node.origin is Origin.PROPOSAL, (vetted and vetted.descriptors) or {}
        known: Row = {
            "id": node.id,
            "name": node.name,
            "origin": node.origin.value,
            "status": CandidateStatus.of(vetted, [training.state for training in node.trainings]).value,
            "operator": proposed.operator if proposed else None,
            "model": proposed.model if proposed else None,
            "step": proposed.step if proposed else 0,
            "island": _plain(proposed.references.get("island")) if proposed else None,
            "hash": vetted.hash if vetted else None,
            "duplicate_of": vetted.duplicate_of if vetted else None,
            "known_as": _known_as(seeds, node) or None,
            "caution": CAUTION if is_proposal and node.id in singling_out else None,
            "given": given[node.id].words if node.id in given else None,
            "written_by": PERSON if proposed and proposed.proposer == PERSON else None,
            _PINNED: node.id in steering.pinned or None,
            _BANNED: steering.bans(node.id, descriptors) or None,
            "notes": "; ".join(notes_on(seeds, node.id)) or None if node.id in noted else None,
            **_fitness(seeds.rungs, node.trainings),
        }
        row = {name: value for name, value in known.items() if value is not None}
        for name, value in descriptors.items():
            if (plain := _plain(value)) is not None:
                row[f"descriptor.{name}"] = plain
        row["generation"] = generations.get(node.id, 0)
        yield row


def edges(reader: Reader, *, by_source: bool = False) -> Iterator[Row]:
    """The edges, with `source` and `target`, in order of targets (or of sources) and position. A parent that is named twice has
    its first position."""
    for edge in reader.edges(by_parent=by_source):
        yield {"source": edge.parent, "target": edge.child, "role": edge.role.value, "position": edge.position}


def standing(snapshot: Snapshot, candidate: int) -> Arm | None:
    """The arm that represents a candidate: its best arm at the highest rung where it has a score; None without a score."""
    for rung in reversed(snapshot.rungs):
        if (arm := best_arm(snapshot.arms(candidate, rung))) is not None:
            return arm
    return None


def _known_as(seeds: Snapshot, node: Node) -> str:
    return seeds.known_with(node.id, _print_of_form(seeds, node.vetted) if node.origin is Origin.PROPOSAL else None)


def _print_of_form(seeds: Snapshot, vetted: Vetted | None) -> Fingerprint | None:
    """The fingerprint of a loss that may be a seed loss in another form; None if there is none, or its beginning excludes it."""
    if vetted is None:
        return None
    first = beginning(vetted.fingerprint.start())
    return None if first is not None and seeds.in_no_form(first) else readable(vetted.fingerprint.whole())


def _fitness(rungs: Sequence[str], trainings: Sequence[Training]) -> Row:
    """The scores of a candidate: at each rung those of its best arm, the first among equals (see `best_arm`)."""
    failed = sum(training.state is EvaluationState.FAILED for training in trainings)
    arms: dict[str, dict[tuple[float | None, float | None], dict[int, float]]] = {}
    for training in trainings:
        if training.fitness is not None:
            arm = arms.setdefault(training.rung, {}).setdefault((training.beta, training.learning_rate), {})
            arm[training.seed] = training.fitness
    best = {
        rung: max((list(arm.values()) for arm in arms[rung].values()), key=stats.mean) for rung in rungs if rung in arms
    }
    if not best:
        return {"failed_seeds": failed} if failed else {}
    highest, values = list(best.items())[-1]
    return {
        "fitness": stats.mean(values),
        "standard_error": stats.standard_error(values),
        "seeds": len(values),
        "rung": highest,
        "failed_seeds": failed,
        **{f"fitness.{rung}": stats.mean(values) for rung, values in best.items()},
    }


def _plain(value: Any) -> str | int | float | bool | None:
    """A scalar for an export: lists as JSON text; None for NaN and infinities (strings in an archive)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return None if value in NON_FINITE else value
    if value is None or isinstance(value, int):
        return value
    return json.dumps(value, ensure_ascii=True) if value else str(value)  # most are empty lists
