"""Variants: edited forms of a candidate's graph, and their trainings.

A variant is no candidate: it has no place in the lineage, the leaderboard or the population, and only what asks for variants sees
them. A training is written in one transaction when it has ended, so an interrupted training leaves no row and is simply made again.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive.decode import VERDICT_STATUSES, items_of
from archive.encode import result_columns
from archive.errors import MissingRow
from archive.records import NOT_FINITE, EventKind, Items, Usage
from archive.spending import TO_JUDGE, charged
from archive.sqlite.cells import Cells
from archive.sqlite.connection import Write
from archive.sqlite.values import dump_json, is_finite
from archive.sqlite.writing import WritableFile


@dataclass(frozen=True)
class VariantRow:
    """An edited form of a candidate. `graph` is JSON text; verify it before use. `edit` is untrusted JSON."""

    id: int
    candidate_id: int
    purpose: str
    edit: Any
    """The edits of the candidate's graph; an empty list for the candidate itself."""
    graph: str
    hash: str
    """Canonical hash of the graph: equal for variants that are the same loss."""
    status: str | None
    """Status of its verdict, as in `VerdictRow`; None before it is vetted."""
    rules: tuple[str, ...]
    """The rules that refused it."""


@dataclass(frozen=True)
class VariantEvaluationRow:
    """One ended training of a variant. None for `beta` or `learning_rate` means the task's own value."""

    id: int
    variant_id: int
    rung: str
    seed: int
    beta: float | None
    learning_rate: float | None
    fitness: float | None
    """None if the training failed; then `reason` says why."""
    metrics: Mapping[str, float]
    seconds: float | None
    reason: str | None
    detail: str | None
    items: Items | None = None


class VariantWriter:
    """Writes variants and their trainings. Every method is one transaction, which also appends an event."""

    def __init__(self, file: WritableFile) -> None:
        self._file = file

    def add(self, candidate_id: int, purpose: str, edit: Sequence[Any], graph: str, hash: str) -> int:
        """Records a variant and returns its id; the existing id if this edit was recorded for this purpose already."""
        text = dump_json(edit)
        with self._file.transaction() as write:
            sql = "SELECT id FROM variant WHERE candidate_id = ? AND purpose = ? AND edit = ?"
            if (there := write.value(sql, (candidate_id, purpose, text))) is not None:
                return int(there)
            variant = write.next_id("variant")
            event = write.event(EventKind.VARIANT_ADDED, {"variant": variant}, candidate_id=candidate_id)
            return write.insert(
                "variant", id=variant, candidate_id=candidate_id, purpose=purpose, edit=text, graph=graph, hash=hash,
                event_id=event,
            )  # fmt: skip

    def vet(self, variant: int, status: str, rules: Sequence[str]) -> None:
        """Records the status of its verdict and the rules that refused it."""
        with self._file.transaction() as write:
            payload = {"variant": variant, "status": status, "rules": list(rules)}
            event = write.event(EventKind.VARIANT_VETTED, payload, candidate_id=_candidate(write, variant))
            write.update("variant", variant, status=status, rules=dump_json(list(rules)), vetted_event=event)

    def score(
        self, variant: int, rung: str, seed: int, fitness: float, metrics: Mapping[str, float | None] | None = None,
        seconds: float | None = None, *, beta: float | None = None, learning_rate: float | None = None,
        items: Items | None = None, judged: Usage | None = None,
    ) -> None:  # fmt: skip
        """Records a training and what its judge was paid; as failed if the fitness is not finite. WrongState if it is recorded."""
        finite = is_finite(fitness) and (items is None or all(map(is_finite, items.values)))
        self._ended(
            variant, rung, seed, beta, learning_rate, judged, fitness=float(fitness) if finite else None,
            reason=None if finite else NOT_FINITE, detail=None if finite else f"the fitness is {fitness}",
            columns=result_columns(metrics, seconds, None, items if finite else None, None, None),
        )  # fmt: skip

    def fail(
        self, variant: int, rung: str, seed: int, reason: str, detail: str = "", seconds: float | None = None, *,
        beta: float | None = None, learning_rate: float | None = None, judged: Usage | None = None,
    ) -> None:  # fmt: skip
        """Records a failed training, with a one-word reason, and what its judge was paid."""
        self._ended(
            variant, rung, seed, beta, learning_rate, judged, fitness=None, reason=reason, detail=detail,
            columns=result_columns(None, seconds, None, None, None, None),
        )  # fmt: skip

    def _ended(
        self, variant: int, rung: str, seed: int, beta: float | None, learning_rate: float | None, judged: Usage | None,
        *, fitness: float | None, reason: str | None, detail: str | None, columns: Mapping[str, Any],
    ) -> None:  # fmt: skip
        kind = EventKind.VARIANT_SCORED if reason is None else EventKind.VARIANT_FAILED
        with self._file.transaction() as write:
            candidate = _candidate(write, variant)
            purpose = write.value("SELECT purpose FROM variant WHERE id = ?", (variant,))
            event = write.event(kind, {"variant": variant, "purpose": purpose}, candidate_id=candidate)
            write.insert(
                "variant_evaluation", variant_id=variant, rung=rung, seed=seed, beta=beta, learning_rate=learning_rate,
                fitness=fitness, reason=reason, detail=detail, event_id=event,
                metrics=columns["metrics"], items=columns["items"], seconds=columns["seconds"],
            )  # fmt: skip
            if judged is not None:
                write.event(EventKind.CHARGED, charged(TO_JUDGE, judged, None))


def _candidate(write: Write, variant: int) -> int:
    candidate = write.value("SELECT candidate_id FROM variant WHERE id = ?", (variant,))
    if candidate is None:
        raise MissingRow(f"there is no variant {variant}")
    return int(candidate)


def variant_row(row: sqlite3.Row, path: Path, at: int) -> VariantRow:
    """A row of `variant`, as it was when `at` was the newest event. Raises CorruptArchive."""
    cells = Cells(row, "variant", path)
    vetted = cells.natural_or_none("vetted_event")
    rules = cells.json("rules") if vetted is not None and vetted <= at else []
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise cells.wrong("rules", "a list of rules")
    return VariantRow(
        id=cells.integer("id"),
        candidate_id=cells.integer("candidate_id"),
        purpose=cells.text("purpose"),
        edit=cells.json("edit"),
        graph=cells.text("graph"),
        hash=cells.text("hash"),
        status=cells.word("status", VERDICT_STATUSES) if vetted is not None and vetted <= at else None,
        rules=tuple(rules),
    )


def variant_evaluation_row(row: sqlite3.Row, path: Path) -> VariantEvaluationRow:
    """A row of `variant_evaluation`. Raises CorruptArchive."""
    cells = Cells(row, "variant_evaluation", path)
    fitness, reason = cells.real_or_none("fitness"), cells.text_or_none("reason")
    if (fitness is None) != (reason is not None):
        raise cells.wrong("fitness", "a number, or missing with a reason")
    return VariantEvaluationRow(
        id=cells.integer("id"),
        variant_id=cells.integer("variant_id"),
        rung=cells.text("rung"),
        seed=cells.integer("seed"),
        beta=cells.real_or_none("beta"),
        learning_rate=cells.real_or_none("learning_rate"),
        fitness=fitness,
        metrics=cells.metrics("metrics"),
        seconds=cells.real_or_none("seconds"),
        reason=reason,
        detail=cells.text_or_none("detail"),
        items=items_of(cells),
    )
