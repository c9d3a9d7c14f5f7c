"""Failures of known losses where nothing has been scored yet: they may say nothing of the losses.

A published loss that cannot be trained is rare, a wrong learning rate, a worker without memory or a measurement that cannot work
is not. So such a failure is not recorded before something is scored at its rung. Where all known losses fail, the session ends
and leaves their trainings begun: the same command trains them again once the cause is fixed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from analysis.output.encode import one_line
from archive.query import Reader
from archive.records import Origin
from archive.spending import TO_JUDGE
from archive.store import Archive
from evo.campaign.training import record_failure, recorded
from evo.search.individuals import Individual
from evo.search.population import Population
from fitness.schedule.ladder import Job
from fitness.task.protocol import EvaluationFailed, FailureReason

DETAIL = 400
"""Characters of how a training failed."""
_AGAIN = "the same command then trains them again"
_OTHER = "a run with other options in fitness is another run: give it another --dir"
_REMEDIES = {
    FailureReason.DIVERGED: f"lower the learning rate of the task ({_OTHER})",
    FailureReason.COLLAPSED: f"lower the learning rate of the task or raise its beta ({_OTHER})",
    FailureReason.UNSUPPORTED_LOSS: "choose seeds that this task can train",
    FailureReason.OUT_OF_MEMORY: f"free memory or set fewer workers, and {_AGAIN}; or take a smaller batch ({_OTHER})",
    FailureReason.WORKER_DIED: f"fix what ended the worker (launcher, drivers, memory), and {_AGAIN}",
    FailureReason.TIMEOUT: f"raise timeout_seconds or set fewer workers, and {_AGAIN}",
}


@dataclass
class Doubts:
    """The failures of a session that are not recorded yet."""

    archive: Archive
    reader: Reader
    population: Population
    held: dict[Job, tuple[int, EvaluationFailed]] = field(default_factory=dict)

    def hold(self, evaluation: int, job: Job, failure: EvaluationFailed) -> bool:
        """Whether the failure of this training is kept back."""
        known = job.candidate_id in {i.id for i in self._known()} and job.beta is None and job.learning_rate is None
        if not known or self._scored(job.rung):
            return False
        self.held[job] = evaluation, failure
        return True

    def settle(self, rung: str, under_way: Collection[Job]) -> str | None:
        """Record the failures at a rung where something has been scored. Where all known losses have failed, says why and what
        to do, and leaves their trainings begun.

        `under_way` are trainings that have not ended.
        """
        failed = {job.candidate_id: failure for job, (_, failure) in self.held.items() if job.rung == rung}
        if failed and self._scored(rung):
            self.release(rung)
            return None
        known = [i for i in self._known() if i.status is None or i.trainable]
        waits = any(job.rung == rung and job.candidate_id in {i.id for i in known} for job in under_way)
        if waits or not failed or any(i.id not in failed and not self._failed(i.id, rung) for i in known):
            return None
        for evaluation, failure in self.held.values():
            if failure.paid:
                self.archive.charge(TO_JUDGE, recorded(failure.paid), evaluation)
        self.held.clear()
        return _told(rung, list(failed.values()))

    def release(self, rung: str | None = None) -> None:
        """Record the failures of a rung, or all: it is known by now what they say, or too late to know."""
        for job in [job for job in self.held if rung in (None, job.rung)]:
            record_failure(self.archive, *self.held.pop(job))

    def _known(self) -> list[Individual]:
        population = self.population.advance(self.reader)
        return [i for i in population.individuals.values() if i.origin is Origin.SEED]

    def _scored(self, rung: str) -> bool:
        population = self.population.advance(self.reader)
        return any(
            at == rung and fitness is not None
            for i in population.individuals.values()
            for (at, _), fitness in i.results.items()
        )

    def _failed(self, candidate: int, rung: str) -> bool:
        return any(at == rung for at, _ in self.population.individuals[candidate].results)


def _told(rung: str, failures: list[EvaluationFailed]) -> str:
    """Where all fail alike, the reason and what helps; else the reasons."""
    which = "the only known loss" if len(failures) == 1 else f"all {len(failures)} known losses"
    return nothing_trained(which, rung, failures)


def nothing_trained(what: str, rung: str, failures: list[EvaluationFailed]) -> str:
    """That `what` failed, the last one's words, and what helps."""
    last = failures[-1]
    reasons = ", ".join(sorted({f.reason.value for f in failures}))
    return (
        f"{what} failed at rung {rung} ({reasons}), so nothing could be compared: {one_line(last.detail, DETAIL)}. To go on: "
        + _REMEDIES.get(last.reason, f"fix the cause, and {_AGAIN}")
    )
