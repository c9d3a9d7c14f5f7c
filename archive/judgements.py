"""Judgements of benchmarks: the judged policies, their answers, and what a judge or a classifier said of them.

Rows are written when they are complete, so an interrupted answer or judgement leaves no row. Texts are untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archive.records import Usage


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
    """Answer (id) that was shown first, or alone."""
    second: int | None
    """Answer that was shown second; None if one answer was graded."""
    grade: float | None
    """Of one answer: its grade. Of two: points of the first answer in [0, 1]; a tie is one half."""
    reply: str
    usage: Usage | None = None
