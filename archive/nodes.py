"""What the lineage shows of each candidate, read in one pass over a long archive.

A record of a whole table costs several times as much to decode as the few columns that an export of a lineage writes. So these
columns alone are read, and checked as in `archive.decode`.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from archive.decode import VERDICT_STATUSES, evaluation_state, finite_fitness, operator_name
from archive.records import EvaluationState, Origin
from archive.sqlite.cells import Cells


class Training(NamedTuple):
    """An evaluation of a candidate, as in `EvaluationRow`."""

    rung: str
    seed: int
    beta: float | None
    learning_rate: float | None
    state: EvaluationState
    fitness: float | None


class Proposed(NamedTuple):
    """How a candidate was proposed, as in `ProposalRow`."""

    step: int
    operator: str
    proposer: str
    model: str | None
    references: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredFingerprint:
    """The fingerprint in a verdict, decoded as far as it is wanted: all its gradients take longer than the rest of a candidate."""

    content: Any
    """The value in its column, packed or NULL."""
    _cells: Cells = field(repr=False, compare=False)

    def start(self) -> str:
        """The first 300 characters of its JSON text, which hold its keys and the first gradients; "" if there is none."""
        return self._cells.packed_start("fingerprint", 300)

    def whole(self) -> dict[str, Any] | None:
        """All of it; None if there is none."""
        return self._cells.packed_object_or_none("fingerprint")


class Vetted(NamedTuple):
    """The verdict of a candidate, as in `VerdictRow`."""

    status: str
    duplicate_of: int | None
    hash: str | None
    fingerprint: StoredFingerprint
    descriptors: Mapping[str, Any] | None


class Node(NamedTuple):
    """A candidate with what the lineage shows of it."""

    id: int
    name: str
    origin: Origin
    proposed: Proposed | None
    """None for a seed loss."""
    vetted: Vetted | None
    """None without a verdict."""
    trainings: Sequence[Training]
    """Those of one task, in order of ids."""


def node(rows: Iterable[sqlite3.Row], path: Path) -> Node:
    """A candidate from its rows of the query `NODES`, which differ in the training alone."""
    found = [Cells(row, "candidate", path) for row in rows]
    cells = found[0]
    return Node(
        id=cells.integer("candidate_id"),
        name=cells.text("name"),
        origin=cells.one_of("origin", Origin),
        proposed=None if cells.raw("proposal_id") is None else _proposed(cells.of("proposal")),
        vetted=None if cells.raw("vetted") is None else _vetted(cells.of("verdict")),
        trainings=[_training(each.of("evaluation")) for each in found if each.raw("evaluation_id") is not None],
    )


def _proposed(cells: Cells) -> Proposed:
    return Proposed(
        step=cells.natural("step"),
        operator=operator_name(cells),
        proposer=cells.text("proposer"),
        model=cells.text_or_none("model"),
        references=cells.json_object("references"),
    )


def _vetted(cells: Cells) -> Vetted:
    return Vetted(
        status=cells.word("status", VERDICT_STATUSES),
        duplicate_of=cells.integer_or_none("duplicate_of"),
        hash=cells.text_or_none("hash"),
        fingerprint=StoredFingerprint(cells.raw("fingerprint"), cells),
        descriptors=cells.packed_object_or_none("descriptors"),
    )


def _training(cells: Cells) -> Training:
    state = evaluation_state(cells)
    return Training(
        rung=cells.text("rung"),
        seed=cells.integer("seed"),
        beta=cells.real_or_none("beta"),
        learning_rate=cells.real_or_none("learning_rate"),
        state=state,
        fitness=finite_fitness(cells, state),
    )
