"""State of a search, rebuilt from the archive's events: candidates, their fitness, spending.

In a running search the population follows the newest event. In a replay it stops at the event that a recorded step had seen, and
the selection from that state must be equal to the recorded one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean
from typing import Self

from analysis import stats
from analysis.final import seeds_of
from analysis.recorded import baseline_among, graph_of, island_of, refusing, verdict_on
from analysis.snapshot import SINGLES_OUT
from analysis.steering import Steering
from archive.errors import CorruptArchive
from archive.query import Reader
from archive.records import BY_PEOPLE, PERSON, EventKind, EventRow, Role
from archive.spending import ends_step
from evo.config.schema import Config
from evo.search.budget import Spent
from evo.search.individuals import Individual, Lead, Score, differences
from evo.search.ledger import Ledger
from evo.search.operators import role_of
from evo.search.rng import derive
from evo.search.seed_losses import baseline_of_new_run, seed_losses
from evo.search.selection.bandit import arm_name
from evo.search.selection.members import Member
from fitness.schedule.ladder import RaceEntry, Seeds
from fitness.task.protocol import TaskInfo
from sandbox import known
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.verdicts.verdict import VerdictStatus

SEARCH_SEEDS = 64


@dataclass(frozen=True, slots=True)
class Tally:
    """Number of proposals by outcome. `unusable`: replies without a loss."""

    accepted: int
    refused: int
    duplicate: int
    failed: int
    unusable: int


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
        self.steering = Steering()
        """The pins and bans of people."""
        self.seen = 0
        self.recorded_seconds = 0.0
        """Total seconds of the sessions, each from its first event to its last."""
        self._ledger = Ledger(config, info)
        self._unusable = 0
        self._last: datetime | None = None
        self._graphs: dict[int, VerifiedGraph] = {}

    def advance(self, reader: Reader, upto: int | None = None) -> Self:
        """Apply the new events up to id `upto`, by default all. Returns self."""
        if not self.seen:
            self.baseline_name = reader.run().baseline
        last = reader.last_event() if upto is None else upto
        if last > self.seen:
            for event in reader.events(after=self.seen):
                if event.id > last:
                    break
                self._take(event, reader)
            self.seen = last
        return self

    # ---- state ---------------------------------------------------------------------------------------------------

    @property
    def baseline(self) -> Individual | None:
        """The baseline that the archive names; None before it is recorded as a candidate."""
        return baseline_among(self.individuals.values(), self.baseline_name)

    @property
    def all_seed_losses(self) -> int:
        """Number of seed losses: those of the configuration, and those that the user gave."""
        return self._given + len({*self.seed_losses, *(i.name for i in self.individuals.values() if i.is_seed_loss)})

    @property
    def begun_seed_losses(self) -> int:
        """Number of seed losses that have a result or will never have one (refused or duplicate)."""
        return sum(
            bool(i.results) or (i.status is not None and not i.trainable)
            for i in self.individuals.values()
            if i.is_seed_loss
        )

    @property
    def measured_in_final(self) -> int:
        """Number of finished trainings of the final."""
        final = frozenset(self.seeds.final)
        return sum(key[1] in final for i in self.individuals.values() for key in (*i.results, *i.tuned))

    def entries(self) -> list[RaceEntry]:
        """The trainable candidates with their results, as the ladder takes them."""
        baseline = self.baseline
        return [
            RaceEntry(i.id, i.is_seed_loss, dict(i.results), i is baseline, dict(i.tuned), self._reads_beta(i))
            for i in self.individuals.values()
            if i.trainable
        ]

    def members(self) -> tuple[Member, ...]:
        """All vetted candidates as selection takes them, in order of creation. Fitness is the `advantage` over the baseline."""
        uses: dict[int, int] = {}
        for individual in self.individuals.values():
            for parent in individual.parents if role_of(individual.operator) is not Role.EXPLORED_FROM else ():
                uses[parent] = uses.get(parent, 0) + 1
        noise = self._noise_of_differences()
        return tuple(self._member(i, uses.get(i.id, 0), noise) for i in self.individuals.values() if i.status)

    def advantage(self, individual: Individual) -> tuple[float, int] | None:
        """Mean paired difference to the baseline, and the number of search seeds it is based on; None without a common seed.

        Measured at the rung of highest fidelity where both have a common search seed. With the same seed both losses meet the same
        data, so the difference is less noisy than the fitness. Losses that reached different rungs can be compared by it.
        """
        baseline = self.baseline
        if baseline is None:
            return None
        for rung in reversed(self.rungs):
            if found := differences(individual, baseline, rung):
                return fmean(found), len(found)
        return None

    def leads(self) -> list[Lead]:
        """The proposals measured at the highest search rung on a seed of the baseline; none while the deviation is not known.

        Losses with a failed training, and those that treat single pairs specially, are left out.
        """
        baseline, noise = self.baseline, self._noise_of_differences()
        if baseline is None or noise is None:
            return []
        sound = (
            i for i in self.individuals.values() if i.trainable and not (i.is_seed_loss or i.failed or i.singles_out)
        )
        compared = ((i, found) for i in sound if (found := differences(i, baseline, self.rungs[-1])))
        return [Lead(i, fmean(found), noise.error(len(found)), len(found)) for i, found in compared]

    def score(self, individual: Individual) -> tuple[str, Score] | None:
        """The search rung of highest fidelity that the candidate has reached, and its score there; None without a score."""
        for rung in reversed(self.rungs):
            scored = individual.searched.get(rung)
            if scored:
                return rung, Score.of(scored, self._pooled(rung))
        return None

    def best(self) -> Individual | None:
        """The proposal with the largest advantage, of those at the rung of highest fidelity that any proposal has reached.

        Losses that treat single pairs specially (`singles_out`) are left out.
        """
        proposals = [i for i in self.individuals.values() if i.trainable and not i.is_seed_loss and not i.singles_out]
        for rung in reversed(self.rungs):
            reached = [i for i in proposals if rung in i.searched]
            rated = [(a[0], i) for i in reached if not i.failed and (a := self.advantage(i))]
            if rated:
                return max(rated, key=lambda pair: (pair[0], -pair[1].id))[1]
        return None

    def best_so_far(self) -> str:
        """The best proposal as text, with its difference to the baseline and the standard error of the difference."""
        best, baseline = self.best(), self.baseline
        advantage = self.advantage(best) if best else None
        if best is None or baseline is None or advantage is None:
            return "none yet"
        difference, seeds = advantage
        noise = self._noise_of_differences()
        error = f" ± {noise.error(seeds):.3f}" if noise is not None else ", error unknown"
        return f"{best.name} ({difference:+.3f}{error} to {baseline.name}, {seeds} seed{'s' * (seeds > 1)})"

    def tally(self) -> Tally:
        """Number of proposals by outcome so far."""
        proposals = [i for i in self.individuals.values() if i.operator is not None]
        return Tally(
            accepted=sum(i.trainable for i in proposals),
            refused=sum(i.status is VerdictStatus.REFUSED for i in proposals),
            duplicate=sum(i.duplicate_of is not None for i in proposals),
            failed=sum(i.failed for i in proposals),
            unusable=self._unusable,
        )

    def spent(self, seconds: float) -> Spent:
        """The spending so far. `seconds`: running time over all sessions."""
        return self._ledger.spent(seconds)

    def banned(self, individual: Individual) -> bool:
        """Whether a person has excluded it from being a parent and from prompts."""
        return self.steering.bans(individual.id, individual.descriptors)

    def graph(self, candidate_id: int, reader: Reader) -> VerifiedGraph:
        """The graph of a candidate: the one that vetting gave, else the archive's, verified at the first call.

        Raises CorruptArchive.
        """
        if candidate_id not in self._graphs:
            self._graphs[candidate_id] = graph_of(verdict_on(candidate_id, reader))
        return self._graphs[candidate_id]

    def keep_graph(self, candidate_id: int, graph: VerifiedGraph) -> None:
        """Store the graph of a candidate after vetting, so that the archive's copy need not be verified."""
        self._graphs[candidate_id] = graph

    # ---- applying events -----------------------------------------------------------------------------------------

    def _take(self, event: EventRow, reader: Reader) -> None:
        if event.kind in BY_PEOPLE:  # perhaps between two sessions, so not on the clock
            self.steering.take(event)
            return
        self._clock(event)
        self._ledger.take(event, reader)
        handler = _HANDLERS.get(event.kind)
        if handler:
            handler(self, event, reader)

    def _clock(self, event: EventRow) -> None:
        at = datetime.fromisoformat(event.at)
        if self._last is not None and event.kind != EventKind.SESSION_STARTED:
            self.recorded_seconds += max(0.0, (at - self._last).total_seconds())
        self._last = at

    def _failed(self, event: EventRow, reader: Reader) -> None:
        assert event.proposal_id is not None
        self._unusable += ends_step(event) or reader.proposal(event.proposal_id).reply is not None

    def _added(self, event: EventRow, reader: Reader) -> None:
        assert event.candidate_id is not None
        row = reader.candidate(event.candidate_id)
        operator: str | None = None
        island, arm = len(self.individuals) % self.config.search.islands, ""
        if row.proposal_id is not None:
            proposal = reader.proposal(row.proposal_id)
            island = island_of(proposal)
            if proposal.proposer != PERSON:  # else it belongs to no arm, and like a seed loss to all islands
                operator, arm = proposal.operator, arm_name(proposal.operator, proposal.temperature or 0.0)
        parents = tuple(p.parent for p in reader.parents(row.id))
        answered = self.spent(0.0).proposals
        self.individuals[row.id] = Individual(row.id, row.name, row.origin, operator, island, arm, parents, answered)

    def _vetted(self, event: EventRow, reader: Reader) -> None:
        assert event.candidate_id is not None
        verdict = verdict_on(event.candidate_id, reader)
        individual = self._individual(event.candidate_id)
        individual.status = VerdictStatus(verdict.status)
        individual.duplicate_of = verdict.duplicate_of
        individual.descriptors = verdict.descriptors or {}
        findings = reader.findings(event.candidate_id)
        individual.rules = tuple(f.rule for f in refusing(findings))
        individual.singles_out = any(f.rule == SINGLES_OUT for f in findings)

    def _measured(self, event: EventRow, reader: Reader) -> None:
        assert event.evaluation_id is not None
        row = reader.evaluation(event.evaluation_id)
        individual = self._individual(row.candidate_id)
        if row.beta is None and row.learning_rate is None:
            individual.results[row.rung, row.seed] = row.fitness
            if row.fitness is not None and row.seed in self._search_seeds:
                individual.searched.setdefault(row.rung, {})[row.seed] = row.fitness
        else:
            individual.tuned[row.rung, row.seed, row.beta, row.learning_rate] = row.fitness

    def _final_begun(self, event: EventRow, reader: Reader) -> None:
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
        return self._pooled(self.rungs[-1])

    def _pooled(self, rung: str) -> float | None:
        pooled = stats.pool([*i.searched.get(rung, {}).values()] for i in self.individuals.values())
        return None if pooled is None else pooled.deviation

    def _noise_of_differences(self) -> stats.PooledDeviation | None:
        """Standard deviation over seeds of the difference to the baseline, pooled over all losses with several seeds."""
        baseline = self.baseline
        if baseline is None:
            return None
        others = [i for i in self.individuals.values() if i is not baseline]
        return stats.pool(differences(i, baseline, rung) for i in others for rung in self.rungs)

    def _reads_beta(self, individual: Individual) -> bool:
        published = individual.is_seed_loss and individual.name in known.names(self.info.contract)
        return not published or "beta" in known.graph(individual.name).inputs

    def _member(self, individual: Individual, uses: int, noise: stats.PooledDeviation | None) -> Member:
        advantage = None if individual.failed else self.advantage(individual)
        return Member(
            candidate_id=individual.id,
            island=individual.island,
            operator=individual.operator,
            parents=individual.parents,
            usable=individual.trainable and not individual.failed,
            fitness=advantage[0] if advantage else None,
            standard_error=noise.error(advantage[1]) if advantage and noise is not None else None,
            descriptors=individual.descriptors,
            rules=individual.rules,
            uses=uses,
            arm=individual.arm,
            pinned=individual.id in self.steering.pinned,
            banned=self.banned(individual),
        )


_HANDLERS: Mapping[str, Callable[[Population, EventRow, Reader], None]] = {
    EventKind.PROPOSAL_FAILED: Population._failed,
    EventKind.CANDIDATE_ADDED: Population._added,
    EventKind.VERDICT_RECORDED: Population._vetted,
    EventKind.EVALUATION_SCORED: Population._measured,
    EventKind.EVALUATION_FAILED: Population._measured,
    EventKind.FINAL: Population._final_begun,
}
