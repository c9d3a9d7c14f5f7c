"""Main loop of a campaign: select parents, propose, vet, record, train. Several candidates are in progress at once.

`Campaign.candidate` is the pipeline of one candidate; `Campaign._search` keeps several of them running. Each step is committed to
the archive in its own transaction, and every session first completes the steps that the archive shows as started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from itertools import chain

from archive.query import Reader
from archive.records import ASIDE, PERSON, SUMMARISE, CandidateRow, EventKind, Origin, ProposalRow
from archive.store import Archive
from evo.campaign import backlog
from evo.campaign.allowance import Allowance, Trainings
from evo.campaign.asking.endpoint_monitor import EndpointMonitor, outcome_of
from evo.campaign.asking.proposers import Proposers
from evo.campaign.asking.recorder import AttemptRecorder, BudgetReached, PendingRequest, record_candidate
from evo.campaign.deferred_failures import DeferredFailures
from evo.campaign.final_setup import final_event, published_arms, relations_of, with_fresh_seeds
from evo.campaign.injections import Injections
from evo.campaign.training import TaskUnusable, cancel, train_and_record
from evo.campaign.variants.study import StudyProposer
from evo.config.schema import Config
from evo.proposing.propose import Proposer
from evo.proposing.request import Request
from evo.proposing.studies import STUDY
from evo.search.budget import NO_COST, Cost
from evo.search.duplicates import DuplicateIndex
from evo.search.operators import STUDIES
from evo.search.population import Population
from fitness.chat.errors import LLMError
from fitness.schedule.final import baseline_grid, final, final_rung
from fitness.schedule.ladder import Job, leaders
from fitness.workers.pool import WorkerPool
from sandbox.verdicts.verdict import Verdict
from sandbox.vetting.pool import VetPool


class CampaignStopped(Exception):
    """The session cannot continue. Once the cause is fixed, the same command resumes the run."""


class Phase(StrEnum):
    """Phase of a session, in order."""

    PREPARING = "preparing"
    SEEDS = "seed losses"
    SEARCH = "search"
    FINAL = "final"


@dataclass
class Campaign:
    """One session of a run. It reads the results of earlier sessions from the archive."""

    config: Config
    archive: Archive
    reader: Reader
    population: Population
    asked: Mapping[str, Proposer]
    """The proposers by name."""
    vetter: VetPool
    workers: WorkerPool
    phase: Phase = Phase.PREPARING
    trainings: dict[Job, asyncio.Task[None]] = field(default_factory=dict)
    running: set[Job] = field(default_factory=set)
    """Those of `trainings` that have not ended."""
    requests: dict[int, PendingRequest] = field(default_factory=dict)
    """State of each request in progress, by step."""
    monitor: EndpointMonitor = field(default_factory=EndpointMonitor)
    """Decides when proposals have failed too often."""
    allowance: Allowance = field(init=False)
    proposers: Proposers = field(init=False)
    deferred: DeferredFailures = field(init=False)
    studies: StudyProposer = field(init=False)
    task_error: str | None = None  # why the task cannot be used

    def __post_init__(self) -> None:
        self.deferred = DeferredFailures(self.archive, self.reader, self.population)
        self.proposers = Proposers.of(self.config, self.asked, self.population, self.monitor, self.requests)
        self.studies = StudyProposer(
            self.archive, self.reader, self.vetter, self.workers, self.config.search, self.population.rungs[-1],
            lambda: self.allowance.blocked(self.allowance.first_cost, self.allowance.reserve.whole),
        )  # fmt: skip
        self.allowance = Allowance(
            self.config, self.population, self.reader, self._trainings, lambda: self.task_error or self.proposers.ended
        )

    @cached_property
    def duplicates(self) -> DuplicateIndex:
        """Index of the losses of the run. Made for the first new loss: it reads all verdicts, and no request has to wait for it."""
        return DuplicateIndex.of(
            self.reader, self.vetter.same_loss, partial(self.population.losses.graph, reader=self.reader)
        )

    async def run(self) -> str:
        """Search until a limit of the budget is reached, then measure the final. Returns the reason why the search ended.

        Raises CampaignStopped.
        """
        try:
            return await self._phases()
        finally:  # a cancelled `gather` does not wait for its tasks
            await cancel(self.trainings.values())

    async def _phases(self) -> str:
        """Run the phases in order: seed losses, search, final."""
        self.phase = Phase.SEEDS
        self.population.advance(self.reader)
        self.allowance.begin()
        backlog.add_seed_losses(self.archive, self.reader, self.population.seed_losses)
        cut_off = [self.train(job) for job in self._seeds_without_result()]
        published, own = backlog.unvetted_seed_losses(self.reader)
        await asyncio.gather(*cut_off, *map(self.vet_and_train, published))
        await asyncio.gather(*map(self.vet_and_train, own))
        self.phase = Phase.SEARCH
        reason = await self._search()
        self._raise_if_stopped()
        self.phase = Phase.FINAL
        await self._final()
        self._raise_if_stopped()
        self.archive.event(EventKind.FINISHED, {"reason": reason})
        return reason

    async def candidate(self, step: int) -> None:
        """Pipeline of one candidate. Each step records its result before the next step starts."""
        with self.allowance.first_training_reserved():
            request = await self.select(step)
            reply = await self.propose(request)
            candidate = self.admit(reply)
            job = await self.vet_and_record(candidate)
            if reply is not None and reply.operator not in ASIDE:
                self.monitor.proposed(outcome_of(candidate, self.reader))
        await self.train(job)

    async def vet_and_train(self, candidate: CandidateRow) -> None:
        """Last part of the pipeline, for a loss that exists already: a seed loss, or a candidate of an earlier session."""
        with self.allowance.first_training_reserved():
            job = await self.vet_and_record(candidate)
        await self.train(job)

    async def vet_and_record(self, candidate: CandidateRow | None) -> Job | None:
        """Vet a candidate and record the verdict. Returns its first training, None if it may not be trained or is a duplicate."""
        if candidate is None:
            return None
        verdict = await self.vet(candidate)
        return self.allowance.first_training(candidate.id) if self.record(candidate, verdict) else None

    # ---- the steps -----------------------------------------------------------------------------------------------

    async def select(self, step: int) -> Request:
        """Select operator, parents and proposer of a step from the results recorded so far, once the proposer has a place."""
        with self.allowance.call(step, Cost(proposals=1)):
            return await self.proposers.chosen(step, self.reader)

    async def propose(self, request: Request) -> ProposalRow | None:
        """Ask the proposer for a loss. Returns None without a reply.

        The request is committed before it is sent, and the reply before it is parsed.
        """
        blocked = partial(self.allowance.repeat_blocked, request.step)
        proposer = self.studies if request.operator in STUDIES else self.asked[request.proposer]
        monitor = self.proposers.monitor_of(request.proposer)
        recorder = AttemptRecorder(self.archive, proposer, request, blocked, monitor.tell_once)
        cost = Cost(1, 0, *proposer.worst_case(request))
        if self.allowance.request_blocked(cost):
            return None
        with self.allowance.call(request.step, cost):
            self.requests[request.step] = recorder.pending
            try:
                reply = await proposer.ask(request, recorder, 1 + self.reader.latest_attempt(request.step))
                self.archive.receive_proposal(
                    recorder.proposal, reply.text, reply.tokens_in, reply.tokens_out, reply.usd, reply.seconds
                )
                self.proposers.answered(request.step, reply.seconds)
            except LLMError as error:
                monitor.failed(request.step, error)
                return None
            except (BudgetReached, TaskUnusable) as why:
                recorder.gave_up(str(why))
                self.task_error = str(why) if isinstance(why, TaskUnusable) else self.task_error
                return None
            except asyncio.CancelledError:
                recorder.cut_off()
                raise
            finally:
                self.proposers.left(request.step)
        if proposer is not self.studies:
            monitor.replied(reply.text)
        return self.reader.proposal(recorder.proposal)

    def admit(self, proposal: ProposalRow | None) -> CandidateRow | None:
        """Parse a reply and record its candidate with its parents. Returns None without a reply, or if it holds no loss."""
        if proposal is None or proposal.operator == SUMMARISE:
            return None
        found = record_candidate(self.archive, proposal, self.population.info.contract)
        if proposal.proposer not in (PERSON, STUDY):
            monitor = self.proposers.monitor_of(proposal.proposer)
            monitor.read(proposal.step, None if isinstance(found, int) else found.message)
        return self.reader.candidate(found) if isinstance(found, int) else None

    async def vet(self, candidate: CandidateRow) -> Verdict:
        """The sandbox's verdict on a candidate. The notes in `refuse_notes` count as refusals, except for seed losses.
        Source code from a language model is traced in the jail. Graphs made by our own code need no tracing.
        """
        graph = backlog.own_graph(self.reader, candidate)
        judge = partial(self.vetter.vet, candidate.source) if graph is None else partial(self.vetter.vet_graph, graph)
        verdict = await asyncio.to_thread(judge)
        return verdict if candidate.origin is Origin.SEED else verdict.refusing(self.config.refuse_notes)

    def record(self, candidate: CandidateRow, verdict: Verdict) -> bool:
        """Record the verdict, whatever it is. Returns whether the loss was accepted and is no duplicate."""
        match = self.duplicates.find(verdict) if verdict.accepted else None
        if match:
            seen = {} if match.difference is None else {"largest_difference": match.difference}
            self.archive.record_verdict(candidate.id, verdict.to_json() | seen, match.candidate_id, match.kind)
        else:
            self.archive.record_verdict(candidate.id, verdict.to_json())
            if verdict.accepted and verdict.graph is not None:
                self.duplicates.add(candidate.id, verdict)
                self.population.losses.keep(candidate.id, verdict.graph)
        return verdict.accepted and match is None

    async def train(self, job: Job | None) -> None:
        """Train and score once if the budget allows. If the same training is running or done, only wait for it."""
        if job is not None and (training := self._begin(job)):
            await training

    def _begin(self, job: Job) -> asyncio.Task[None] | None:
        if job not in self.trainings and not self.allowance.blocked(self.allowance.cost(job)):
            self.trainings[job] = asyncio.create_task(self._train(job))
            self.running.add(job)
        return self.trainings.get(job)

    async def _train(self, job: Job) -> None:
        graph = self.population.losses.graph(job.candidate_id, self.reader)
        try:
            await train_and_record(
                self.archive, self.reader, self.workers, self.population.info.name, job, graph, self.deferred.defer
            )
        except TaskUnusable as error:
            self.task_error = str(error)
        self.running.discard(job)
        self.task_error = self.deferred.resolve(job.rung, self.running) or self.task_error

    # ---- the session ---------------------------------------------------------------------------------------------

    async def _search(self) -> str:
        """Keep candidates and trainings in progress until the budget allows no more. Returns the limit that was reached."""
        again, new_steps = backlog.open_steps(self.reader)
        steps, injections = chain(again, new_steps), Injections(self.archive, self.reader, new_steps)
        left = [*map(self.admit, backlog.unread_replies(self.reader)), *self.reader.unvetted()]
        begun = {asyncio.create_task(self.vet_and_train(c)) for c in {c.id: c for c in left if c}.values()}
        candidates: set[asyncio.Task[None]] = set()
        try:
            while True:
                begun |= {asyncio.create_task(self.vet_and_train(c)) for c in map(self.admit, injections.take()) if c}
                begun |= {
                    training for job in self._due_in_search(ending=not candidates) if (training := self._begin(job))
                }
                while (limit := self.allowance.limit()) is None and len(candidates) < self.proposers.at_once:
                    candidates.add(asyncio.create_task(self.candidate(next(steps))))
                    await asyncio.sleep(0)  # lets the task reserve its cost before the limit is checked again
                if not begun and not candidates:
                    return limit or "nothing is left to do"
                done, _ = await asyncio.wait(begun | candidates, return_when=asyncio.FIRST_COMPLETED)
                begun, candidates = begun - done, candidates - done
                for task in done:
                    task.result()
        finally:
            await cancel([*begun, *candidates])

    async def _final(self) -> None:
        """Train the finalists, the known losses and the arms of the baseline on fresh seeds, as far as the budget allows."""
        population = self.population.advance(self.reader)
        entries, info = population.entries(), population.info
        finalists = leaders(entries, info, population.ladder, population.seeds)[: population.ladder.finalists]
        relations = await asyncio.to_thread(relations_of, finalists, population, self.reader, self.vetter)
        rule = partial(final, also=published_arms(relations, population))
        seeds = with_fresh_seeds(population.seeds, population.ladder.finalist_seeds)
        if self._not_begun(rule(entries, info, population.ladder, seeds)):
            grid = baseline_grid(entries, info, population.ladder)
            deciding = seeds.final[: population.ladder.finalist_seeds]
            self.archive.event(EventKind.FINAL, final_event(final_rung(info), deciding, relations, info, grid))
        while jobs := self._not_begun(rule(entries, info, population.ladder, population.advance(self.reader).seeds)):
            await asyncio.gather(*(self.train(job) for job in jobs))

    # ---- what is due ---------------------------------------------------------------------------------------------

    def _due_in_search(self, *, ending: bool) -> list[Job]:
        """The trainings that the ladder asks for now. They leave budget for the first trainings of proposals and for the final.

        `ending`: no proposal is in progress, so if none may be requested either, those come that wait for the end.
        """
        ending = ending and self.allowance.limit() is not None
        due = self.population.advance(self.reader).screening.due(ending=ending)
        reserve = self.allowance.reserve.final if ending else self.allowance.reserve.whole
        return self._not_begun(due, self.allowance.proposal_reserve(self.proposers.at_once) + reserve)

    def _not_begun(self, jobs: Iterable[Job], reserve: Cost = NO_COST) -> list[Job]:
        """Those of `jobs` that are not begun yet and that the budget allows beside the `reserve`."""
        return self.allowance.affordable((job for job in jobs if job not in self.trainings), reserve)

    def _seeds_without_result(self) -> list[Job]:
        """Unfinished first trainings of seed losses of an earlier session. They must end before the first proposal."""
        losses = [i for i in self.population.recorded_seed_losses if i.trainable]
        jobs = ((self.allowance.first_training(loss.id), loss) for loss in losses)
        return [job for job, loss in jobs if (job.rung, job.seed) not in loss.results]

    def _trainings(self) -> Trainings:
        rungs = [*(job.rung for job in self.running), *[self.studies.rung] * self.studies.running]
        return Trainings(len(self.trainings) + self.studies.begun, rungs)

    def _raise_if_stopped(self) -> None:
        if stopped := self.task_error or self.proposers.ended:
            raise CampaignStopped(stopped)
        self.deferred.record()
