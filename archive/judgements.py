"""Judgements of benchmarks: the judged policies, their answers, and what a judge or a classifier said of them.

Rows are written when they are complete, so an interrupted answer or judgement leaves no row. Texts are untrusted. A request to a
judge is recorded before it is sent (`asked`), and its payment when it has ended: one that was cut off is counted at its maximum.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from archive.records import EventKind, EventRow, Usage
from archive.spending import TO_JUDGE, charged, usage_of
from archive.sqlite.cells import Cells
from archive.sqlite.packed import pack
from archive.sqlite.values import dump_json, dump_metrics, finite_or_null
from archive.sqlite.writing import WritableFile

POLICY_KINDS = ("trained", "reference", "model", "outputs")


@dataclass(frozen=True)
class PolicyRow:
    """A judged policy: a trained model, the reference model, a person's model, or a file of answers."""

    id: int
    name: str
    """As it is shown: the loss (with its seed), `reference`, or the folder's name."""
    kind: str
    """`trained`, `reference`, `model` (of `--model`) or `outputs` (a file of answers)."""
    loss: str | None
    """Name of the loss that a trained policy was trained with; policies of one loss differ in their seed."""
    seed: int | None
    digest: str
    """Content of what was trained or read: equal for equal weights, or for an equal recipe of training."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What a trained policy was trained with, for example its task, rung and beta. Untrusted JSON."""


@dataclass(frozen=True)
class AnswerRow:
    """A policy's answers to one question of a benchmark, one text per turn."""

    id: int
    policy_id: int
    benchmark: str
    question: str
    category: str
    """Empty if the benchmark has none."""
    turns: tuple[str, ...]
    sampling_seed: int
    tokens: int
    """Generated tokens of all turns."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measured without a judge, for example reward and KL in nats per token (imdb)."""
    key: str = ""
    """Hash of the question's text and of how the policy writes: an answer with the same key is not written again."""


@dataclass(frozen=True)
class JudgementRow:
    """One request to a judge and its reply. A reply without a grade has `grade` None, and is counted, never guessed."""

    id: int
    benchmark: str
    question: str
    category: str
    turn: int
    """1 or 2 for a judgement of one turn; 0 for the whole answer."""
    form: str
    """Name of the judge's prompt, for example `single`, `single-reference`, `pair`."""
    prompt_hash: str
    """SHA-256 of that prompt's template, hexadecimal."""
    judge: str
    """Name of the judge's model."""
    first: int
    """Answer (id) that was shown first, or alone; 0 for an answer of the benchmark's data."""
    second: int | None
    """Answer that was shown second; None if one answer was graded."""
    grade: float | None
    """Of one answer: its grade. Of two: points of the first answer in [0, 1]; a tie is one half."""
    reply: str
    usage: Usage | None = None
    """What the request cost; None if an equal request was answered before, whose reply this is."""
    key: str = ""
    """Hash of all that was sent and of the judge's name."""
    alternatives: Mapping[str, float] = field(default_factory=dict)
    """Log-probabilities of the alternatives of the reply's first token, in nats, if they were asked for."""


class JudgementWriter:
    """Writes policies, answers and judgements. Every method is one transaction, which also appends an event."""

    def __init__(self, file: WritableFile) -> None:
        self._file = file

    def add_policy(
        self, name: str, kind: str, digest: str, *, loss: str | None = None, seed: int | None = None, recipe: Any = None
    ) -> int:
        """Records a policy and returns its id; the existing id if one with this digest is recorded."""
        with self._file.transaction() as write:
            if (there := write.value("SELECT id FROM policy WHERE digest = ?", (digest,))) is not None:
                return int(there)
            policy = write.next_id("policy")
            event = write.event(EventKind.POLICY_ADDED, {"policy": policy})
            return write.insert(
                "policy", id=policy, name=name, kind=kind, loss=loss, seed=seed, digest=digest,
                recipe=dump_json(recipe or {}), event_id=event,
            )  # fmt: skip

    def fail_policy(self, loss: str, seed: int, digest: str, reason: str, detail: str) -> None:
        """Records that a training failed for a reason that would occur again, such as `diverged`."""
        payload = {"loss": loss, "seed": seed, "digest": digest, "reason": reason, "detail": detail}
        with self._file.transaction() as write:
            write.event(EventKind.POLICY_FAILED, payload)

    def add_answers(self, answers: Iterable[AnswerRow]) -> list[int]:
        """Records answers, whose own ids are not used, in one transaction. Returns their ids. WrongState if one is recorded."""
        with self._file.transaction() as write:
            first = write.next_id("answer")
            rows = [replace(answer, id=first + number) for number, answer in enumerate(answers)]
            event = write.event(EventKind.ANSWERED, {"answers": [row.id for row in rows]})
            for row in rows:
                columns = {name: value for name, value in vars(row).items() if name not in ("turns", "metrics")}
                packed = pack(dump_json(list(row.turns)))
                write.insert("answer", **columns, turns=packed, metrics=dump_metrics(row.metrics), event_id=event)
            return [row.id for row in rows]

    def ask(self, key: str, most: Usage) -> int:
        """Records a request before it is sent, with what it may cost at most. Returns the event's id, which settles it."""
        with self._file.transaction() as write:
            return write.event(EventKind.JUDGE_ASKED, {"key": key, "most": asdict(most)})

    def settle(self, asked: int, paid: Usage, *, possibly_paid: bool = False) -> None:
        """Records what a request without a judgement cost. `possibly_paid`: it was cut off, and `paid` is its maximum."""
        with self._file.transaction() as write:
            write.event(EventKind.CHARGED, _payment(asked, paid, possibly_paid))

    def add_judgement(self, row: JudgementRow, asked: int | None = None) -> int:
        """Records a judgement, whose own id is not used, and returns its id.

        `asked` is the request that it answers, whose payment is `row.usage`; None for the copy of an earlier reply. WrongState if
        these answers were judged in this form and order already.
        """
        with self._file.transaction() as write:
            judgement = write.next_id("judgement")
            event = write.event(EventKind.JUDGEMENT_ADDED, {"judgement": judgement, "asked": asked})
            paid = row.usage
            columns = {
                name: value
                for name, value in vars(row).items()
                if name not in ("id", "usage", "reply", "alternatives", "grade")
            }
            write.insert(
                "judgement", id=judgement, **columns, grade=finite_or_null(row.grade), reply=pack(row.reply),
                alternatives=dump_metrics(row.alternatives), event_id=event,
                tokens_in=paid and paid.tokens_in, tokens_out=paid and paid.tokens_out,
                usd=finite_or_null(paid.usd) if paid else None,
            )  # fmt: skip
            if asked is not None:
                write.event(EventKind.CHARGED, _payment(asked, paid or Usage(0, 0, 0.0), False))
            return judgement


def _payment(asked: int, paid: Usage, possibly_paid: bool) -> dict[str, Any]:
    return charged(TO_JUDGE, paid, None) | {"asked": asked} | ({"possibly_paid": True} if possibly_paid else {})


def open_requests(asked: Sequence[EventRow], payments: Sequence[EventRow]) -> dict[int, Usage]:
    """The requests to a judge that were sent and never settled, with what each may have cost at most.

    From the events `judge_asked` and `charged`. Requests of a process that was killed may have been paid for.
    """
    settled = {event.payload.get("asked") for event in payments if isinstance(event.payload, Mapping)}
    most = {event.id: event.payload.get("most") for event in asked if isinstance(event.payload, Mapping)}
    return {id: usage_of(cost) for id, cost in most.items() if id not in settled and isinstance(cost, Mapping)}


def policy_row(row: sqlite3.Row, path: Path) -> PolicyRow:
    """A row of `policy`. Raises CorruptArchive."""
    cells = Cells(row, "policy", path)
    return PolicyRow(
        id=cells.integer("id"),
        name=cells.text("name"),
        kind=cells.word("kind", POLICY_KINDS),
        loss=cells.text_or_none("loss"),
        seed=cells.integer_or_none("seed"),
        digest=cells.text("digest"),
        recipe=cells.json_object("recipe"),
    )


def answer_row(row: sqlite3.Row, path: Path) -> AnswerRow:
    """A row of `answer`. Raises CorruptArchive."""
    cells = Cells(row, "answer", path)
    turns = cells.packed_json("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise cells.wrong("turns", "a list of texts")
    return AnswerRow(
        id=cells.integer("id"),
        policy_id=cells.integer("policy_id"),
        benchmark=cells.text("benchmark"),
        question=cells.text("question"),
        category=cells.text("category"),
        turns=tuple(turns),
        sampling_seed=cells.integer("sampling_seed"),
        tokens=cells.natural("tokens"),
        metrics=cells.metrics("metrics"),
        key=cells.text("key"),
    )


def judgement_row(row: sqlite3.Row, path: Path) -> JudgementRow:
    """A row of `judgement`. Raises CorruptArchive."""
    cells = Cells(row, "judgement", path)
    tokens_in, tokens_out = cells.natural_or_none("tokens_in"), cells.natural_or_none("tokens_out")
    paid = tokens_in is not None or tokens_out is not None
    return JudgementRow(
        id=cells.integer("id"),
        benchmark=cells.text("benchmark"),
        question=cells.text("question"),
        category=cells.text("category"),
        turn=cells.natural("turn"),
        form=cells.text("form"),
        prompt_hash=cells.text("prompt_hash"),
        judge=cells.text("judge"),
        first=cells.natural("first"),
        second=cells.natural_or_none("second"),
        grade=cells.real_or_none("grade"),
        reply=cells.packed_text_or_none("reply") or "",
        usage=Usage(tokens_in or 0, tokens_out or 0, cells.real_or_none("usd")) if paid else None,
        key=cells.text("key"),
        alternatives=cells.metrics("alternatives"),
    )
