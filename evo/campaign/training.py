"""One training of one candidate: queue it, train, score, record the result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from archive.query import Reader
from archive.records import EvaluationState, Items, Usage
from archive.spending import TO_JUDGE
from archive.store import Archive
from fitness.chat import costs
from fitness.schedule.final import final_rung
from fitness.schedule.ladder import Job
from fitness.task.protocol import EvaluationFailed, FailureReason, SeedResult, TaskInfo
from fitness.workers.pool import WorkerPool
from sandbox.graph.loss_graph import VerifiedGraph


class TaskUnusable(Exception):
    """The task's model or data cannot be used as configured; the loss is not the cause. The message has the remedy."""


_ENDED = (EvaluationState.SCORED, EvaluationState.FAILED)


async def ready(workers: WorkerPool, say: Callable[[str], None], archive: Archive | None = None) -> None:
    """Wait until a worker has loaded model and data, and say what it notes. So an unusable task is no failure of a loss.

    With an archive, a judge's pay for a start in vain is recorded there. Raises TaskUnusable.
    """
    try:
        for note in await workers.ready():
            say(note)
    except EvaluationFailed as failure:
        if failure.paid and archive is not None:
            archive.charge(TO_JUDGE, recorded(failure.paid))
        raise TaskUnusable(failure.detail) from None


Defer = Callable[[int, Job, EvaluationFailed], bool]
"""Takes an evaluation id, its job and the failure. Returns True if it takes over the failure, which is then not recorded here."""


async def train_and_record(
    archive: Archive,
    reader: Reader,
    workers: WorkerPool,
    task: str,
    job: Job,
    graph: VerifiedGraph,
    defer: Defer = lambda evaluation, job, failure: False,
) -> float | None:
    """Train and score once and record the result. A training whose result is in the archive is not repeated.

    Returns the fitness, None if the training failed. Raises TaskUnusable; the training then stays unfinished in the archive, and a
    later session repeats it.
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
            if not defer(evaluation, job, failure):
                record_failure(archive, evaluation, failure)
        else:
            archive.score_evaluation(
                evaluation,
                result.fitness,
                result.metrics,
                result.seconds,
                result.tokens,
                items=kept_items(result, job.rung, workers.info),
                judged=recorded(result.paid) if result.paid else None,
                curves=result.curves,
            )
    return reader.evaluation(evaluation).fitness


def record_failure(archive: Archive, evaluation: int, failure: EvaluationFailed) -> None:
    """Record a failed training, with what its judge was paid."""
    judged = recorded(failure.paid) if failure.paid else None
    archive.fail_evaluation(evaluation, failure.reason.value, failure.detail, curves=failure.curves, judged=judged)


def kept_items(result: SeedResult, rung: str, info: TaskInfo) -> Items | None:
    """The fitness by test item, at the final's rung only: claims need it. For the search it is dropped to save space."""
    if result.items is None or rung != final_rung(info):
        return None
    return Items(result.items.values, result.items.groups)


def recorded(paid: costs.Usage) -> Usage:
    """Usage as an archive record."""
    return Usage(paid.tokens_in, paid.tokens_out, paid.usd)


async def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel the tasks that are not done, and wait until they have ended."""
    pending = [t for t in tasks if not t.done()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
