"""Decoding of SQLite rows into records. Every value is checked, because the file may be another person's.

This module is the trust boundary of an archive: every field of a record has the type, range and form that its definition states,
so code that uses records does not check them again. Free text and the engine's own JSON (sources, thoughts, payloads) stay
untrusted. An invalid value raises CorruptArchive.
"""

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from archive.errors import CorruptArchive
from archive.records import (
    CandidateRow,
    Curves,
    EvaluationRow,
    EvaluationState,
    EventKind,
    EventRow,
    FindingRow,
    Items,
    Origin,
    ParentRow,
    ProposalRow,
    ProposalState,
    Role,
    RunRow,
    Usage,
    VerdictContents,
    VerdictRow,
    is_operator,
)
from archive.sqlite.cells import Cells
from archive.sqlite.packed import is_packed
from archive.sqlite.schema import allowed
from archive.sqlite.values import LARGEST, is_finite, load_json, number

VERDICT_STATUSES = allowed("verdict", "status")

_EVALUATION_STATE_AFTER: dict[str, EvaluationState] = {
    EventKind.EVALUATION_QUEUED: EvaluationState.QUEUED,
    EventKind.EVALUATION_STARTED: EvaluationState.RUNNING,
    EventKind.EVALUATION_REQUEUED: EvaluationState.QUEUED,
}
_PROPOSAL_STATE_AFTER: dict[str, ProposalState] = {
    EventKind.PROPOSAL_REQUESTED: ProposalState.REQUESTED,
    EventKind.PROPOSAL_RECEIVED: ProposalState.RECEIVED,
    EventKind.PROPOSAL_FAILED: ProposalState.FAILED,
    EventKind.PROPOSAL_LOST: ProposalState.LOST,
}

_PROPOSAL, _CANDIDATE, _EVALUATION = "proposal_id", "candidate_id", "evaluation_id"
_SUBJECT: dict[str, str] = {
    **dict.fromkeys(_PROPOSAL_STATE_AFTER, _PROPOSAL),
    EventKind.CANDIDATE_ADDED: _CANDIDATE,
    EventKind.VERDICT_RECORDED: _CANDIDATE,
    **dict.fromkeys(_EVALUATION_STATE_AFTER, _EVALUATION),
    EventKind.EVALUATION_SCORED: _EVALUATION,
    EventKind.EVALUATION_FAILED: _EVALUATION,
    EventKind.VARIANT_ADDED: _CANDIDATE,
    EventKind.VARIANT_VETTED: _CANDIDATE,
    EventKind.VARIANT_SCORED: _CANDIDATE,
    EventKind.VARIANT_FAILED: _CANDIDATE,
    EventKind.PINNED: _CANDIDATE,
    EventKind.UNPINNED: _CANDIDATE,
}
"""Column with the id of the row that an event is about, by kind of event."""


class Brief(NamedTuple):
    """The fields of a candidate that a standing shows."""

    id: int
    name: str
    origin: Origin
    status: str | None


def brief(row: sqlite3.Row, path: Path) -> Brief:
    """A candidate's id, name, origin, and the status of its verdict (None without a verdict)."""
    cells = Cells(row, "candidate", path)
    status = None if cells.raw("status") is None else cells.word("status", VERDICT_STATUSES)
    return Brief(cells.integer("id"), cells.text("name"), cells.one_of("origin", Origin), status)


class FinishedEvaluation(NamedTuple):
    """The fields of a finished evaluation that a standing is computed from. `fitness` is None if it failed."""

    candidate_id: int
    task: str
    rung: str
    seed: int
    beta: float | None
    learning_rate: float | None
    fitness: float | None
    seconds: float | None


def rung_of(row: sqlite3.Row, path: Path) -> str:
    """The rung in a row of `evaluation`."""
    return Cells(row, "evaluation", path).text("rung")


def result_row(row: sqlite3.Row, path: Path) -> FinishedEvaluation:
    """A finished evaluation, for standings."""
    cells = Cells(row, "evaluation", path)
    return FinishedEvaluation(
        candidate_id=cells.integer("candidate_id"),
        task=cells.text("task"),
        rung=cells.text("rung"),
        seed=cells.integer("seed"),
        beta=cells.real_or_none("beta"),
        learning_rate=cells.real_or_none("learning_rate"),
        fitness=finite_fitness(cells, cells.one_of("state", EvaluationState)),
        seconds=cells.real_or_none("seconds"),
    )


def finite_fitness(cells: Cells, state: EvaluationState) -> float | None:
    """The fitness in a row with the column `fitness`; None unless it is scored."""
    if state != EvaluationState.SCORED:
        return None
    fitness = cells.real_or_none("fitness")
    if fitness is None:
        raise cells.wrong("fitness", "a number, since it is scored")
    return fitness


def run_row(row: sqlite3.Row, path: Path) -> RunRow:
    """A row of `run`."""
    cells = Cells(row, "run", path)
    return RunRow(
        name=cells.text("name"),
        seed=cells.integer("seed"),
        task=cells.text("task"),
        contract=cells.text("contract"),
        identity=cells.json_object("identity"),
        config=cells.json_object("config"),
        version=cells.text("version"),
        created_at=cells.time("created_at"),
        baseline=cells.text_or_none("baseline"),
    )


def candidate_row(row: sqlite3.Row, path: Path) -> CandidateRow:
    """A row of `candidate`."""
    cells = Cells(row, "candidate", path)
    return CandidateRow(
        id=cells.integer("id"),
        proposal_id=cells.integer_or_none("proposal_id"),
        origin=cells.one_of("origin", Origin),
        name=cells.text("name"),
        thought=cells.text("thought"),
        source=cells.text("source"),
        contract=cells.text("contract"),
        event_id=cells.natural("event_id"),
        created_at=cells.time("created_at"),
    )


def child_and_parent(cells: Cells) -> tuple[int, int]:
    """The ids in a row with the columns `child` and `parent`."""
    child, parent = cells.integer("child"), cells.integer("parent")
    if parent >= child:  # a lineage has no cycles
        raise cells.wrong("parent", "an id below that of its child")
    return child, parent


def parent_row(row: sqlite3.Row, path: Path) -> ParentRow:
    """A row of `parent`."""
    cells = Cells(row, "parent", path)
    child, parent = child_and_parent(cells)
    return ParentRow(
        child=child,
        parent=parent,
        role=cells.one_of("role", Role),
        position=cells.natural("position"),
    )


def operator_name(cells: Cells) -> str:
    """The operator in a row with the column `operator`."""
    name = cells.text("operator")
    if not is_operator(name):
        raise cells.wrong("operator", "a name of lower-case letters, digits and underscores")
    return name


def proposal_row(row: sqlite3.Row, path: Path) -> ProposalRow:
    """A row of `proposal`. Its state follows from its newest event (column `kind`)."""
    cells = Cells(row, "proposal", path)
    state = _PROPOSAL_STATE_AFTER.get(cells.raw("kind"))
    if state is None:
        raise cells.wrong("kind", f"one of {', '.join(_PROPOSAL_STATE_AFTER)}")
    answered = state != ProposalState.REQUESTED
    return ProposalRow(
        id=cells.integer("id"),
        step=cells.natural("step"),
        attempt=cells.natural("attempt"),
        operator=operator_name(cells),
        proposer=cells.text("proposer"),
        model=cells.text_or_none("model"),
        temperature=cells.real_or_none("temperature"),
        template=cells.text("template"),
        references=cells.json_object("references"),
        seen_event=cells.natural("seen_event"),
        state=state,
        reply=cells.compressed("reply") if answered else None,
        tokens_in=cells.natural_or_none("tokens_in") if answered else None,
        tokens_out=cells.natural_or_none("tokens_out") if answered else None,
        usd=cells.real_or_none("usd") if answered else None,
        seconds=cells.real_or_none("seconds") if answered else None,
        error=cells.text_or_none("error") if state == ProposalState.FAILED else None,
        requested_event=cells.natural("requested_event"),
        received_event=cells.natural_or_none("received_event") if answered else None,
    )


def verdict_row(row: sqlite3.Row, path: Path) -> VerdictRow:
    """A row of `verdict`."""
    cells = Cells(row, "verdict", path)
    return VerdictRow(
        candidate_id=cells.integer("candidate_id"),
        status=cells.word("status", VERDICT_STATUSES),
        duplicate_of=cells.integer_or_none("duplicate_of"),
        duplicate_kind=cells.text_or_none("duplicate_kind"),
        hash=cells.text_or_none("hash"),
        entry=cells.text_or_none("entry"),
        milliseconds=cells.real_or_none("milliseconds"),
        event_id=cells.natural("event_id"),
        contents=VerdictContents(
            graph=partial(cells.packed_text_or_none, "graph"),
            fingerprint=partial(cells.packed_object_or_none, "fingerprint"),
            descriptors=partial(cells.packed_object_or_none, "descriptors"),
            guarantees=partial(cells.packed_object_or_none, "guarantees"),
        ),
        largest_difference=_share(cells.json_object("details").get("largest_difference")),
    )


def _share(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if usable else None


def finding_row(row: sqlite3.Row, path: Path) -> FindingRow:
    """A row of `finding`."""
    cells = Cells(row, "finding", path)
    return FindingRow(
        id=cells.integer("id"),
        candidate_id=cells.integer("candidate_id"),
        position=cells.natural("position"),
        rule=cells.text("rule"),
        severity=cells.text("severity"),
        message=cells.text("message"),
        line=cells.integer_or_none("line"),
        column_number=cells.integer_or_none("column_number"),
        excerpt=cells.text_or_none("excerpt"),
        remedy=cells.text_or_none("remedy"),
        counterexample=cells.json("counterexample"),
    )


def evaluation_state(cells: Cells) -> EvaluationState:
    """The state in a row with the column `state`, which holds it, or the kind of the newest event if it was not finished then."""
    return _EVALUATION_STATE_AFTER.get(cells.text("state")) or cells.one_of("state", EvaluationState)


def evaluation_row(row: sqlite3.Row, path: Path) -> EvaluationRow:
    """A row of `evaluation`."""
    cells = Cells(row, "evaluation", path)
    state = evaluation_state(cells)
    finished = state in (EvaluationState.SCORED, EvaluationState.FAILED)
    return EvaluationRow(
        id=cells.integer("id"),
        candidate_id=cells.integer("candidate_id"),
        task=cells.text("task"),
        rung=cells.text("rung"),
        seed=cells.integer("seed"),
        beta=cells.real_or_none("beta"),
        learning_rate=cells.real_or_none("learning_rate"),
        state=state,
        fitness=finite_fitness(cells, state),
        metrics=cells.metrics("metrics") if finished else {},
        seconds=cells.real_or_none("seconds") if finished else None,
        tokens=cells.natural_or_none("tokens") if finished else None,
        attempts=cells.natural("attempts"),
        reason=cells.text_or_none("reason") if finished else None,
        detail=cells.text_or_none("detail") if finished else None,
        queued_event=cells.natural("queued_event"),
        finished_event=cells.natural_or_none("finished_event"),
        items=items_of(cells) if finished else None,
        judged=_judged(cells) if finished else None,
    )


def curves_of(row: sqlite3.Row, path: Path) -> Curves:
    """The training curves in a row of `evaluation`; empty where none were recorded."""
    cells = Cells(row, "evaluation", path)
    value = load_json(cells.compressed("curves"), cells.where("curves"))
    blob = cells.raw("curves")
    in_columns = isinstance(blob, bytes) and is_packed(blob)  # older versions wrote pairs
    try:
        curves = {
            str(name): [
                (number(step), number(height)) for step, height in (zip(*points, strict=True) if in_columns else points)
            ]
            for name, points in (value or {}).items()
        }
        if not all(is_finite(step) for points in curves.values() for step, _ in points):
            raise ValueError("a step that is not finite")
        return curves
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise CorruptArchive(f"{cells.where('curves')} should hold named lists of (step, value)") from None


def prompt_of(row: sqlite3.Row, path: Path) -> list[tuple[str, int]] | None:
    """Role and id of the text of each message in a row of `proposal`; None if there was no prompt."""
    cells = Cells(row, "proposal", path)
    value = cells.json("prompt")
    if value is None:
        return None
    if not isinstance(value, list) or not all(
        isinstance(m, list) and len(m) == 2 and isinstance(m[0], str) and type(m[1]) is int for m in value
    ):
        raise cells.wrong("prompt", "a list of role and id of a text")
    return [(role, text) for role, text in value]


def items_of(cells: Cells) -> Items | None:
    """The fitness by test item in a row with the column `items`; None where none was recorded."""
    value = load_json(cells.compressed("items"), cells.where("items"))
    if value is None:
        return None
    try:
        values, groups = tuple(float(v) for v in value["values"]), tuple(str(g) for g in value["groups"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise CorruptArchive(f"{cells.where('items')} should hold values and groups") from None
    if len(values) != len(groups) or not all(map(is_finite, values)):
        raise CorruptArchive(
            f"{cells.where('items')} should hold one group per value, and values of at most {LARGEST:g} in size"
        )
    return Items(values, groups)


def _judged(cells: Cells) -> Usage | None:
    tokens_in, tokens_out = cells.natural_or_none("tokens_in"), cells.natural_or_none("tokens_out")
    if tokens_in is None and tokens_out is None:
        return None
    return Usage(tokens_in or 0, tokens_out or 0, cells.real_or_none("usd"))


def event_row(row: sqlite3.Row, path: Path) -> EventRow:
    """A row of `event`. CorruptArchive if it lacks the id of the row that it is about."""
    cells = Cells(row, "event", path)
    kind = cells.text("kind")
    if (subject := _SUBJECT.get(kind)) is not None and cells.integer_or_none(subject) is None:
        raise cells.wrong(subject, f"the id of the row that {kind} is about")
    return EventRow(
        id=cells.integer("id"),
        at=cells.time("at"),
        kind=kind,
        candidate_id=cells.integer_or_none("candidate_id"),
        proposal_id=cells.integer_or_none("proposal_id"),
        evaluation_id=cells.integer_or_none("evaluation_id"),
        payload=cells.json("payload"),
    )
