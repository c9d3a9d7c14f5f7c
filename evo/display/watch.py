"""Progress of a campaign in figures: work in progress, last results, remaining time. Read-only."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime

from analysis.output.encode import one_line
from archive.records import EventKind, EventRow
from evo.campaign.asking.recorder import PendingRequest
from evo.campaign.loop import Campaign, Phase
from evo.display.log_lines import refused
from evo.search.budget_split import most_study_trainings
from evo.search.estimate import Pace, Span, Workload, of_seed_losses, proposals_left, remaining_work, seconds, whole_run
from evo.search.individuals import Individual
from fitness.schedule.ladder import Job
from fitness.schedule.planned import preparation_of_seeds
from sandbox.verdicts.verdict import VerdictStatus

LAST = 12
"""Number of recent candidates that the view can show."""


@dataclass(frozen=True, slots=True)
class LastOutcome:
    """Outcome of a candidate, or of a reply without a loss."""

    who: str
    what: str


@dataclass
class Watch:
    """Observer of one session. `new_events` updates it; call it before any other method."""

    campaign: Campaign
    pace: Pace = field(default_factory=Pace)
    _seen: int = 0
    _last: deque[int | LastOutcome] = field(default_factory=lambda: deque(maxlen=LAST))
    """Ids of candidates, and outcomes of replies without a loss."""
    _asked: dict[int, datetime] = field(default_factory=dict)
    """When a step's request was sent."""

    def __post_init__(self) -> None:
        population = self.campaign.population.advance(self.campaign.reader)
        self._seen, ledger = population.seen, population.ledger
        for rung, latest in ledger.trainings.items():
            for took in latest:
                self.pace.trained(rung, took)
        self.pace.proposals.extend(ledger.replies)

    def new_events(self) -> list[EventRow]:
        """Read the events recorded since the last call, and return them."""
        events = self.campaign.reader.events(after=self._seen)
        for event in events:
            self._seen = event.id
            self._take(event)
        self.campaign.population.advance(self.campaign.reader)
        return events

    def _take(self, event: EventRow) -> None:
        reader = self.campaign.reader
        match event.kind:
            case EventKind.EVALUATION_SCORED if event.evaluation_id is not None:
                row = reader.evaluation(event.evaluation_id)
                if row.seconds is not None:
                    self.pace.trained(row.rung, row.seconds)
            case EventKind.PROPOSAL_REQUESTED if event.proposal_id is not None:
                self._asked.setdefault(reader.proposal(event.proposal_id).step, datetime.fromisoformat(event.at))
            case EventKind.PROPOSAL_FAILED if event.proposal_id is not None:
                proposal = reader.proposal(event.proposal_id)
                if proposal.reply is not None:
                    self._answered(proposal.step, event)
                    error = one_line(proposal.error or "", 120)
                    self._last.append(LastOutcome(f"step {proposal.step}", f"no loss in the reply: {error}"))
            case EventKind.VERDICT_RECORDED if event.candidate_id is not None:
                self._last.append(event.candidate_id)
                row_id = reader.candidate(event.candidate_id).proposal_id
                if row_id is not None:
                    self._answered(reader.proposal(row_id).step, event)

    def _answered(self, step: int, event: EventRow) -> None:
        asked = self._asked.pop(step, None)
        if asked is not None:
            self.pace.proposals.append((datetime.fromisoformat(event.at) - asked).total_seconds())

    # ---- progress ------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> list[Job]:
        """Trainings in progress or waiting for a worker."""
        return [*self.campaign.running]

    def outcomes(self, number: int) -> list[LastOutcome]:
        """Outcomes of the last `number` candidates, the newest first."""
        newest = list(self._last)[: -number - 1 : -1]
        return [last if isinstance(last, LastOutcome) else self._outcome(last) for last in newest]

    def _outcome(self, candidate: int) -> LastOutcome:
        individual = self.campaign.population.individuals[candidate]
        return LastOutcome(f"{candidate} {one_line(individual.name, 40)}", self._became(individual))

    def _became(self, individual: Individual) -> str:
        population, reader = self.campaign.population, self.campaign.reader
        if individual.status is VerdictStatus.REFUSED:
            return refused(reader, individual.id, 120)
        if individual.duplicate_of is not None:
            original = population.individuals[individual.duplicate_of]
            return f"duplicate of {original.id} {one_line(original.name, 40)}"
        if individual.failed:
            failed = next(e for e in reader.evaluations(individual.id) if e.reason)
            return f"training failed at rung {failed.rung}: {one_line(f'{failed.reason}: {failed.detail}', 120)}"
        score = population.score(individual)
        if score is None:
            return "accepted, its first training has not ended yet"
        rung, result = score
        return f"accepted, fitness {result.mean:.3f} at rung {rung}"

    def left(self) -> Span | None:
        """Estimated seconds until the campaign ends; None if no budget limits it."""
        campaign = self.campaign
        budget, used = campaign.config.budget, campaign.allowance.used
        population = campaign.population
        limits = []
        if budget.seconds is not None:
            clock = max(0.0, budget.seconds - used.seconds)
            limits.append(Span(clock, clock))
        work = self._work()
        trainings = None if budget.evaluations is None else max(0.0, budget.evaluations - used.evaluations)
        if work is not None:
            now = time.monotonic()
            oldest = max((now - request.began for request in campaign.requests.values()), default=0.0)
            needed = seconds(work, self.pace, population.info, population.workers, campaign.proposers.at_once, oldest)
            wanted = Span(work.trainings, work.trainings + sum(work.claims.values()))
            shares = [1.0 if trainings is None or n <= trainings else trainings / n for n in wanted]
            limits.append(Span(needed.least * shares[0], needed.most * shares[1]))
        elif trainings is not None:
            usual, slow = (
                self.pace.training(population.rungs[0], population.info, slow=slow) for slow in (False, True)
            )
            limits.append(Span(trainings * usual / population.workers, trainings * slow / population.workers))
        return Span(min(one.least for one in limits), min(one.most for one in limits)) if limits else None

    def _work(self) -> Workload | None:
        """The work that is left under the budget; None if the budget does not limit it."""
        campaign = self.campaign
        population, used = campaign.population, campaign.allowance.used
        pending: dict[str, float] = {}
        for job in self.pending:
            pending[job.rung] = pending.get(job.rung, 0.0) + 1
        info, ladder, seed_losses = population.info, population.ladder, population.all_seed_losses
        if campaign.phase is Phase.FINAL:
            whole = whole_run(info, ladder, seed_losses, used.proposals)
            if not any(job.seed in population.seeds.final for job in campaign.trainings):
                return Workload({}, whole.final, claims=whole.claims)
            beyond = max(0.0, population.measured_in_final + sum(pending.values()) - sum(whole.final.values()))
            return Workload({}, pending, claims={rung: max(0.0, n - beyond) for rung, n in whole.claims.items()})
        left = proposals_left(campaign.config.budget, used)
        if left is None:
            return None
        work = remaining_work(info, ladder, seed_losses, population.tally().accepted, used.proposals, left)
        search = {rung: n + pending.get(rung, 0.0) for rung, n in work.search.items()}
        if campaign.phase is not Phase.SEARCH:  # some trainings of seed losses are not queued yet
            for rung, n in of_seed_losses(info, ladder, seed_losses).items():
                done = sum(len(i.searched.get(rung, ())) for i in population.recorded_seed_losses)
                search[rung] += max(0.0, n - done - pending.get(rung, 0.0))
        first = population.rungs[0]
        search[first] = search.get(first, 0.0) + most_study_trainings(campaign.config, left)
        preparation = 0.0 if self.pace.measured else preparation_of_seeds(info, ladder)  # measured trainings include it
        return replace(work, search=search, preparation=preparation)


def age(request: PendingRequest) -> str:
    """State of a request: `attempt 2, 34 s`, or `attempt 2 in 5 s: ERROR` while it waits for a retry."""
    now = time.monotonic()
    if not request.attempt:
        return f"waits for its turn, {now - request.began:.0f} s"
    if request.again_at is None:
        return f"attempt {request.attempt}, {now - request.since:.0f} s"
    return (
        f"attempt {request.attempt + 1} in {max(0.0, request.again_at - now):.0f} s: {one_line(request.trouble, 120)}"
    )
