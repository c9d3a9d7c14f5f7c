"""The studies of a campaign: vets and trains the trials that a study wants, and gives its result as a reply.

Every training is recorded when it has ended. A study that was cut off begins again with what is recorded, so it makes no training
twice; `repeated` makes the whole study from the record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from archive.errors import CorruptArchive
from archive.query import Reader
from archive.store import Archive
from archive.variants import VariantRow
from evo.campaign.asking.recorder import BudgetReached
from evo.campaign.variants.training import add_variant, train_variant, vet_variant
from evo.config.schema import SearchConfig
from evo.proposing.llm.client import AttemptObserver, Reply
from evo.proposing.request import Request
from evo.proposing.studies import STUDY, VERSION, Conclusion, Study, Trial, answer, study_of
from fitness.chat.endpoint import Endpoint
from fitness.workers.pool import WorkerPool
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.canonical import canonical_hash
from sandbox.verdicts.verdict import VerdictStatus
from sandbox.vetting.pool import VetPool


@dataclass(frozen=True, slots=True)
class Results:
    """Recorded results of the trials of one operator with one loss, by canonical hash."""

    refused: frozenset[str]
    scores: dict[tuple[str, int], float | None]
    """Fitness by loss and seed; None if the training failed."""

    @classmethod
    def of(cls, reader: Reader, candidate: int, operator: str, rung: str) -> Self:
        """Those that the reader sees."""
        rows = {row.id: row for row in reader.variants(candidate) if row.purpose == operator}
        ended = (e for e in reader.variant_evaluations(candidate) if e.variant_id in rows and e.rung == rung)
        return cls(
            frozenset(row.hash for row in rows.values() if row.status not in (None, VerdictStatus.ACCEPTED)),
            {(rows[e.variant_id].hash, e.seed): e.fitness for e in ended},
        )

    def missing(self, trial: Trial) -> bool:
        """Whether the trial has neither a score nor a failure."""
        digest = canonical_hash(trial.graph)
        return digest not in self.refused and (digest, trial.seed) not in self.scores

    def scored(self, trials: Sequence[Trial]) -> list[float | None]:
        """The fitness of each trial; None if it was refused or failed."""
        return [self.scores.get((canonical_hash(t.graph), t.seed)) for t in trials]

    def trainings(self, trials: Sequence[Trial]) -> int:
        """Number of trainings of these trials."""
        return len({(canonical_hash(t.graph), t.seed) for t in trials} & self.scores.keys())


class StudyProposer:
    """Answers the requests of studies, for one session of a campaign. A proposer like others (`evo.proposing.propose.Proposer`)."""

    name = STUDY
    endpoint: Endpoint | None = None

    def __init__(
        self, archive: Archive, reader: Reader, vetter: VetPool, workers: WorkerPool, search: SearchConfig, rung: str,
        blocked: Callable[[], str | None],
    ) -> None:  # fmt: skip
        """`rung`: of all trials. `blocked` returns why the budget does not allow another training, else None."""
        self.archive = archive
        self.reader = reader
        self.vetter = vetter
        self.workers = workers
        self.search = search
        self.rung = rung
        self.begun = 0
        """Trainings begun in this session."""
        self.running = 0
        self._blocked = blocked
        self._turn = asyncio.Semaphore(workers.size)

    def template(self, request: Request) -> str:
        return VERSION

    def worst_case(self, request: Request) -> tuple[int, float]:
        return 0, 0.0  # each training asks for its own budget

    async def ask(self, request: Request, observer: AttemptObserver, first_attempt: int) -> Reply:
        """Make the study. Raises BudgetReached and TaskUnusable; then the next session continues it."""
        observer.started(first_attempt, "", ())
        began, (parent, graph) = time.monotonic(), _subject(request)
        study = study_of(request.operator, graph, request.seed, request.step, self.search)
        made: list[Trial] = []
        state = _next(study, None)
        while not isinstance(state, Conclusion):
            await self._make(parent, request.operator, state)
            made += state
            results = Results.of(self.reader, parent, request.operator, self.rung)
            state = _next(study, results.scored(state))
        trainings = Results.of(self.reader, parent, request.operator, self.rung).trainings(made)
        text = answer(request.operator, request.parents[0].name, graph, state, trainings)
        return Reply(text, "", 0, 0, 0.0, time.monotonic() - began)

    async def _make(self, parent: int, operator: str, trials: Sequence[Trial]) -> None:
        """Vet and train what is missing. All trainings that have begun are awaited, also if one ends with an error."""
        results = Results.of(self.reader, parent, operator, self.rung)
        forms: dict[str, list[Trial]] = {}
        for trial in trials:
            if results.missing(trial):
                forms.setdefault(canonical_hash(trial.graph), []).append(trial)
        ended = await asyncio.gather(
            *(self._form(parent, operator, same) for same in forms.values()), return_exceptions=True
        )
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def _form(self, parent: int, operator: str, trials: Sequence[Trial]) -> None:
        """Vet one form of the loss, and train it with the seeds of its trials."""
        edits, graph = trials[0].edits, trials[0].graph
        id = add_variant(self.archive, parent, operator, edits, graph)
        row = next(row for row in self.reader.variants(parent) if row.id == id)
        if row.status is None and not await asyncio.to_thread(vet_variant, self.archive, self.vetter, id, graph):
            return
        for seed in dict.fromkeys(trial.seed for trial in trials):
            await self._train(row, graph, seed)

    async def _train(self, row: VariantRow, graph: VerifiedGraph, seed: int) -> None:
        async with self._turn:
            if limit := self._blocked():
                raise BudgetReached(limit)
            self.begun += 1
            self.running += 1
            try:
                await train_variant(self.archive, self.workers, row, graph, self.rung, seed)
            finally:
                self.running -= 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def repeated(request: Request, search: SearchConfig, rung: str, past: Reader) -> str | None:
    """The reply of a study, made again from what `past` has recorded; None if a result is missing."""
    parent, graph = _subject(request)
    results = Results.of(past, parent, request.operator, rung)
    study = study_of(request.operator, graph, request.seed, request.step, search)
    made: list[Trial] = []
    state = _next(study, None)
    while not isinstance(state, Conclusion):
        if any(map(results.missing, state)):
            return None
        made += state
        state = _next(study, results.scored(state))
    return answer(request.operator, request.parents[0].name, graph, state, results.trainings(made))


def _subject(request: Request) -> tuple[int, VerifiedGraph]:
    parent = request.parents[0]
    if parent.graph is None:
        raise CorruptArchive(
            f"the archive holds a study of candidate {parent.id}, which has no graph; get a fresh copy"
        )
    return parent.id, parent.graph


def _next(study: Study, scores: Sequence[float | None] | None) -> list[Trial] | Conclusion:
    try:
        return next(study) if scores is None else study.send(scores)
    except StopIteration as ended:
        concluded = ended.value
        assert isinstance(concluded, Conclusion)
        return concluded
