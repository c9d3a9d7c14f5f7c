"""State of a search, rebuilt from the archive's events: candidates, their fitness, spending.

In a running search the population follows the newest event. In a replay it stops at the event that a recorded step had seen, and
the selection from that state must be equal to the recorded one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Self

from analysis.final import seeds_of
from analysis.recorded import ReadAhead, Rows, island_of, recorded_parents, refusing, verdict_on
from analysis.snapshot import SINGLES_OUT
from analysis.steering import Steering
from archive.errors import CorruptArchive
from archive.query import Reader
from archive.records import BY_PEOPLE, PERSON, SUMMARISE, EventKind, EventRow, Role
from archive.running_time import RunningTime
from archive.spending import ends_step
from evo.config.schema import Config
from evo.search.budget import Spent
from evo.search.individuals import Individual, Losses, Score, Tally, change_of, differences, first_difference
from evo.search.ledger import Ledger
from evo.search.operators import STUDIES, role_of
from evo.search.rng import derive
from evo.search.seed_losses import baseline_of_new_run, seed_losses
from evo.search.selection.bandit import arm_name
from evo.search.selection.columns import Members
from evo.search.selection.members import Member
from evo.search.selection.pooling import Pooling
from fitness.schedule.ladder import RaceEntry, Seeds
from fitness.schedule.screening import Screening
from fitness.task.protocol import TaskInfo
from sandbox import known
from sandbox.verdicts.verdict import VerdictStatus

SEARCH_SEEDS = 64
LATEST_FAILED = 40
"""Number of the latest failed requests that are kept, for prompts."""
MANY = 2_000
"""Number of events from which on all rows are read at once."""


class Population:
    """State of a search. Only `advance` changes it.

    `given`: number of the user's seed losses that are planned and not recorded yet. Raises ConfigError if the configuration names
    unknown seed losses.
    """

    def __init__(self, config: Config, info: TaskInfo, workers: int, *, given: int = 0) -> None:
        self.config = config
        self.info = info
        self.workers = workers
        self._given = given
        self.rungs = tuple(r.name for r in info.search_rungs)
        self.seed_losses = seed_losses(config, info)
        self.baseline_name = baseline_of_new_run(config, info)
        self.seeds = Seeds(search=tuple(derive(config.seed, "training", i) for i in range(SEARCH_SEEDS)), final=())
        """Training seeds. Those of the final are read from its events: none before it begins."""
        self._search_seeds = frozenset(self.seeds.search)
        self.ladder = config.ladder
        self.individuals: dict[int, Individual] = {}
        self.studies: dict[int, tuple[str, int]] = {}
        """The studies begun so far by step: operator and candidate."""
        self.summary = ""
        """The latest reply to a request for a summary."""
        self.steering = Steering()
        """The pins and bans of people."""
        self.seen = 0
        self._running_time = RunningTime()
        self.members = Members()
        """All vetted candidates as selection takes them. Fitness is the `advantage` over the baseline."""
        self.screening = Screening(info, config.ladder, self.seeds)
        """Progress of the candidates on the ladder."""
        self.baseline: Individual | None = None
        """The baseline that the archive names; None before it is recorded as a candidate."""
        self.recorded_seed_losses: list[Individual] = []
        self.ledger = Ledger(config, info)
        self._tally = Tally()
        self._uses: Counter[int] = Counter()
        self._noise = {rung: Pooling() for rung in self.rungs}
        """Noise of the fitness at each rung."""
        self.noise_of_differences = Pooling()
        """Noise of the paired difference to the baseline."""
        self._reached: dict[str, list[Individual]] = {rung: [] for rung in self.rungs}
        """The proposals with a score at each rung."""
        self._scored: set[str] = set()
        """The rungs at which any training was scored."""
        self.losses = Losses()
        """Graphs and texts of the candidates."""
        self.failed_requests: deque[int] = deque(maxlen=LATEST_FAILED)
        """Proposals of the latest failures, oldest first; one for each failed attempt, and for each reply without a loss."""

    def advance(self, reader: Reader, upto: int | None = None, rows: Rows | None = None) -> Self:
        """Apply the new events up to id `upto`, by default all. Returns self.

        `rows`: where to look rows up; by default in `reader`, in memory if there are many events.
        """
        if not self.seen:
            self.baseline_name = reader.run().baseline
        last = reader.last_event() if upto is None else upto
        if last > self.seen:
            events = reader.as_of(last).events(after=self.seen)
            rows = rows or (ReadAhead(reader) if len(events) > MANY else reader)
            for event in events:
                self._take(event, rows)
            self.seen = last
        return self

    # ---- state ---------------------------------------------------------------------------------------------------

    @property
    def recorded_seconds(self) -> float:
        """Total seconds of the sessions, each from its start to its last event."""
        return self._running_time.seconds

    @property
    def all_seed_losses(self) -> int:
        """Number of seed losses: those of the configuration, and those that the user gave."""
        return self._given + len({*self.seed_losses, *(i.name for i in self.recorded_seed_losses)})

    @property
    def begun_seed_losses(self) -> int:
        """Number of seed losses that have a result or will never have one (refused or duplicate)."""
        return sum(bool(i.results) or (i.status is not None and not i.trainable) for i in self.recorded_seed_losses)

    @property
    def measured_in_final(self) -> int:
        """Number of finished trainings of the final."""
        final = frozenset(self.seeds.final)
        return sum(key[1] in final for i in self.individuals.values() for key in (*i.results, *i.tuned))

    def entries(self) -> list[RaceEntry]:
        """The trainable candidates with their results, as the final takes them, in order of creation."""
        return [i.entry for i in self.individuals.values() if i.entry is not None]

    def scored_at(self, rung: str) -> bool:
        """Whether any training at this rung was scored."""
        return rung in self._scored

    def advantage(self, individual: Individual) -> tuple[float, int] | None:
        """Mean paired difference to the baseline, and the number of search seeds it is based on; None without a common seed."""
        return None if self.baseline is None else self.lead(individual, self.baseline)

    def lead(self, first: Individual, second: Individual) -> tuple[float, int] | None:
        """Mean paired difference first minus second, and the number of search seeds it is based on; None without a common seed.

        Measured at the rung of highest fidelity where both have a common search seed. With the same seed both losses meet the same
        data, so the difference is less noisy than the fitness. Losses that reached different rungs can be compared by it.
        """
        for rung in reversed(self.rungs):
            if found := differences(first, second, rung):
                return fmean(found), len(found)
        return None

    def children(self, parents: Sequence[int]) -> list[Individual]:
        """The vetted losses that were made from any of these parents, the latest first."""
        return [self.individuals[id] for id in reversed(self.members.children(parents))]

    def score(self, individual: Individual) -> tuple[str, Score] | None:
        """The search rung of highest fidelity that the candidate has reached, and its score there; None without a score."""
        for rung in reversed(self.rungs):
            scored = individual.searched.get(rung)
            if scored:
                return rung, Score.of(scored, self._deviation(rung))
        return None

    def best(self) -> Individual | None:
        """The proposal with the largest advantage, of those at the rung of highest fidelity that any proposal has reached.

        Losses that treat single pairs specially (`singles_out`) are left out.
        """
        for rung in reversed(self.rungs):
            reached = [i for i in self._reached[rung] if i.trainable and not i.singles_out]
            rated = [(a[0], i) for i in reached if not i.failed and (a := self.advantage(i))]
            if rated:
                return max(rated, key=lambda pair: (pair[0], -pair[1].id))[1]
        return None

    def tally(self) -> Tally:
        """Number of proposals by outcome so far."""
        return self._tally

    def spent(self, seconds: float) -> Spent:
        """The spending so far. `seconds`: running time over all sessions."""
        return self.ledger.spent(seconds)

    def banned(self, individual: Individual) -> bool:
        """Whether a person has excluded it from being a parent and from prompts."""
        return self.steering.bans(individual.id, individual.descriptors)

    # ---- applying events -----------------------------------------------------------------------------------------

    def _take(self, event: EventRow, reader: Rows) -> None:
        if event.kind in BY_PEOPLE:  # perhaps between two sessions, so not on the clock
            self.steering.take(event)
            for i in self.individuals.values():
                self.members.steer(i.id, i.id in self.steering.pinned, self.banned(i))
            return
        self._running_time.take(event)
        self.ledger.take(event, reader)
        handler = _HANDLERS.get(event.kind)
        if handler:
            handler(self, event, reader)

    def _received(self, event: EventRow, reader: Rows) -> None:
        assert event.proposal_id is not None
        row = reader.proposal(event.proposal_id)
        if row.operator == SUMMARISE:
            self.summary = (row.reply or "").strip() or self.summary
        self.members.replies.take(row, len(self.members))

    def _requested(self, event: EventRow, reader: Rows) -> None:
        assert event.proposal_id is not None
        row = reader.proposal(event.proposal_id)
        if row.operator in STUDIES:
            for parent, _ in recorded_parents(row):
                self.studies[row.step] = row.operator, self._individual(parent).id

    def _failed(self, event: EventRow, reader: Rows) -> None:
        assert event.proposal_id is not None
        self.failed_requests.append(event.proposal_id)
        row = reader.proposal(event.proposal_id)
        if ends_step(event) or (row.reply is not None and row.operator not in STUDIES):
            self._tally += Tally(unusable=1)
            self.members.replies.lose(row, len(self.members))

    def _added(self, event: EventRow, reader: Rows) -> None:
        assert event.candidate_id is not None
        row = reader.candidate(event.candidate_id)
        operator: str | None = None
        island, arm, proposer, change = len(self.individuals) % self.config.search.islands, "", "", ""
        if row.proposal_id is not None:
            proposal = reader.proposal(row.proposal_id)
            island = island_of(proposal)
            if proposal.proposer != PERSON:  # else it belongs to no arm, and like a seed loss to all islands
                operator, proposer = proposal.operator, proposal.proposer
                arm = arm_name(proposer, proposal.temperature or 0.0)
                change = change_of(proposal)
        parents = tuple(p.parent for p in reader.parents(row.id))
        answered = self.spent(0.0).proposals
        individual = Individual(
            row.id, row.name, row.origin, operator, island, arm, proposer, parents, answered, change
        )
        self.individuals[row.id] = individual
        if individual.is_seed_loss:
            self.recorded_seed_losses.append(individual)
            if self.baseline is None and individual.name == self.baseline_name:
                self.baseline = individual
        for parent in parents if role_of(operator) is not Role.EXPLORED_FROM else ():
            self._uses[parent] += 1
            self.members.use(parent, self._uses[parent])

    def _vetted(self, event: EventRow, reader: Rows) -> None:
        assert event.candidate_id is not None
        verdict = verdict_on(event.candidate_id, reader)
        individual = self._individual(event.candidate_id)
        individual.status = VerdictStatus(verdict.status)
        individual.duplicate_of = verdict.duplicate_of
        individual.descriptors = verdict.descriptors or {}
        findings = reader.findings(event.candidate_id)
        individual.rules = tuple(f.rule for f in refusing(findings))
        individual.singles_out = any(f.rule == SINGLES_OUT for f in findings)
        if individual.trainable:
            individual.entry = RaceEntry(
                individual.id,
                individual.is_seed_loss,
                individual.results,
                individual is self.baseline,
                individual.tuned,
                self._reads_beta(individual),
            )
            self.screening.take(individual.entry)
        self._count(individual, Tally())
        self.members.add(self._member(individual), self._fitness(individual)[1])

    def _measured(self, event: EventRow, reader: Rows) -> None:
        assert event.evaluation_id is not None
        row = reader.evaluation(event.evaluation_id)
        individual = self._individual(row.candidate_id)
        if row.beta is not None or row.learning_rate is not None:
            individual.tuned[row.rung, row.seed, row.beta, row.learning_rate] = row.fitness
            return
        before = individual.tally
        individual.results[row.rung, row.seed] = row.fitness
        if row.fitness is not None:
            self._scored.add(row.rung)
            if row.seed in self._search_seeds:
                self._searched(individual, row.rung, row.seed, row.fitness)
        self._count(individual, before)
        if individual.entry is not None:
            self.screening.take(individual.entry)
        # The fitness of every member is a difference to the baseline, so a new result of the baseline changes all of them. There
        # are few: one for each stage of the ladder.
        changed = [*self.individuals.values()] if individual is self.baseline else [individual]
        for other in changed:
            self._compare(other)
        noise = self.noise_of_differences.pooled
        self.members.set_noise(None if noise is None else noise.deviation)
        for other in changed:
            fitness, seeds = self._fitness(other)
            self.members.rate(other.id, other.trainable and not other.failed, fitness, seeds, self._first(other))

    def _searched(self, individual: Individual, rung: str, seed: int, fitness: float) -> None:
        """Take in a score that selection may use."""
        if rung not in individual.searched and not individual.is_seed_loss and rung in self._reached:
            self._reached[rung].append(individual)
        individual.searched.setdefault(rung, {})[seed] = fitness
        if rung in self._noise:
            self._noise[rung].set(individual.id, [*individual.searched[rung].values()])

    def _compare(self, individual: Individual) -> None:
        """Update the noise by a candidate's differences to the baseline."""
        if self.baseline is not None and individual is not self.baseline:
            for rung in self.rungs:
                self.noise_of_differences.set((individual.id, rung), differences(individual, self.baseline, rung))

    def _fitness(self, individual: Individual) -> tuple[float | None, int]:
        """The fitness by which a candidate is selected, and the number of its seeds; None and 0 if unknown or failed."""
        return (None if individual.failed else self.advantage(individual)) or (None, 0)

    def _first(self, individual: Individual) -> float | None:
        """The difference to the baseline in the first training of both: at the cheapest rung, with the first seed."""
        return first_difference(individual, self.baseline, self.rungs[0], self.seeds.search[0])

    def _count(self, individual: Individual, before: Tally) -> None:
        """Update the numbers of proposals by outcome."""
        if individual.operator is not None:
            self._tally += individual.tally - before

    def _final_begun(self, event: EventRow, reader: Rows) -> None:
        final = dict.fromkeys((*self.seeds.final, *seeds_of(event.payload)))
        self.seeds = replace(self.seeds, final=tuple(final))

    # ---- helpers -------------------------------------------------------------------------------------------------

    def _individual(self, candidate_id: int) -> Individual:
        if candidate_id not in self.individuals:
            raise CorruptArchive(
                f"the archive has a result of candidate {candidate_id} before the candidate was added; get a fresh copy of it"
            )
        return self.individuals[candidate_id]

    @property
    def noise(self) -> float | None:
        """Standard deviation of fitness over seeds at the search rung of highest fidelity, pooled over all losses."""
        return self._deviation(self.rungs[-1])

    def _deviation(self, rung: str) -> float | None:
        pooled = self._noise[rung].pooled
        return None if pooled is None else pooled.deviation

    def _reads_beta(self, individual: Individual) -> bool:
        published = individual.is_seed_loss and known.is_known(individual.name, self.info.contract)
        return not published or "beta" in known.graph(individual.name).inputs

    def _member(self, individual: Individual) -> Member:
        noise, (fitness, seeds) = self.noise_of_differences.pooled, self._fitness(individual)
        return Member(
            candidate_id=individual.id,
            island=individual.island,
            operator=individual.operator,
            parents=individual.parents,
            usable=individual.trainable and not individual.failed,
            fitness=fitness,
            standard_error=noise.error(seeds) if seeds and noise is not None else None,
            first=self._first(individual),
            change=individual.change,
            descriptors=individual.descriptors,
            rules=individual.rules,
            uses=self._uses[individual.id],
            arm=individual.arm,
            proposer=individual.proposer,
            pinned=individual.id in self.steering.pinned,
            banned=self.banned(individual),
        )


_HANDLERS: Mapping[str, Callable[[Population, EventRow, Rows], None]] = {
    EventKind.PROPOSAL_RECEIVED: Population._received,
    EventKind.PROPOSAL_REQUESTED: Population._requested,
    EventKind.PROPOSAL_FAILED: Population._failed,
    EventKind.CANDIDATE_ADDED: Population._added,
    EventKind.VERDICT_RECORDED: Population._vetted,
    EventKind.EVALUATION_SCORED: Population._measured,
    EventKind.EVALUATION_FAILED: Population._measured,
    EventKind.FINAL: Population._final_begun,
}
