"""Trainings of given losses: each loss is vetted once, and every result is in the archive when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from analysis.recorded import graph_of
from archive.query import Reader
from archive.records import CandidateRow, EvaluationState, Origin
from archive.spending import TO_JUDGE
from archive.store import Archive
from evo.baselines.compared_losses import ComparedLoss
from evo.baselines.design import refusal
from evo.campaign.deferred_failures import all_failed_message
from evo.campaign.training import TaskUnusable, ready, record_failure, recorded, train_and_record
from evo.config.schema import Config
from evo.search.budget import Cost, Spent, exceeded_limit
from evo.session.session import workers_for
from fitness.schedule.ladder import Job
from fitness.task import EvaluationFailed, TaskError, TaskInfo
from fitness.workers.pool import WorkerPool
from sandbox.vetting.pool import VetPool


@asynccontextmanager
async def trainings(
    config: Config, info: TaskInfo, losses: Sequence[ComparedLoss], rung: str, archive: Archive, reader: Reader,
    workers: WorkerPool, say: Callable[[str], None],
) -> AsyncIterator[Trainings]:  # fmt: skip
    """Workers and sandbox for the trainings of these losses at one rung.

    Raises TaskError if the archive holds another loss under the same name, TaskUnusable if no worker can be started.
    """
    candidates = {loss.name: candidate_of(archive, reader, loss) for loss in losses}
    async with AsyncExitStack() as stack:
        vetter = stack.enter_context(VetPool(workers=1, contract=info.contract))
        pool = await stack.enter_async_context(workers)
        await ready(pool, say, archive)
        yield Trainings(config, info, losses, candidates, rung, archive, reader, vetter, pool, say)


class Trainings:
    """The trainings of a session. The first loss is the baseline.

    Failures are recorded only once a training of the baseline is scored: before that, the setup may be their cause.
    """

    def __init__(
        self, config: Config, info: TaskInfo, losses: Sequence[ComparedLoss], candidates: Mapping[str, CandidateRow], rung: str,
        archive: Archive, reader: Reader, vetter: VetPool, pool: WorkerPool, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.candidates = candidates
        """The candidates of the archive by the losses' names."""
        self._info, self._losses, self._rung = info, losses, rung
        self._archive, self._reader, self._vetter, self._pool, self._say = archive, reader, vetter, pool, say
        self._turn = asyncio.Semaphore(workers_for(config))
        self._budget = JudgeBudget(config, info, rung, reader)
        self._deferred: list[tuple[int, EvaluationFailed]] = []
        self._setup_works = asyncio.Event()

    async def each(self, measure: Callable[[ComparedLoss], Awaitable[None]]) -> None:
        """Call `measure` for all losses that the sandbox accepts, several at once. The first error ends all, and is raised."""
        try:
            async with asyncio.TaskGroup() as group:  # a failure cancels the other tasks before the workers are stopped
                for loss in self._losses:
                    group.create_task(self._if_accepted(loss, measure))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def train(self, loss: ComparedLoss, jobs: Iterable[tuple[int, float | None]]) -> None:
        """Train a loss with each (seed, beta) that the archive has no result of. Raises TaskUnusable."""
        await asyncio.gather(*(self._train_one(loss, seed, beta) for seed, beta in jobs))
        if loss is not self._losses[0]:
            await self._setup_works.wait()
        elif not self._setup_works.is_set():
            if self._deferred and not self._reader.evaluations(state=EvaluationState.SCORED):
                for evaluation, failure in self._deferred:
                    if failure.paid:
                        self._archive.charge(TO_JUDGE, recorded(failure.paid), evaluation)
                failures = [failure for _, failure in self._deferred]
                raise TaskUnusable(all_failed_message(f"every training of {loss.name}", self._rung, failures))
            for evaluation, failure in self._deferred:
                record_failure(self._archive, evaluation, failure)
            self._setup_works.set()

    async def _if_accepted(self, loss: ComparedLoss, measure: Callable[[ComparedLoss], Awaitable[None]]) -> None:
        candidate = self.candidates[loss.name]
        if self._reader.verdict(candidate.id) is None:
            verdict = await asyncio.to_thread(self._vetter.vet_graph, loss.graph)
            self._archive.record_verdict(candidate.id, verdict.to_json())
        if refused := refusal(self._reader, candidate):
            if loss is self._losses[0]:
                self._setup_works.set()
            self._say(f"{loss.name}: {refused}")
            return
        await measure(loss)

    async def _train_one(self, loss: ComparedLoss, seed: int, beta: float | None) -> None:
        async with self._turn:
            job = Job(self.candidates[loss.name].id, self._rung, seed, beta)
            with self._budget.reserved(job):
                name = self._info.name
                await train_and_record(self._archive, self._reader, self._pool, name, job, loss.graph, self._defer)

    def _defer(self, evaluation: int, job: Job, failure: EvaluationFailed) -> bool:
        if self._setup_works.is_set():
            return False
        self._deferred.append((evaluation, failure))
        return True


class JudgeBudget:
    """Limits the cost of a judge to the budget."""

    def __init__(self, config: Config, info: TaskInfo, rung: str, reader: Reader) -> None:
        judging = info.judging(rung)
        self._cost = Cost(tokens=judging.tokens, usd=judging.usd or 0.0)
        self._budget, self._reader, self._under_way = config.budget, reader, 0

    @contextmanager
    def reserved(self, job: Job) -> Iterator[None]:
        """Reserve the maximum cost of the judge while a training is in progress. Raises TaskUnusable if the budget is too small."""
        done = [e for e in self._reader.evaluations(job.candidate_id) if e.finished_event is not None]
        if (job.rung, job.seed, job.beta) not in {(e.rung, e.seed, e.beta) for e in done}:
            spending = self._reader.spending()
            used = Spent(tokens=spending.judge_tokens_in + spending.judge_tokens_out, usd=spending.judge_usd)
            if limit := exceeded_limit(self._budget, used, self._cost.times(self._under_way), self._cost):
                raise TaskUnusable(f"{limit}; raise it, and the same command continues")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def candidate_of(archive: Archive, reader: Reader, loss: ComparedLoss) -> CandidateRow:
    """The recorded loss, recorded now if it was not. Raises TaskError if another loss has its name."""
    row = next((c for c in reader.candidates() if c.origin is Origin.SEED and c.name == loss.name), None)
    if row is None:
        return reader.candidate(
            archive.add_candidate(Origin.SEED, loss.name, loss.title, loss.source, loss.graph.contract)
        )
    verdict = reader.verdict(row.id)
    if verdict is not None and verdict.graph is not None and graph_of(verdict) != loss.graph:
        raise TaskError(
            f"the directory holds scores of another loss called {loss.name!r}: rename yours, or give another --dir"
        )
    return row
