"""Trainings of `evopo baselines`: tune and measure the compared losses, and print the table.

All results are in the archive of a run directory, so an interrupted command continues and a finished one only prints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from analysis.final import seeds_of
from analysis.recorded import graph_of
from analysis.wording import count, duration
from archive.query import Reader
from archive.records import CandidateRow, EvaluationState, EventKind, Origin
from archive.spending import TO_JUDGE
from archive.store import Archive
from evo.baselines.compared_losses import ComparedLoss
from evo.baselines.design import Design, Row, refusal, row_of, rows
from evo.baselines.table import table
from evo.campaign.deferred_failures import all_failed_message
from evo.campaign.training import TaskUnusable, record_failure, recorded, train_and_record
from evo.config.rundir import open_run
from evo.config.schema import Config
from evo.search.budget import Cost, Spent, exceeded_limit
from evo.session.earlier_session import changed_task
from evo.session.extras import require_training
from evo.session.preflight import preflight
from evo.session.session import worker_pool, workers_for
from evo.session.signals import ended_by_signals, interruptible
from fitness.schedule.ladder import Job
from fitness.task import EvaluationFailed, TaskError, TaskInfo, task_info
from fitness.workers.pool import WorkerPool
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.vetting.pool import VetPool


@ended_by_signals()
def run_baselines(config: Config, wanted: Design, path: Path, say: Callable[[str], None]) -> list[Row]:
    """Run the trainings of the design that the archive in `path` does not have, print the table and return its rows.

    Raises TaskError if the archive holds another loss under the same name, TaskUnusable if the task's model or data cannot be used;
    RunDirError, ArchiveError.
    """
    info = task_info(config.task, config.fitness)
    require_training()
    workers = worker_pool(config)
    cleared = preflight(config, info, proposes=False)
    rundir, archive, resumed = open_run(path, config, info, {}, wanted.baseline, kind="baselines")
    with archive, Reader.open(rundir.archive) as reader:
        if resumed:
            archive.recover()
            wanted = _with_recorded_seeds(wanted, reader)
        archive.event(
            EventKind.SESSION_STARTED, {"config": config.model_dump(mode="json"), "fitness": info.described()}
        )
        for note in filter(None, (*cleared.notes, changed_task(reader, info))):
            say(note)
        for to, paid in cleared.paid.items():
            archive.charge(to, recorded(paid))
        seconds = wanted.trainings() * info.rung(wanted.rung).estimated_seconds
        say(
            f"{count(len(wanted.losses), 'loss', 'losses')}, {count(wanted.trainings(), 'training')} at rung {wanted.rung}, about "
            f"{duration(seconds / workers_for(config))} on {count(workers_for(config), 'worker')}; finished ones are not "
            f"repeated. All results are recorded in {path}; the same command continues."
        )
        archive.event(
            EventKind.BASELINES, {"rung": wanted.rung, "betas": wanted.betas, "tuning_seeds": wanted.tuning_seeds}
        )
        archive.event(EventKind.FINAL, {"rung": wanted.rung, "seeds": wanted.seeds})
        asyncio.run(interruptible(_measure(config, info, wanted, archive, reader, workers, say)))
        archive.event(EventKind.FINISHED, {"reason": "all baselines are measured"})
        done = rows(reader, wanted)
        say("")
        say(table(done, info, wanted))
        return done


def _with_recorded_seeds(wanted: Design, reader: Reader) -> Design:
    """The design with the fresh seeds that earlier sessions recorded; new seeds are used only if it needs more."""
    recorded = [seed for event in reader.events(kind=EventKind.FINAL) for seed in seeds_of(event.payload)]
    return replace(wanted, seeds=tuple(dict.fromkeys((*recorded, *wanted.seeds)))[: len(wanted.seeds)])


async def _measure(
    config: Config, info: TaskInfo, wanted: Design, archive: Archive, reader: Reader, workers: WorkerPool,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Tune and measure all losses. Raises TaskUnusable; trainings in progress then stay unfinished in the archive."""
    candidates = {loss.name: candidate_of(archive, reader, loss) for loss in wanted.losses}
    async with AsyncExitStack() as stack:
        vetter = stack.enter_context(VetPool(workers=1, contract=info.contract))
        pool = await stack.enter_async_context(workers)
        try:
            for note in await pool.ready():
                say(note)
        except EvaluationFailed as failure:
            if failure.paid:
                archive.charge(TO_JUDGE, recorded(failure.paid))
            raise TaskUnusable(failure.detail) from None
        turn = asyncio.Semaphore(workers_for(config))
        judge_budget = _JudgeBudget(config, info, wanted.rung, reader)

        deferred: list[tuple[int, EvaluationFailed]] = []
        setup_works = asyncio.Event()  # set after the baseline's first trainings, if any training was scored

        def defer(evaluation: int, job: Job, failure: EvaluationFailed) -> bool:
            if setup_works.is_set():
                return False
            deferred.append((evaluation, failure))
            return True

        async def train_one(candidate: CandidateRow, graph: VerifiedGraph, seed: int, beta: float | None) -> None:
            async with turn:
                job = Job(candidate.id, wanted.rung, seed, beta)
                with judge_budget.reserved(job):
                    await train_and_record(archive, reader, pool, info.name, job, graph, defer)

        async def train_all(loss: ComparedLoss, jobs: Iterable[tuple[int, float | None]]) -> None:
            """Train one loss. Failures are recorded only once a training is scored: before that, the setup may be their cause."""
            await asyncio.gather(*(train_one(candidates[loss.name], loss.graph, seed, beta) for seed, beta in jobs))
            if loss is not wanted.losses[0]:
                await setup_works.wait()
            elif not setup_works.is_set():
                if deferred and not reader.evaluations(state=EvaluationState.SCORED):
                    for evaluation, failure in deferred:
                        if failure.paid:
                            archive.charge(TO_JUDGE, recorded(failure.paid), evaluation)
                    raise TaskUnusable(
                        all_failed_message(f"every training of {loss.name}", wanted.rung, [f for _, f in deferred])
                    )
                for evaluation, failure in deferred:
                    record_failure(archive, evaluation, failure)
                setup_works.set()

        async def measure(loss: ComparedLoss) -> None:
            candidate, name, graph = candidates[loss.name], loss.name, loss.graph
            if reader.verdict(candidate.id) is None:
                verdict = await asyncio.to_thread(vetter.vet_graph, graph)
                archive.record_verdict(candidate.id, verdict.to_json())
            if refusal(reader, candidate):
                if loss is wanted.losses[0]:
                    setup_works.set()
                say(f"{name}: {refusal(reader, candidate)}")
                return
            arms = wanted.arms(graph)
            if len(arms) > 1:
                await train_all(loss, ((s, b) for b in arms for s in wanted.tuning_seeds))
            row = row_of(reader, candidate, loss, wanted)
            if row.failed and len(arms) > 1 and row.beta is None:
                say(f"{name}: training failed at every beta of the grid ({row.failed})")
                return
            await train_all(loss, ((s, row.beta) for s in wanted.seeds))
            row = row_of(reader, candidate, loss, wanted)
            values = [e.fitness for e in row.measured if e.fitness is not None]
            at = "" if row.beta is None else f" at beta {row.beta:g}"
            say(f"{name}{at}: " + (f"{fmean(values):.4f}" if values else row.failed))

        try:
            async with asyncio.TaskGroup() as group:  # a failure cancels the other tasks before the workers are stopped
                for loss in wanted.losses:
                    group.create_task(measure(loss))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None


class _JudgeBudget:
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
