"""Trainings of `evopo autopsy`: vet and train what is due until nothing is. Each result is recorded when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from analysis.claims.autopsy import PURPOSE, Autopsy, Plan, Wanted
from analysis.output.encode import one_line
from analysis.snapshot import Snapshot
from analysis.wording import count, display_name, full_name
from archive.query import Reader
from archive.records import EventKind
from archive.spending import TO_JUDGE
from archive.store import Archive
from archive.variants import VariantRow
from evo.autopsy.plan import Subject, Wish, cost_text, plan_of, subject_of
from evo.autopsy.settings import settings_of
from evo.campaign.deferred_failures import all_failed_message
from evo.campaign.training import TaskUnusable, ready, recorded
from evo.campaign.variants.training import add_variant, record_variant_failure, train_variant, vet_variant
from evo.config.rundir import existing_run
from evo.config.schema import Config
from evo.search.budget import Cost, Spent, exceeded_limit
from evo.session.earlier_session import changed_task
from evo.session.extras import require_training
from evo.session.preflight import preflight
from evo.session.session import worker_pool, workers_for
from fitness.task import EvaluationFailed, TaskInfo
from fitness.workers.pool import WorkerPool
from sandbox.vetting.pool import VetPool


class EnoughForNow(Exception):
    """The session has used its number of trainings. The message says how to go on."""


def run_autopsy(
    directory: Path, wish: Wish, say: Callable[[str], None], *, config: Path | None = None, overrides: tuple[str, ...] = (),
    most: int | None = None, dry_run: bool = False,
) -> Autopsy | None:  # fmt: skip
    """Make or continue the autopsy of a loss, and return it finished; None for a dry run. A finished one is only read.

    `most`: largest number of trainings of this session. Raises EnoughForNow, NotInRun, RunDirError, TaskError, TaskUnusable, and
    ArchiveError, also if another session holds the archive.
    """
    rundir = existing_run(directory)
    with Reader.open(rundir.archive) as reader:
        snapshot = Snapshot.of(reader)
        subject = subject_of(snapshot, reader, wish.candidate)
        settings, info = settings_of(reader, directory, config, overrides)
        plan, known = plan_of(reader, snapshot, subject, info, wish)
        autopsy = state_of(reader, plan, subject)
        if known and autopsy.finished:
            return None if dry_run else autopsy
        say(f"Autopsy of {subject.name}" + (", continued." if known else "."))
        say(cost_text(autopsy, snapshot, info, workers_for(settings)))
        if dry_run:
            return None
    require_training()
    pool = worker_pool(settings)
    cleared = preflight(settings, info, proposes=False)
    with Archive.open(rundir.archive) as archive, Reader.open(rundir.archive) as reader:
        for note in filter(None, (*cleared.notes, changed_task(reader, info))):
            say(note)
        if not known:
            archive.event(EventKind.AUTOPSY, plan.to_json())
        for to, paid in cleared.paid.items():
            archive.charge(to, recorded(paid))
        say(f"Every result is recorded in {rundir.path} when it is there; the same command continues.")
        session = _Session(settings, info, plan, subject, archive, reader, say, most)
        return asyncio.run(session.run(pool))


def state_of(reader: Reader, plan: Plan, subject: Subject) -> Autopsy:
    """What the archive holds of an autopsy."""
    id = subject.row.id
    return Autopsy(plan, subject.graph, reader.variants(id), reader.variant_evaluations(id))


def shown_name(directory: Path, plan: Plan) -> tuple[str, str, str]:
    """The name of a plan's candidate, the same with the known loss that it is and its caution, and what fitness is at its rung."""
    with Reader.open(existing_run(directory).archive) as reader:
        snapshot = Snapshot.of(reader)
        id = plan.candidate
        return display_name(snapshot.candidates[id]), full_name(snapshot, id), one_line(snapshot.metric(plan.rung))


def _record(seed: int, failure: EvaluationFailed) -> bool:
    """Leaves the failure to `train_variant`, which records it."""
    return False


class _Session:
    """One session of an autopsy."""

    def __init__(
        self, config: Config, info: TaskInfo, plan: Plan, subject: Subject, archive: Archive, reader: Reader,
        say: Callable[[str], None], most: int | None,
    ) -> None:  # fmt: skip
        self.config = config
        self.info = info
        self.plan = plan
        self.subject = subject
        self.archive = archive
        self.reader = reader
        self.say = say
        self.most = most
        self.begun = 0
        self.under_way = 0
        self.exhausted = False

    async def run(self, pool: WorkerPool) -> Autopsy:
        """Vet and train until nothing is due."""
        async with AsyncExitStack() as stack:
            vetter = stack.enter_context(VetPool(workers=1, contract=self.info.contract))
            workers = await stack.enter_async_context(pool)
            await ready(workers, self.say, self.archive)
            turn = asyncio.Semaphore(workers.size)
            while wanted := (autopsy := state_of(self.reader, self.plan, self.subject)).due():
                try:
                    async with (
                        asyncio.TaskGroup() as group
                    ):  # a failure cancels the others before the workers are stopped
                        for one in wanted:
                            group.create_task(self._measure(one, vetter, workers, turn))
                except ExceptionGroup as errors:
                    raise errors.exceptions[0] from None
                if self.exhausted:  # those that had begun have ended and are recorded
                    raise EnoughForNow(f"{count(self.begun, 'training')} done, as many as --max-trainings allows")
            return autopsy

    async def _measure(self, wanted: Wanted, vetter: VetPool, workers: WorkerPool, turn: asyncio.Semaphore) -> None:
        """Vet one variant, and train it on the wanted seeds."""
        id = add_variant(self.archive, self.plan.candidate, PURPOSE, wanted.edits, wanted.graph)
        row = next(row for row in self.reader.variants(self.plan.candidate) if row.id == id)
        what = self._named(wanted)
        if row.status is None and not await asyncio.to_thread(vet_variant, self.archive, vetter, id, wanted.graph):
            rules = next(v for v in self.reader.variants(self.plan.candidate) if v.id == id).rules
            self.say(f"{what}: refused by the sandbox ({', '.join(map(one_line, rules))})")
            return
        failures: dict[int, EvaluationFailed] = {}

        def defer(seed: int, failure: EvaluationFailed) -> bool:
            failures[seed] = failure
            return True

        scores = await asyncio.gather(
            *(self._train(row, wanted, seed, workers, turn, None if wanted.edits else defer) for seed in wanted.seeds)
        )
        if failures and not self._whole_scored():
            for failure in failures.values():
                if failure.paid:
                    self.archive.charge(TO_JUDGE, recorded(failure.paid))
            raise TaskUnusable(
                all_failed_message(f"every training of {self.subject.name}", self.plan.rung, [*failures.values()])
            )
        for seed, failure in failures.items():
            record_variant_failure(self.archive, id, self.plan.rung, seed, failure)
        if self.exhausted:
            return
        known = [score for score in scores if score is not None]
        failed = len(scores) - len(known)
        mean = f"{sum(known) / len(known):.4f} on {count(len(known), 'seed')}" if known else "no score"
        self.say(f"{what}: {mean}" + (f", {failed} failed" if failed else ""))

    async def _train(
        self, row: VariantRow, wanted: Wanted, seed: int, workers: WorkerPool, turn: asyncio.Semaphore,
        defer: Callable[[int, EvaluationFailed], bool] | None,
    ) -> float | None:  # fmt: skip
        async with turn:
            if self.most is not None and self.begun >= self.most:
                self.exhausted = True
                return None
            self._check_budget()
            self.begun += 1
            self.under_way += 1
            try:
                return await train_variant(
                    self.archive, workers, row, wanted.graph, self.plan.rung, seed, defer=defer or _record
                )
            finally:
                self.under_way -= 1

    def _whole_scored(self) -> bool:
        return bool(state_of(self.reader, self.plan, self.subject).whole.fitness)

    def _check_budget(self) -> None:
        """Raises TaskUnusable if the judge of another training could exceed the budget of tokens or USD."""
        judging = self.info.judging(self.plan.rung)
        cost = Cost(tokens=judging.tokens, usd=judging.usd or 0.0)
        if not judging.tokens:
            return
        spent = self.reader.spending()
        used = Spent(
            tokens=spent.tokens_in + spent.tokens_out + spent.judge_tokens_in + spent.judge_tokens_out,
            usd=spent.usd + spent.judge_usd,
        )
        if limit := exceeded_limit(self.config.budget, used, cost.times(self.under_way), cost):
            raise TaskUnusable(f"{limit}; raise it with --set, and the same command continues")

    def _named(self, wanted: Wanted) -> str:
        if not wanted.edits:
            return "the whole loss"
        texts = {
            part.edit: f"{part.kind} {one_line(part.text, 60)} {one_line(part.change, 60)}" for part in self.plan.parts
        }
        last = texts.get(wanted.edits[-1], "an edit")
        return last if len(wanted.edits) == 1 else f"{count(len(wanted.edits), 'part')} removed, last the {last}"
