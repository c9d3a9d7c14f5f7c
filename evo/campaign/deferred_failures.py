"""Deferred failures: failed trainings of seed losses at a rung where nothing has been scored yet.

If nothing at a rung has a score, the cause of a failure is more likely the setup (learning rate, memory, evaluation) than the
published loss. Such a failure is therefore recorded only after some training at that rung is scored. If all seed losses fail, the
session ends and their trainings stay unfinished in the archive: the same command repeats them once the cause is fixed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from analysis.output.encode import one_line
from archive.query import Reader
from archive.spending import TO_JUDGE
from archive.store import Archive
from evo.campaign.training import record_failure, recorded
from evo.search.individuals import Individual
from evo.search.population import Population
from fitness.schedule.ladder import Job
from fitness.task.protocol import EvaluationFailed, FailureReason

DETAIL = 400
"""Maximum characters of a failure's detail in a message."""
_AGAIN = "the same command then trains them again"
_OTHER = "a run with other options in fitness is another run: give it another --dir"
_REMEDIES = {
    FailureReason.DIVERGED: f"lower the learning rate of the task ({_OTHER})",
    FailureReason.COLLAPSED: f"lower the learning rate of the task or raise its beta ({_OTHER})",
    FailureReason.UNSUPPORTED_LOSS: "choose seeds that this task can train",
    FailureReason.OUT_OF_MEMORY: f"free memory or set fewer workers, and {_AGAIN}; or take a smaller batch ({_OTHER})",
    FailureReason.WORKER_DIED: f"fix what ended the worker (the task's code, launcher, drivers, memory), and {_AGAIN}",
    FailureReason.TIMEOUT: f"raise timeout_seconds or set fewer workers, and {_AGAIN}",
}


@dataclass
class DeferredFailures:
    """Failures of a session that are not recorded yet."""

    archive: Archive
    reader: Reader
    population: Population
    pending: dict[Job, tuple[int, EvaluationFailed]] = field(default_factory=dict)

    def defer(self, evaluation: int, job: Job, failure: EvaluationFailed) -> bool:
        """Defer the failure if the rules above apply. Returns whether it was deferred; else the caller records it."""
        known = job.candidate_id in {i.id for i in self._known()} and job.beta is None and job.learning_rate is None
        if not known or self._scored(job.rung):
            return False
        self.pending[job] = evaluation, failure
        return True

    def resolve(self, rung: str, under_way: Collection[Job]) -> str | None:
        """Record the failures at a rung if something has been scored there.

        If all seed losses have failed, returns the message for the user and leaves their trainings unfinished; else None.
        `under_way`: trainings that have not ended.
        """
        failed = {job.candidate_id: failure for job, (_, failure) in self.pending.items() if job.rung == rung}
        if failed and self._scored(rung):
            self.record(rung)
            return None
        if not failed:
            return None
        known = [i for i in self._known() if i.status is None or i.trainable]
        waits = any(job.rung == rung and job.candidate_id in {i.id for i in known} for job in under_way)
        if waits or any(i.id not in failed and not self._failed(i.id, rung) for i in known):
            return None
        for evaluation, failure in self.pending.values():
            if failure.paid:
                self.archive.charge(TO_JUDGE, recorded(failure.paid), evaluation)
        self.pending.clear()
        return _message(rung, list(failed.values()))

    def record(self, rung: str | None = None) -> None:
        """Record the deferred failures of a rung, by default of all rungs."""
        for job in [job for job in self.pending if rung in (None, job.rung)]:
            record_failure(self.archive, *self.pending.pop(job))

    def _known(self) -> list[Individual]:
        return self.population.advance(self.reader).recorded_seed_losses

    def _scored(self, rung: str) -> bool:
        return self.population.advance(self.reader).scored_at(rung)

    def _failed(self, candidate: int, rung: str) -> bool:
        return any(at == rung for at, _ in self.population.individuals[candidate].results)


def _message(rung: str, failures: list[EvaluationFailed]) -> str:
    which = "the only known loss" if len(failures) == 1 else f"all {len(failures)} known losses"
    return all_failed_message(which, rung, failures)


def all_failed_message(what: str, rung: str, failures: list[EvaluationFailed]) -> str:
    """Error message: `what` failed at a rung, the reasons, the detail of the last failure, and the remedy."""
    last = failures[-1]
    reasons = ", ".join(sorted({f.reason.value for f in failures}))
    return (
        f"{what} failed at rung {rung} ({reasons}), so nothing could be compared: {one_line(last.detail, DETAIL)}. To go on: "
        + _REMEDIES.get(last.reason, f"fix the cause, and {_AGAIN}")
    )
