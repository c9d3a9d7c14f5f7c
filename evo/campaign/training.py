"""One training of one candidate, from the queue to its recorded result."""

from __future__ import annotations

from collections.abc import Callable

from archive.query import Reader
from archive.records import EvaluationState, Items, Usage
from archive.spending import TO_JUDGE
from archive.store import Archive
from fitness import costs
from fitness.schedule.final import final_rung
from fitness.schedule.ladder import Job
from fitness.task.protocol import EvaluationFailed, FailureReason, SeedResult, TaskInfo
from fitness.workers.pool import WorkerPool
from sandbox.graph.loss_graph import VerifiedGraph


class TaskUnusable(Exception):
    """The task's model or data cannot be used as configured, which says nothing of the loss. The message has the remedy."""


_ENDED = (EvaluationState.SCORED, EvaluationState.FAILED)


Hold = Callable[[int, Job, EvaluationFailed], bool]
"""Given an evaluation and how it failed: whether somebody else records it, or leaves it begun."""


async def train(
    archive: Archive,
    reader: Reader,
    workers: WorkerPool,
    task: str,
    job: Job,
    graph: VerifiedGraph,
    hold: Hold = lambda evaluation, job, failure: False,
) -> float | None:
    """Train and score once and record what came of it; where the archive knows the result, nothing is trained.

    Returns the fitness, None where the training failed. Raises TaskUnusable, and then leaves the training begun, so that a
    later session, with the cause fixed, takes it up again.
    """
    evaluation = archive.queue_evaluation(job.candidate_id, task, job.rung, job.seed, job.beta, job.learning_rate)
    if reader.evaluation(evaluation).state not in _ENDED:
        archive.start_evaluation(evaluation)
        try:
            result = await workers.score(graph, job.rung, job.seed, beta=job.beta, learning_rate=job.learning_rate)
        except EvaluationFailed as failure:
            if failure.reason is FailureReason.BAD_DATA:
                if failure.paid:
                    archive.charge(TO_JUDGE, recorded(failure.paid), evaluation)
                raise TaskUnusable(failure.detail) from None
            if not hold(evaluation, job, failure):
                record_failure(archive, evaluation, failure)
        else:
            archive.score_evaluation(
                evaluation,
                result.fitness,
                result.metrics,
                result.seconds,
                result.tokens,
                items=_items(result, job, workers.info),
                judged=recorded(result.paid) if result.paid else None,
                curves=result.curves,
            )
    return reader.evaluation(evaluation).fitness


def record_failure(archive: Archive, evaluation: int, failure: EvaluationFailed) -> None:
    """As the archive keeps it."""
    judged = recorded(failure.paid) if failure.paid else None
    archive.fail_evaluation(evaluation, failure.reason.value, failure.detail, curves=failure.curves, judged=judged)


def _items(result: SeedResult, job: Job, info: TaskInfo) -> Items | None:
    """The fitness by item where claims are decided; of the search's many trainings it is not kept, to save space."""
    if result.items is None or job.rung != final_rung(info):
        return None
    return Items(result.items.values, result.items.groups)


def recorded(paid: costs.Usage) -> Usage:
    """As the archive keeps it."""
    return Usage(paid.tokens_in, paid.tokens_out, paid.usd)
