"""One training of one candidate, from the queue to its recorded result."""

from __future__ import annotations

from archive.query import Reader
from archive.records import EvaluationState
from archive.store import Archive
from fitness.ladder import Job
from fitness.pool import WorkerPool
from fitness.task import EvaluationFailed
from sandbox.graph import LossGraph

_ENDED = (EvaluationState.SCORED, EvaluationState.FAILED)


async def train(
    archive: Archive, reader: Reader, workers: WorkerPool, task: str, job: Job, graph: LossGraph
) -> float | None:
    """Train and score once and record what came of it; where the archive knows the result, nothing is trained.

    Returns the fitness, None where the training failed.
    """
    evaluation = archive.queue_evaluation(job.candidate_id, task, job.rung, job.seed, job.beta)
    if reader.evaluation(evaluation).state not in _ENDED:
        archive.start_evaluation(evaluation)
        try:
            result = await workers.score(graph, job.rung, job.seed, beta=job.beta)
        except EvaluationFailed as failure:
            archive.fail_evaluation(evaluation, failure.reason.value, failure.detail)
        else:
            archive.score_evaluation(evaluation, result.fitness, result.metrics, result.seconds, result.tokens)
    return reader.evaluation(evaluation).fitness
