"""Judged comparisons as recorded, gathered by judge, opponent and policy: one for each pair of answers, its orders together.

The opponent of a pair is the answer that belongs to the benchmark's data, else the reference model's, else that of the loss DPO. A
pair counts if all replies about it have a grade: half of a pair would bring the judge's position bias back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from analysis.benchmarks.results import Rows
from analysis.benchmarks.win_rates.length_control import Sample
from archive.judgements import JudgementRow, PolicyRow

DATA, REFERENCE, OTHER = "data", "reference", "other"
"""Kinds of opponents."""
UNKNOWN = "the data"
"""Name of the data's answers if they were not recorded."""
DIFFICULTY = "difficulty"
"""Metric of the data's answer to a question that holds the question's difficulty."""


class Opponent(NamedTuple):
    """Whom policies were compared with, and by which judge and prompt."""

    kind: str
    name: str
    judge: str
    prompt_hash: str


@dataclass(frozen=True)
class Pair:
    """A policy's answer to one question and its opponent's, as judged."""

    question: str
    ours: str
    """The policy's answer, and the opponent's, as the statistics read them."""
    theirs: str | None
    """None if it was not recorded."""
    first: float | None
    """Points of the policy's answer when it was shown first; None: not shown so, or no grade."""
    second: float | None
    """Points of the policy's answer when it was shown second."""
    ungraded: int
    """Replies without a grade."""

    @property
    def preference(self) -> float | None:
        """Points of the policy's answer, the mean over the orders; None if a reply about the pair has no grade."""
        graded = [points for points in (self.first, self.second) if points is not None]
        return None if self.ungraded or not graded else sum(graded) / len(graded)

    @property
    def first_gains(self) -> float | None:
        """Points that an answer gains by being shown first, above one half; None unless both orders were graded."""
        if self.first is None or self.second is None:
            return None
        return (self.first - self.second) / 2


@dataclass
class _Open:
    """A pair whose replies are being gathered: the opponent's answer, and our points by whether ours was shown first."""

    question: str
    theirs: int
    points: dict[bool, float | None] = field(default_factory=dict)


def pairs(rows: Rows, read: Callable[[str], str]) -> Mapping[Opponent, Mapping[int, tuple[Pair, ...]]]:
    """All pairs by opponent and by the policy's id. `read` makes of an answer the text whose length counts.

    An answer meets one answer of an opponent. Of several judgements of a pair in one order, for example since the data's answers
    were recorded anew, the last counts.
    """
    gathered: dict[Opponent, dict[int, dict[int, _Open]]] = {}
    for row in rows.judgements:
        if row.second is None:
            continue
        sides = (row.first, row.second)
        theirs = max(sides, key=lambda answer: (_rank(rows, answer), answer == row.second))
        ours = sides[0] if theirs == sides[1] else sides[1]
        if (policy := rows.policy_of(ours)) is None:
            continue
        judged = gathered.setdefault(_opponent(rows, theirs, row), {}).setdefault(policy.id, {})
        pair = judged.setdefault(ours, _Open(row.question, theirs))
        pair.theirs = theirs
        is_first = ours == row.first
        pair.points[is_first] = row.grade if is_first or row.grade is None else 1 - row.grade
    return {
        opponent: {
            policy_id: tuple(
                Pair(
                    pair.question,
                    _text(rows, ours, read) or "",
                    _text(rows, pair.theirs, read),
                    pair.points.get(True),
                    pair.points.get(False),
                    list(pair.points.values()).count(None),
                )
                for ours, pair in judged.items()
            )
            for policy_id, judged in policies.items()
        }
        for opponent, policies in gathered.items()
    }


def by_question(judged: tuple[Pair, ...]) -> Mapping[str, float]:
    """Mean points of the policy's answers by question, over the pairs that count."""
    points: dict[str, list[float]] = {}
    for pair in judged:
        if pair.preference is not None:
            points.setdefault(pair.question, []).append(pair.preference)
    return {question: sum(values) / len(values) for question, values in points.items()}


def sample_of(judged: tuple[Pair, ...], facts: Mapping[str, Mapping[str, float]]) -> Sample | None:
    """The pairs that count, for the length-controlled rate; None if an opponent's answer was not recorded.

    `facts` has the numbers of the data by question (`facts_of`). Without the difficulty of every question, none is used.
    """
    counted = [(pair, pair.preference, pair.theirs) for pair in judged if pair.preference is not None]
    lengths = [len(pair.ours) - len(theirs) for pair, _, theirs in counted if theirs is not None]
    if len(lengths) < len(counted):
        return None
    questions = tuple(pair.question for pair, _, _ in counted)
    preference = np.array([points for _, points, _ in counted], np.float64)
    longer = np.array(lengths, np.float64)
    if not questions or any(DIFFICULTY not in facts.get(question, {}) for question in questions):
        return Sample(questions, preference, longer)
    difficulty = np.array([facts[question][DIFFICULTY] for question in questions])
    gamed = [
        # The file has the baseline's length minus the gamed one's.
        (known[f"gamed preference {which}"], -known[f"gamed length {which}"], known[DIFFICULTY])
        for known in facts.values()
        for which in (0, 1)
        if f"gamed preference {which}" in known and f"gamed length {which}" in known and DIFFICULTY in known
    ]
    if not gamed:
        return Sample(questions, preference, longer, difficulty)
    liked, gained, hard = (np.array(column) for column in zip(*gamed, strict=True))
    return Sample(questions, preference, longer, difficulty, (liked, gained, hard))


def facts_of(rows: Rows) -> Mapping[str, Mapping[str, float]]:
    """Numbers of the data by question, which are recorded with the data's answers."""
    return {row.question: row.metrics for row in rows.answers if row.metrics and _kind(rows.policy_of(row.id)) == DATA}


def _opponent(rows: Rows, answer: int, row: JudgementRow) -> Opponent:
    policy = rows.policy_of(answer)
    name = UNKNOWN if policy is None else policy.loss or policy.name
    return Opponent(_kind(policy), name, row.judge, row.prompt_hash)


def _kind(policy: PolicyRow | None) -> str:
    if policy is None or policy.kind == "outputs":
        return DATA
    return REFERENCE if policy.kind == "reference" else OTHER


def _rank(rows: Rows, answer: int) -> int:
    policy = rows.policy_of(answer)
    kind = _kind(policy)
    return 3 if kind == DATA else 2 if kind == REFERENCE else int(policy is not None and policy.loss == "dpo")


def _text(rows: Rows, answer: int, read: Callable[[str], str]) -> str | None:
    row = rows.answer.get(answer)
    return None if row is None or not row.turns else read(row.turns[0])
