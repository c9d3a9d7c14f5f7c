"""The campaign: propose -> vet -> evaluate -> record -> select, several candidates under way at once.

Each step is a transaction of its own when it happens, so the archive alone says what is left to do. Resuming is therefore
not a special way through this file: every session first finishes what the archive shows as begun.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from analysis.recorded import recorded_parents
from archive.query import Reader
from archive.records import CandidateRow, EventKind, Origin, ProposalRow
from archive.store import Archive
from evo.campaign.backlog import add_seed_losses, open_steps, own_graph, unread_replies, unvetted
from evo.campaign.doubts import Doubts
from evo.campaign.finalists import final_event, fresh, near_arms
from evo.campaign.patience import Patience
from evo.campaign.recorder import Asking, AttemptRecorder, NoRoom
from evo.campaign.training import TaskUnusable, train
from evo.config.schema import Config
from evo.proposing.propose import Proposer, Unusable, read_reply
from evo.proposing.request import Request, request_for
from evo.search.budget import NOTHING, Cost, Spent, lacking
from evo.search.duplicates import Identities
from evo.search.population import Population
from evo.search.reserved import kept_for_final
from fitness.chat.errors import LLMError
from fitness.schedule.final import baseline_grid, final, final_rung
from fitness.schedule.ladder import Job, RaceEntry, Seeds, leaders, screening
from fitness.workers.pool import WorkerPool
from sandbox.identity.relation import Relation
from sandbox.verdicts.verdict import Verdict
from sandbox.vetting.pool import VetPool


class CampaignStopped(Exception):
    """The session cannot go on; the same command continues the run once the cause is fixed."""


class Phase(StrEnum):
    """What a session is at, in this order."""

    PREPARING = "preparing"
    SEEDS = "seed losses"
    SEARCH = "search"
    FINAL = "final"


@dataclass
class Campaign:
    """One session of a run. Everything it knows of earlier ones it reads from the archive."""

    config: Config
    archive: Archive
    reader: Reader
    population: Population
    identities: Identities
    proposer: Proposer
    vetter: VetPool
    workers: WorkerPool
    phase: Phase = Phase.PREPARING
    trainings: dict[Job, asyncio.Task[None]] = field(default_factory=dict)
    calls: dict[int, Cost] = field(default_factory=dict)
    """What the requests under way may cost at most, by step."""
    asking: dict[int, Asking] = field(default_factory=dict)
    """How the requests under way stand, by step."""
    awaited: int = 0
    """Losses under way that have not come to their first training: each has one reserved."""
    largest_call: Cost = field(default_factory=lambda: Cost(proposals=1))
    """The most that a call of this session could have cost."""
    began: float = field(default_factory=time.monotonic)
    kept: Cost = NOTHING
    """What the search leaves to the final."""
    before: Spent = field(default_factory=Spent)
    """What earlier sessions spent."""
    patience: Patience = field(default_factory=Patience)
    """With the endpoint."""
    doubts: Doubts = field(init=False)
    broken: str | None = None
    """Why the task cannot be used."""

    def __post_init__(self) -> None:
        self.doubts = Doubts(self.archive, self.reader, self.population)

    async def run(self) -> str:
        """Search until a budget is reached, measure the final, and say what ended the search. Raises CampaignStopped."""
        try:
            return await self._phases()
        finally:  # a gather that is cancelled does not wait for what it gathered
            await _cancel(self.trainings.values())

    async def _phases(self) -> str:
        """The seed losses, the search, the final."""
        self.phase, self.began = Phase.SEEDS, time.monotonic()
        self.population.advance(self.reader)
        self.before = self.population.spent(self.population.recorded_seconds)
        self.kept = Cost(evaluations=kept_for_final(self.config, self.population))
        add_seed_losses(self.archive, self.reader, self.population.seed_losses)
        cut_off = [self.evaluate(job) for job in self._seeds_without_result()]
        await asyncio.gather(*cut_off, *(self.take_up(c) for c in unvetted(self.reader) if c.origin is Origin.SEED))
        self.phase = Phase.SEARCH
        reason = await self._search()
        self._require_sound()
        self.phase = Phase.FINAL
        await self._final()
        self._require_sound()
        self.archive.event(EventKind.FINISHED, {"reason": reason})
        return reason

    async def candidate(self, step: int) -> None:
        """The way of one candidate; each of these steps records what came of it before the next begins."""
        with self._training_reserved():
            request = self.select(step)
            reply = await self.propose(request)
            candidate = self.admit(reply)
            training = await self.judge(candidate)
        await self.evaluate(training)

    async def take_up(self, candidate: CandidateRow) -> None:
        """The rest of that way for a loss that is there: a seed loss, or what an earlier session left."""
        with self._training_reserved():
            training = await self.judge(candidate)
        await self.evaluate(training)

    async def judge(self, candidate: CandidateRow | None) -> Job | None:
        """Vet a candidate. Returns its first training, if it may be trained and is new."""
        if candidate is None:
            return None
        verdict = await self.vet(candidate)
        return self._first_training(candidate.id) if self.record(candidate, verdict) else None

    # ---- the steps -----------------------------------------------------------------------------------------------

    def select(self, step: int) -> Request:
        """Operator and parents for a step, chosen from what is recorded up to now."""
        return request_for(self.population.advance(self.reader), step, self.reader)

    async def propose(self, request: Request) -> ProposalRow | None:
        """Ask for a loss. Committed as requested before the call leaves, as received before anything is done with it."""
        attempts = [p.attempt for p in self.reader.proposals() if p.step == request.step]
        room = partial(self._room, request.step)
        recorder = AttemptRecorder(self.archive, self.proposer, request, room, self.patience.tell_once)
        cost = Cost(1, 0, *self.proposer.worst_case(request))
        self.largest_call = max(self.largest_call, cost, key=lambda c: (c.tokens, c.usd))
        if self._lacking(cost, self.kept):
            return None
        self.calls[request.step] = cost
        self.asking[request.step] = recorder.asking
        try:
            reply = await self.proposer.ask(request, recorder, 1 + max(attempts, default=0))
            self.archive.receive_proposal(
                recorder.proposal, reply.text, reply.tokens_in, reply.tokens_out, reply.usd, reply.seconds
            )
        except LLMError as error:
            self.patience.failed(request.step, error)
            return None
        except NoRoom:
            return None
        except asyncio.CancelledError:
            recorder.cut_off()
            raise
        finally:
            del self.calls[request.step], self.asking[request.step]
        self.patience.replied(reply.text)
        return self.reader.proposal(recorder.proposal)

    def admit(self, proposal: ProposalRow | None) -> CandidateRow | None:
        """The candidate in a reply, recorded with its parents; None where there is no reply or no loss in it."""
        if proposal is None:
            return None
        contract = self.population.info.contract
        suggestion = read_reply(proposal.proposer, proposal.reply or "", contract)
        if isinstance(suggestion, Unusable):
            self.archive.fail_proposal(proposal.id, suggestion.message)
            self.patience.found_nothing(proposal.step, suggestion.message)
            return None
        self.patience.found()
        parents = recorded_parents(proposal)
        return self.reader.candidate(
            self.archive.add_candidate(
                "proposal", suggestion.name, suggestion.thought, suggestion.source, contract, proposal.id, parents
            )
        )

    async def vet(self, candidate: CandidateRow) -> Verdict:
        """The sandbox's verdict, with the notes that this run refuses. Source from a model is traced in the jail; graphs of our
        own need no tracing."""
        graph = own_graph(self.reader, candidate)
        if graph is not None:
            verdict = await asyncio.to_thread(self.vetter.vet_graph, graph)
        else:
            verdict = await asyncio.to_thread(self.vetter.vet, candidate.source)
        return verdict if candidate.origin is Origin.SEED else verdict.refusing(self.config.refuse_notes)

    def record(self, candidate: CandidateRow, verdict: Verdict) -> bool:
        """Record the verdict, refusals too. True where the loss may be trained and no earlier one is the same."""
        twin = self.identities.twin(verdict) if verdict.accepted else None
        if twin:
            seen = {} if twin.difference is None else {"largest_difference": twin.difference}
            self.archive.record_verdict(candidate.id, verdict.to_json() | seen, twin.candidate_id, twin.kind)
        else:
            self.archive.record_verdict(candidate.id, verdict.to_json())
            if verdict.accepted and verdict.graph is not None:
                self.identities.add(candidate.id, verdict)
                self.population.keep_graph(candidate.id, verdict.graph)
        return verdict.accepted and twin is None

    async def evaluate(self, job: Job | None) -> None:
        """Train and score once, if the budget allows; a training that is under way or done is only waited for."""
        if job is not None and (training := self._begin(job)):
            await training

    def _begin(self, job: Job) -> asyncio.Task[None] | None:
        if job not in self.trainings and not self._lacking(self._cost(job)):
            self.trainings[job] = asyncio.create_task(self._train(job))
        return self.trainings.get(job)

    async def _train(self, job: Job) -> None:
        graph = self.population.graph(job.candidate_id, self.reader)
        try:
            await train(
                self.archive, self.reader, self.workers, self.population.info.name, job, graph, self.doubts.hold
            )
        except TaskUnusable as error:
            self.broken = str(error)
        under_way = [other for other, task in self.trainings.items() if other != job and not task.done()]
        self.broken = self.doubts.settle(job.rung, under_way) or self.broken

    # ---- the session ---------------------------------------------------------------------------------------------

    async def _search(self) -> str:
        """Keep candidates and trainings under way until the budget allows no more. Says which limit it was."""
        steps = open_steps(self.reader)
        left = [*map(self.admit, unread_replies(self.reader)), *unvetted(self.reader)]
        begun = {asyncio.create_task(self.take_up(candidate)) for candidate in {c.id: c for c in left if c}.values()}
        candidates: set[asyncio.Task[None]] = set()
        try:
            while True:
                begun |= {training for job in self._due(screening) if (training := self._begin(job))}
                while (limit := self._limit()) is None and len(candidates) < self.at_once:
                    candidates.add(asyncio.create_task(self.candidate(next(steps))))
                    await asyncio.sleep(0)  # the task must have reserved its cost before the limit is asked again
                if not begun and not candidates:
                    return limit or "nothing is left to do"
                done, _ = await asyncio.wait(begun | candidates, return_when=asyncio.FIRST_COMPLETED)
                begun, candidates = begun - done, candidates - done
                for task in done:
                    task.result()
        finally:
            await _cancel([*begun, *candidates])

    async def _final(self) -> None:
        """Measure the leaders and the baselines on fresh seeds, as far as the budget allows, and what claims depend on."""
        population = self.population.advance(self.reader)
        entries, info = population.entries(), population.info
        chosen = leaders(entries, info, population.ladder, population.seeds)
        relations = await self._relations(chosen[: population.ladder.finalists])
        rule = partial(final, also=near_arms(relations, population))
        seeds = fresh(population.seeds, population.ladder.finalist_seeds)
        if self._due(rule, seeds):
            grid = baseline_grid(entries, info, population.ladder)
            deciding = seeds.final[: population.ladder.finalist_seeds]
            self.archive.event(EventKind.FINAL, final_event(final_rung(info), deciding, relations, info, grid))
        while jobs := self._due(rule):
            await asyncio.gather(*(self.evaluate(job) for job in jobs))

    async def _relations(self, finalists: Sequence[RaceEntry]) -> dict[int, Relation | None]:
        """How each finalist relates to the published losses, at the beta that it is trained with."""
        beta = self.population.info.beta
        graphs = {entry.candidate_id: self.population.graph(entry.candidate_id, self.reader) for entry in finalists}
        return {id: await asyncio.to_thread(self.vetter.nearest_known, graph, beta) for id, graph in graphs.items()}

    @property
    def at_once(self) -> int:
        """How many candidates may be under way: more would choose their parents from staler results."""
        if self.config.search.mode == "chat":
            return 1
        return self.config.search.in_flight or self.population.workers + 1

    @property
    def seconds(self) -> float:
        """Seconds that the campaign has run, over all sessions."""
        return self.before.seconds + time.monotonic() - self.began

    @property
    def used(self) -> Spent:
        """What is recorded as spent."""
        return self.population.advance(self.reader).spent(self.seconds)

    # ---- the budget ----------------------------------------------------------------------------------------------

    @property
    def under_way(self) -> Cost:
        """What calls and trainings under way may cost at most, with the first trainings that are reserved for losses."""
        begun = Cost(evaluations=self.before.evaluations + len(self.trainings) - self.used.evaluations)
        judged = self.trainings.items() if self.population.info.services else ()  # most tasks pay nobody
        judging = [self._judging(job.rung) for job, task in judged if not task.done()]
        return sum([begun, *judging, *self.calls.values()], self._first_cost.times(self.awaited))

    def _lacking(self, wanted: Cost, held: Cost = NOTHING) -> str | None:
        """Why something of this cost may not be begun, or None."""
        return (
            self.broken or self.patience.ended or lacking(self.config.budget, self.used, self.under_way + held, wanted)
        )

    def _limit(self) -> str | None:
        """Why no further proposal may be asked for, or None. What cannot be trained is not paid for."""
        return self._lacking(self.largest_call + self._first_cost, self.kept)

    def _held(self) -> Cost:
        """What is kept for the first trainings of proposals that may still be begun."""
        if self._limit():
            return NOTHING
        wanted = self.config.budget.proposals
        left = self.at_once if wanted is None else wanted - self.used.proposals - len(self.calls)
        return self._first_cost.times(max(0, min(self.at_once - self.awaited, left)))

    def _due(self, rule: Callable[..., tuple[Job, ...]], seeds: Seeds | None = None) -> list[Job]:
        """Trainings that the ladder asks for, that have not been started in this session, and that the budget allows.

        On the seeds that the archive has, unless told otherwise.
        """
        population = self.population.advance(self.reader)
        jobs = rule(population.entries(), population.info, population.ladder, seeds or population.seeds)
        due, taken = [], NOTHING
        held = self._held() + self.kept if rule is screening else NOTHING
        for job in jobs:
            first = job == self._first_training(job.candidate_id)
            if job not in self.trainings and not self._lacking(self._cost(job), taken if first else taken + held):
                due.append(job)
                taken += self._cost(job)
        return due

    def _seeds_without_result(self) -> list[Job]:
        """First trainings of seed losses that an earlier session began: nothing is asked for before they have ended."""
        seeds = [i for i in self.population.individuals.values() if i.is_seed_loss and i.trainable]
        jobs = {self._first_training(i.id): i for i in seeds}
        return [job for job, loss in jobs.items() if (job.rung, job.seed) not in loss.results]

    def _first_training(self, candidate_id: int) -> Job:
        return Job(candidate_id, self.population.rungs[0], self.population.seeds.search[0])

    @property
    def _first_cost(self) -> Cost:
        return self._cost(self._first_training(0))

    def _cost(self, job: Job) -> Cost:
        return Cost(evaluations=1) + self._judging(job.rung)

    def _judging(self, rung: str) -> Cost:
        usage = self.population.info.judging(rung)
        return Cost(tokens=usage.tokens, usd=usage.usd or 0.0)

    @contextmanager
    def _training_reserved(self) -> Iterator[None]:
        """Keeps one training for a loss, until it comes to it or turns out to need none."""
        self.awaited += 1
        try:
            yield
        finally:
            self.awaited -= 1

    def _room(self, step: int) -> str | None:
        """Why a further attempt of a request under way may not be made, or None."""
        cost = self.calls.pop(step)
        try:
            return self._lacking(cost, self.kept)
        finally:
            self.calls[step] = cost

    def _require_sound(self) -> None:
        if stopped := self.broken or self.patience.ended:
            raise CampaignStopped(stopped)
        self.doubts.release()


async def _cancel(tasks: Any) -> None:
    pending = [t for t in tasks if not t.done()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
