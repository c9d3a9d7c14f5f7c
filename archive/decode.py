"""Rows of SQLite as records. Every value is checked, since the file may be a stranger's; CorruptArchive if one is wrong."""

import math
import sqlite3
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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
    Operator,
    Origin,
    ParentRow,
    ProposalRow,
    ProposalState,
    Role,
    RunRow,
    Usage,
    VerdictRow,
    VerdictStatus,
)
from archive.values import LARGEST_FITNESS, decompress, is_fitness, load_json, load_metrics, number

E = TypeVar("E", bound=StrEnum)

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


class _Cells:
    """The values of one row, each with the type that is asked of it."""

    def __init__(self, row: sqlite3.Row, table: str, path: Path) -> None:
        self._row = row
        self._where = f"{path}: {table}"

    def raw(self, column: str) -> Any:
        try:
            return self._row[column]
        except IndexError:
            raise CorruptArchive(f"{self.where(column)} is missing; get a fresh copy of the archive") from None

    def where(self, column: str) -> str:
        return f"{self._where}.{column}"

    def wrong(self, column: str, expected: str) -> CorruptArchive:
        return CorruptArchive(f"{self.where(column)} should be {expected}, but is {str(self.raw(column))[:80]!r}")

    def text(self, column: str) -> str:
        value = self.raw(column)
        if not isinstance(value, str):
            raise self.wrong(column, "text")
        return value

    def text_or_none(self, column: str) -> str | None:
        return None if self.raw(column) is None else self.text(column)

    def integer(self, column: str) -> int:
        value = self.raw(column)
        if not isinstance(value, int):
            raise self.wrong(column, "a whole number")
        return value

    def integer_or_none(self, column: str) -> int | None:
        return None if self.raw(column) is None else self.integer(column)

    def real_or_none(self, column: str) -> float | None:
        value = self.raw(column)
        if value is None:
            return None
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(column, "a finite number")
        return float(value)

    def one_of(self, column: str, kind: type[E]) -> E:
        try:
            return kind(self.raw(column))
        except ValueError:
            raise self.wrong(column, f"one of {', '.join(kind)}") from None

    def json(self, column: str) -> Any:
        return load_json(self.text_or_none(column), self.where(column))

    def json_object(self, column: str) -> dict[str, Any]:
        value = self.json(column)
        if not isinstance(value, dict):
            raise self.wrong(column, "a JSON object")
        return value

    def metrics(self, column: str) -> dict[str, float]:
        return load_metrics(self.text_or_none(column), self.where(column))

    def compressed(self, column: str) -> str | None:
        return decompress(self.raw(column), self.where(column))


class Brief(NamedTuple):
    """What a standing says of its candidate."""

    id: int
    name: str
    origin: Origin
    status: VerdictStatus | None


def brief(row: sqlite3.Row, path: Path) -> Brief:
    """A candidate's id, name, origin, and its verdict's status if it has one."""
    cells = _Cells(row, "candidate", path)
    status = None if cells.raw("status") is None else cells.one_of("status", VerdictStatus)
    return Brief(cells.integer("id"), cells.text("name"), cells.one_of("origin", Origin), status)


class Result(NamedTuple):
    """What a finished evaluation adds to a standing; `fitness` is None if it failed."""

    candidate_id: int
    task: str
    rung: str
    seed: int
    beta: float | None
    learning_rate: float | None
    fitness: float | None
    seconds: float | None


def result_row(row: sqlite3.Row, path: Path) -> Result:
    """The part of a finished evaluation's row that standings are made of."""
    cells = _Cells(row, "evaluation", path)
    return Result(
        candidate_id=cells.integer("candidate_id"),
        task=cells.text("task"),
        rung=cells.text("rung"),
        seed=cells.integer("seed"),
        beta=cells.real_or_none("beta"),
        learning_rate=cells.real_or_none("learning_rate"),
        fitness=_fitness(cells, cells.one_of("state", EvaluationState)),
        seconds=cells.real_or_none("seconds"),
    )


def _fitness(cells: _Cells, state: EvaluationState) -> float | None:
    if state != EvaluationState.SCORED:
        return None
    fitness = cells.real_or_none("fitness")
    if fitness is None or not is_fitness(fitness):
        raise cells.wrong("fitness", f"a finite number of at most {LARGEST_FITNESS:g} in size, since it is scored")
    return fitness


def run_row(row: sqlite3.Row, path: Path) -> RunRow:
    """A row of run."""
    cells = _Cells(row, "run", path)
    return RunRow(
        name=cells.text("name"),
        seed=cells.integer("seed"),
        task=cells.text("task"),
        contract=cells.text("contract"),
        identity=cells.json_object("identity"),
        config=cells.json_object("config"),
        version=cells.text("version"),
        created_at=cells.text("created_at"),
        baseline=cells.text_or_none("baseline"),
    )


def candidate_row(row: sqlite3.Row, path: Path) -> CandidateRow:
    """A row of candidate."""
    cells = _Cells(row, "candidate", path)
    return CandidateRow(
        id=cells.integer("id"),
        proposal_id=cells.integer_or_none("proposal_id"),
        origin=cells.one_of("origin", Origin),
        name=cells.text("name"),
        thought=cells.text("thought"),
        source=cells.text("source"),
        contract=cells.text("contract"),
        event_id=cells.integer("event_id"),
        created_at=cells.text("created_at"),
    )


def parent_row(row: sqlite3.Row, path: Path) -> ParentRow:
    """A row of parent."""
    cells = _Cells(row, "parent", path)
    return ParentRow(
        child=cells.integer("child"),
        parent=cells.integer("parent"),
        role=cells.one_of("role", Role),
        position=cells.integer("position"),
    )


def proposal_row(row: sqlite3.Row, path: Path) -> ProposalRow:
    """A row of proposal, in the state that its newest event (`kind`) put it in."""
    cells = _Cells(row, "proposal", path)
    state = _PROPOSAL_STATE_AFTER.get(cells.raw("kind"))
    if state is None:
        raise cells.wrong("kind", f"one of {', '.join(_PROPOSAL_STATE_AFTER)}")
    answered = state != ProposalState.REQUESTED
    return ProposalRow(
        id=cells.integer("id"),
        step=cells.integer("step"),
        attempt=cells.integer("attempt"),
        operator=cells.one_of("operator", Operator),
        proposer=cells.text("proposer"),
        model=cells.text_or_none("model"),
        temperature=cells.real_or_none("temperature"),
        template=cells.text("template"),
        references=cells.json("references"),
        seen_event=cells.integer("seen_event"),
        state=state,
        reply=cells.compressed("reply") if answered else None,
        tokens_in=cells.integer_or_none("tokens_in") if answered else None,
        tokens_out=cells.integer_or_none("tokens_out") if answered else None,
        usd=cells.real_or_none("usd") if answered else None,
        seconds=cells.real_or_none("seconds") if answered else None,
        error=cells.text_or_none("error") if state == ProposalState.FAILED else None,
        requested_event=cells.integer("requested_event"),
        received_event=cells.integer_or_none("received_event") if answered else None,
    )


def verdict_row(row: sqlite3.Row, path: Path) -> VerdictRow:
    """A row of verdict."""
    cells = _Cells(row, "verdict", path)
    return VerdictRow(
        candidate_id=cells.integer("candidate_id"),
        status=cells.one_of("status", VerdictStatus),
        duplicate_of=cells.integer_or_none("duplicate_of"),
        duplicate_kind=cells.text_or_none("duplicate_kind"),
        graph=cells.text_or_none("graph"),
        hash=cells.text_or_none("hash"),
        fingerprint=cells.json("fingerprint"),
        descriptors=cells.json("descriptors"),
        entry=cells.text_or_none("entry"),
        guarantees=cells.json("guarantees"),
        milliseconds=cells.real_or_none("milliseconds"),
        event_id=cells.integer("event_id"),
        largest_difference=_share(cells.json_object("details").get("largest_difference")),
    )


def _share(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if usable else None


def verdict_json(row: sqlite3.Row, findings: Sequence[FindingRow], path: Path) -> dict[str, Any]:
    """A row of verdict and its findings in the form that `Archive.record_verdict` was given."""
    cells = _Cells(row, "verdict", path)
    verdict = verdict_row(row, path)
    return {
        **cells.json_object("details"),
        "status": str(verdict.status),
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity,
                "message": finding.message,
                "line": finding.line,
                "column": finding.column_number,
                "excerpt": finding.excerpt,
                "remedy": finding.remedy,
                "counterexample": finding.counterexample,
            }
            for finding in findings
        ],
        "graph": verdict.graph,
        "hash": verdict.hash,
        "fingerprint": verdict.fingerprint,
        "descriptors": verdict.descriptors,
        "entry": verdict.entry,
        "guarantees": verdict.guarantees,
        "milliseconds": verdict.milliseconds,
    }


def finding_row(row: sqlite3.Row, path: Path) -> FindingRow:
    """A row of finding."""
    cells = _Cells(row, "finding", path)
    return FindingRow(
        id=cells.integer("id"),
        candidate_id=cells.integer("candidate_id"),
        position=cells.integer("position"),
        rule=cells.text("rule"),
        severity=cells.text("severity"),
        message=cells.text("message"),
        line=cells.integer_or_none("line"),
        column_number=cells.integer_or_none("column_number"),
        excerpt=cells.text_or_none("excerpt"),
        remedy=cells.text_or_none("remedy"),
        counterexample=cells.json("counterexample"),
    )


def evaluation_row(row: sqlite3.Row, path: Path) -> EvaluationRow:
    """A row of evaluation; `state` is its state or, of one not finished then, the kind of its newest event."""
    cells = _Cells(row, "evaluation", path)
    kind = cells.text("state")
    state = _EVALUATION_STATE_AFTER.get(kind) or cells.one_of("state", EvaluationState)
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
        fitness=_fitness(cells, state),
        metrics=cells.metrics("metrics") if finished else {},
        seconds=cells.real_or_none("seconds") if finished else None,
        tokens=cells.integer_or_none("tokens") if finished else None,
        attempts=cells.integer("attempts"),
        reason=cells.text_or_none("reason") if finished else None,
        detail=cells.text_or_none("detail") if finished else None,
        queued_event=cells.integer("queued_event"),
        finished_event=cells.integer_or_none("finished_event"),
        items=_items(cells) if finished else None,
        judged=_judged(cells) if finished else None,
    )


def curves_of(row: sqlite3.Row, path: Path) -> Curves:
    """The training curves in a row of evaluation; empty where none were kept."""
    cells = _Cells(row, "evaluation", path)
    value = load_json(cells.compressed("curves"), cells.where("curves"))
    try:
        return {
            str(name): [(number(step), number(height)) for step, height in points]
            for name, points in (value or {}).items()
        }
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise CorruptArchive(f"{cells.where('curves')} should hold named lists of (step, value)") from None


def prompt_of(row: sqlite3.Row, path: Path) -> list[tuple[str, str]] | None:
    """Role and hash of each message in a row of proposal; None where no words were sent."""
    cells = _Cells(row, "proposal", path)
    value = cells.json("prompt")
    if value is None:
        return None
    if not isinstance(value, list) or not all(
        isinstance(m, list) and len(m) == 2 and all(isinstance(part, str) for part in m) for m in value
    ):
        raise cells.wrong("prompt", "a list of role and hash")
    return [(role, digest) for role, digest in value]


def _items(cells: _Cells) -> Items | None:
    value = load_json(cells.compressed("items"), cells.where("items"))
    if value is None:
        return None
    try:
        values, groups = tuple(float(v) for v in value["values"]), tuple(str(g) for g in value["groups"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise CorruptArchive(f"{cells.where('items')} should hold values and groups") from None
    if len(values) != len(groups) or not all(map(is_fitness, values)):
        raise CorruptArchive(
            f"{cells.where('items')} should hold a group for each value, of at most {LARGEST_FITNESS:g} in size"
        )
    return Items(values, groups)


def _judged(cells: _Cells) -> Usage | None:
    tokens_in, tokens_out = cells.integer_or_none("tokens_in"), cells.integer_or_none("tokens_out")
    if tokens_in is None and tokens_out is None:
        return None
    return Usage(tokens_in or 0, tokens_out or 0, cells.real_or_none("usd"))


def event_row(row: sqlite3.Row, path: Path) -> EventRow:
    """A row of event."""
    cells = _Cells(row, "event", path)
    return EventRow(
        id=cells.integer("id"),
        at=cells.text("at"),
        kind=cells.text("kind"),
        candidate_id=cells.integer_or_none("candidate_id"),
        proposal_id=cells.integer_or_none("proposal_id"),
        evaluation_id=cells.integer_or_none("evaluation_id"),
        payload=cells.json("payload"),
    )
