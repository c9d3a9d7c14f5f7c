"""What scores and outcomes are told apart by: the arm of a training, the status of a candidate."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from archive.nodes import Vetted
from archive.records import EvaluationRow, EvaluationState, VerdictRow
from sandbox.verdicts.verdict import VerdictStatus


class CandidateStatus(StrEnum):
    """Status of a candidate: the first in this order that holds."""

    REFUSED = VerdictStatus.REFUSED
    """The sandbox refused it."""
    DUPLICATE = "duplicate"
    """It is a duplicate of an earlier candidate, and was not trained."""
    SCORED = EvaluationState.SCORED
    """At least one training gave a score."""
    FAILED = EvaluationState.FAILED
    """Every finished training failed."""
    ACCEPTED = VerdictStatus.ACCEPTED
    """The sandbox accepted it; no training has finished yet."""
    UNVETTED = "unvetted"
    """It has no verdict yet."""

    @classmethod
    def of(cls, verdict: VerdictRow | Vetted | None, states: Collection[EvaluationState]) -> CandidateStatus:
        """The status of a candidate with this verdict and trainings in these states."""
        if verdict is None:
            return cls.UNVETTED
        if verdict.status == VerdictStatus.REFUSED:
            return cls.REFUSED
        if verdict.duplicate_of is not None:
            return cls.DUPLICATE
        if EvaluationState.SCORED in states:
            return cls.SCORED
        failed = states and all(state is EvaluationState.FAILED for state in states)
        return cls.FAILED if failed else cls.ACCEPTED


@dataclass(frozen=True, order=True)
class Arm:
    """One loss with one beta and one learning rate at one rung. The seeds of a comparison are repetitions of an arm. None means
    the task's own beta or learning rate."""

    candidate: int
    rung: str
    beta: float | None = None
    learning_rate: float | None = None

    @classmethod
    def of(cls, row: EvaluationRow) -> Arm:
        """The arm of an evaluation."""
        return cls(row.candidate_id, row.rung, row.beta, row.learning_rate)
