"""The rows of an archive, read once in one transaction, and the values that several analyses derive from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

from analysis.final import Final, final_of
from analysis.output.encode import one_line
from analysis.recorded import baseline_among, graph_of, section, sessions_of
from analysis.snapshot.arms import Arm, CandidateStatus
from analysis.snapshot.seed_prints import SeedPrints
from analysis.steering import Provenance, Steering, provenance_in
from archive.errors import CorruptArchive
from archive.query import Reader
from archive.records import (
    PERSON,
    CandidateRow,
    EvaluationRow,
    EvaluationState,
    EventKind,
    EventRow,
    FindingRow,
    Items,
    Origin,
    ParentRow,
    ProposalRow,
    RunRow,
    VerdictRow,
)
from archive.spending import COSTS, Spending, spending_of
from archive.sqlite.values import is_finite
from archive.variants import VariantEvaluationRow, VariantRow
from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.closeness import readable
from sandbox.identity.relation import Relation
from sandbox.verdicts.verdict import Fingerprint

T = TypeVar("T")

SINGLES_OUT = "SBX327"
"""Rule of the note on a loss that behaves differently for single pairs, which it recognises by their reference values."""

CAUTION = f"singles out pairs by reference values: {SINGLES_OUT}"
"""Why no claim is made for such a loss: it may have been written for exactly the pairs that it was measured on."""


@dataclass(frozen=True)
class Snapshot:
    """The rows of an archive. Mappings are keyed by candidate id, `proposals` by proposal id."""

    run: RunRow
    candidates: Mapping[int, CandidateRow]
    parents: Mapping[int, tuple[ParentRow, ...]]
    """By child, in order of position. Candidates without parents are left out."""
    verdicts: Mapping[int, VerdictRow]
    findings: Mapping[int, tuple[FindingRow, ...]]
    proposals: Mapping[int, ProposalRow]
    evaluations: tuple[EvaluationRow, ...]
    """Those of the run's own task, in order of ids."""
    events: tuple[EventRow, ...]
    """Those that say more than the rows do (`Reader.telling_events`), or all of them, as `of` was asked."""
    spending: Spending
    last_at: str = ""
    """Time of the newest event, or of the start where there is none."""
    variants: tuple[VariantRow, ...] = ()
    """Edited forms of candidates, in order of ids."""
    variant_evaluations: tuple[VariantEvaluationRow, ...] = ()

    rungs: tuple[str, ...] = ()
    """The rungs, lowest fidelity first. Order of first evaluations: a candidate reaches a rung only after the one below."""

    @classmethod
    def of(cls, reader: Reader, *, every_event: bool = False) -> Snapshot:
        """All rows, read in one transaction. Raises ArchiveError.

        With `every_event`, also the events that only say that a row was written or changed. They are most of an archive's events.
        """
        with reader.consistent():
            reader.check_references()
            events = reader.events() if every_event else reader.telling_events()
            return cls._of(reader, reader.run(), events, last_at(reader), reader.rungs(reader.run().task))

    @classmethod
    def of_seeds(cls, reader: Reader) -> Snapshot:
        """The seed losses alone, with what the events say of the run, costs left out. Raises ArchiveError."""
        with reader.consistent():
            run, events = reader.run(), reader.telling_events(costs=False)
            seeds = reader.among(reader.seed_ids())
            return cls._of(seeds, run, events, last_at(reader), reader.rungs(run.task))

    def with_candidates(self, reader: Reader, ids: Iterable[int]) -> Snapshot:
        """These candidates in addition to those of this snapshot. Values of the whole run, as `spending`, hold for these alone.

        Take both from one `Reader.consistent`.
        """
        those = reader.among({*self.candidates, *ids})
        return self._of(those, self.run, self.events, self.last_at, self.rungs)

    @classmethod
    def _of(
        cls, reader: Reader, run: RunRow, events: Sequence[EventRow], last_at: str, rungs: Sequence[str]
    ) -> Snapshot:
        # If the package that provides the contract is not installed, graphs are left out.
        with suppress(ValueError):
            contract_named(run.contract)
        parents: dict[int, list[ParentRow]] = {}
        for edge in reader.lineage():
            parents.setdefault(edge.child, []).append(edge)
        findings: dict[int, list[FindingRow]] = {}
        for finding in reader.findings():
            findings.setdefault(finding.candidate_id, []).append(finding)
        proposals, evaluations = reader.proposals(), reader.evaluations()
        return cls(
            run=run,
            candidates={row.id: row for row in reader.candidates()},
            parents={child: tuple(edges) for child, edges in parents.items()},
            verdicts={row.candidate_id: row for row in reader.verdicts()},
            findings={candidate: tuple(found) for candidate, found in findings.items()},
            proposals={row.id: row for row in proposals},
            evaluations=tuple(row for row in evaluations if row.task == run.task),
            events=tuple(events),
            spending=spending_of(proposals, evaluations, [event for event in events if event.kind in COSTS]),
            last_at=last_at,
            variants=tuple(reader.variants()),
            variant_evaluations=tuple(reader.variant_evaluations()),
            rungs=tuple(rungs),
        )

    def once(self, analysis: Callable[[Snapshot], T]) -> T:
        """The result of an analysis, computed at its first call: several tables and pictures need the same comparisons."""
        if analysis not in self._results:
            self._results[analysis] = analysis(self)
        return cast(T, self._results[analysis])

    @cached_property
    def _results(self) -> dict[Callable[[Snapshot], Any], Any]:
        return {}

    @cached_property
    def trainings(self) -> Mapping[int, tuple[EvaluationRow, ...]]:
        """The evaluations of each candidate that has one, in order of ids."""
        found: dict[int, list[EvaluationRow]] = {}
        for row in self.evaluations:
            found.setdefault(row.candidate_id, []).append(row)
        return {candidate: tuple(rows) for candidate, rows in found.items()}

    def failed_trainings(self, candidate: int) -> int:
        """Number of failed trainings of a candidate."""
        return sum(row.state is EvaluationState.FAILED for row in self.trainings.get(candidate, ()))

    @cached_property
    def scores(self) -> Mapping[Arm, Mapping[int, float]]:
        """Fitness by seed of every scored arm, in order of the arm's first evaluation."""
        arms: dict[Arm, dict[int, float]] = {}
        for row in self.evaluations:
            if row.fitness is not None:
                arms.setdefault(Arm.of(row), {})[row.seed] = row.fitness
        return arms

    @cached_property
    def metrics(self) -> Mapping[Arm, Mapping[int, Mapping[str, float]]]:
        """Metrics by arm and seed. Values that are not finite are left out, so that every mean is finite."""
        arms: dict[Arm, dict[int, Mapping[str, float]]] = {}
        for row in self.evaluations:
            if row.fitness is not None:
                arms.setdefault(Arm.of(row), {})[row.seed] = {k: v for k, v in row.metrics.items() if is_finite(v)}
        return arms

    @cached_property
    def items(self) -> Mapping[Arm, Mapping[int, Items]]:
        """Fitness per test item, by arm and seed, where the archive holds it."""
        arms: dict[Arm, dict[int, Items]] = {}
        for row in self.evaluations:
            if row.fitness is not None and row.items is not None:
                arms.setdefault(Arm.of(row), {})[row.seed] = row.items
        return arms

    @cached_property
    def failures(self) -> Mapping[Arm, frozenset[int]]:
        """Seeds of the failed trainings, by arm."""
        arms: dict[Arm, frozenset[int]] = {}
        for row in self.evaluations:
            if row.state is EvaluationState.FAILED:
                arm = Arm.of(row)
                arms[arm] = arms.get(arm, frozenset()) | {row.seed}
        return arms

    @cached_property
    def shown_metrics(self) -> Mapping[str, str]:
        """Headings of the metrics that the task shows with its fitness, by metric. Empty where the run did not record them."""
        found = self._fitness.get("shown")
        return {str(k): one_line(str(v)) for k, v in found.items()} if isinstance(found, Mapping) else {}

    def metric(self, rung: str) -> str:
        """What fitness is at a rung, in words. Empty where the run did not record it."""
        found = self._fitness.get("metric")
        return str(found.get(rung, "")) if isinstance(found, Mapping) else ""

    @cached_property
    def _fitness(self) -> Mapping[str, Any]:
        payloads = [
            e.payload for e in self.events if e.kind == EventKind.SESSION_STARTED and isinstance(e.payload, Mapping)
        ]
        recorded = [p["fitness"] for p in payloads if isinstance(p.get("fitness"), Mapping)]
        return recorded[-1] if recorded else {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration of the last session; without a session, that of the run. Raises CorruptArchive."""
        return next((settings for _, settings in reversed(sessions_of(self.events))), self.run.config)

    @property
    def budget(self) -> Mapping[str, Any]:
        """The section `budget` of `settings`."""
        return section(self.settings, "budget")

    @cached_property
    def beta(self) -> float | None:
        """The task's own beta; None where the task has none."""
        if self.final is not None and self.final.beta is not None:
            return self.final.beta
        fitness = self.run.identity.get("fitness", {})
        options = fitness.get("options", {}) if isinstance(fitness, Mapping) else {}
        value = options.get("beta") if isinstance(options, Mapping) else None
        return float(value) if isinstance(value, int | float) and value > 0 else None

    @property
    def learning_rate(self) -> float | None:
        """The task's own learning rate; None where the final did not record one."""
        return self.final.learning_rate if self.final else None

    @cached_property
    def seeds(self) -> tuple[CandidateRow, ...]:
        """The seed losses."""
        return tuple(row for row in self.candidates.values() if row.origin is Origin.SEED)

    @cached_property
    def namesakes(self) -> frozenset[int]:
        """The candidates whose name another candidate has too; upper and lower case count as the same."""
        named: dict[str, list[int]] = {}
        for row in self.candidates.values():
            named.setdefault(row.name.lower(), []).append(row.id)
        return frozenset(id for ids in named.values() if len(ids) > 1 for id in ids)

    def is_proposal(self, candidate: int) -> bool:
        """Whether a candidate was proposed, and is no seed loss."""
        return self.candidates[candidate].origin is Origin.PROPOSAL

    @cached_property
    def baseline(self) -> CandidateRow | None:
        """The baseline, as recorded in the table `run`. None in a run without seed losses."""
        return baseline_among(self.seeds, self.run.baseline)

    @cached_property
    def final(self) -> Final | None:
        """The recorded final; None before there is one."""
        return final_of(self.events)

    def relation(self, candidate: int) -> Relation | None:
        """Relation of a finalist to the published losses. None for other candidates, and where it is not known."""
        return self.final.relations.get(candidate) if self.final else None

    def known_as(self, candidate: int) -> str:
        """Which known loss a proposal is, in words; empty where it is none.

        For a finalist, the relation that the final recorded. For others, whether the fingerprint is that of a seed loss times a
        factor or at another beta.
        """
        if candidate not in self._known:
            self._known[candidate] = self.known_with(candidate, self._print(candidate))
        return self._known[candidate]

    def known_with(self, candidate: int, own: Fingerprint | None) -> str:
        """`known_as` of a proposal with this fingerprint, which need not be in this snapshot."""
        if own is not None and self.given and (refound := self._given_prints.form(own)):
            return refound
        if (relation := self.relation(candidate)) is not None:
            return one_line(relation.words)
        return "" if own is None else self._seed_prints.form(own)

    def in_no_form(self, beginning: Fingerprint) -> bool:
        """Whether the beginning of a fingerprint shows that its loss is no seed loss in another form."""
        return self._seed_prints.excludes(beginning)

    def _print(self, candidate: int) -> Fingerprint | None:
        """The fingerprint of a proposal."""
        verdict = self.verdicts.get(candidate)
        return readable(verdict.fingerprint) if verdict and self.is_proposal(candidate) else None

    @cached_property
    def _known(self) -> dict[int, str]:
        return {}

    @cached_property
    def _seed_prints(self) -> SeedPrints:
        return SeedPrints.of(self.seeds, self.verdicts)

    @cached_property
    def _given_prints(self) -> SeedPrints:
        return SeedPrints.of([row for row in self.seeds if row.id in self.given], self.verdicts)

    @cached_property
    def given(self) -> Mapping[int, Provenance]:
        """Where each seed loss of the user comes from, by candidate. The other seed losses are published."""
        found = {event.candidate_id: given for event in self.events if (given := provenance_in(event)) is not None}
        return {row.id: found[row.id] for row in self.seeds if row.id in found}

    def refound(self, candidate: int) -> str:
        """Which seed loss of the user a proposal is, times a factor or at another beta, in words; empty where it is none."""
        own = self._print(candidate) if self.given else None
        return self._given_prints.form(own) if own is not None else ""

    def by_person(self, candidate: int) -> bool:
        """Whether a person gave this loss to the run after its start."""
        proposal = self.proposals.get(self.candidates[candidate].proposal_id or 0)
        return proposal is not None and proposal.proposer == PERSON

    @cached_property
    def steering(self) -> Steering:
        """The pins, bans and notes of people."""
        return Steering.of(self.events)

    def banned(self, candidate: int) -> bool:
        """Whether a person excluded a candidate from being a parent."""
        if candidate in self.steering.banned or not self.steering.banned_descriptors:
            return candidate in self.steering.banned
        verdict = self.verdicts.get(candidate)
        return self.steering.bans(candidate, (verdict.descriptors if verdict else None) or {})

    def caution(self, candidate: int) -> str:
        """Why no claim may be made for a proposal, in words; empty where claims are allowed."""
        noted = self.is_proposal(candidate) and any(f.rule == SINGLES_OUT for f in self.findings.get(candidate, ()))
        return CAUTION if noted else ""

    def status(self, candidate: int) -> CandidateStatus:
        """Status of a candidate."""
        states = [row.state for row in self.trainings.get(candidate, ())]
        return CandidateStatus.of(self.verdicts.get(candidate), states)

    @property
    def statuses(self) -> Mapping[CandidateStatus, int]:
        """Number of candidates of each status."""
        return Counter(map(self.status, self.candidates))

    @property
    def of_people(self) -> Sequence[int]:
        """The losses that people gave to the run after its start."""
        return [id for id in self.candidates if self.by_person(id)]

    def step(self, candidate: int) -> int:
        """The step that proposed a candidate; 0 for seed losses."""
        proposal = self.proposals.get(self.candidates[candidate].proposal_id or 0)
        return proposal.step if proposal else 0

    def arms(self, candidate: int, rung: str) -> Mapping[Arm, Mapping[int, float]]:
        """Fitness by seed of each arm of a candidate at a rung."""
        return self._by_rung.get((candidate, rung), {})

    def graph(self, candidate: int) -> VerifiedGraph | None:
        """The candidate's graph, verified on first use; None if it is missing or invalid."""
        if candidate not in self._graphs:
            self._graphs[candidate] = _usable(self.verdicts.get(candidate))
        return self._graphs[candidate]

    @cached_property
    def _graphs(self) -> dict[int, VerifiedGraph | None]:
        return {}

    @cached_property
    def _by_rung(self) -> Mapping[tuple[int, str], Mapping[Arm, Mapping[int, float]]]:
        found: dict[tuple[int, str], dict[Arm, Mapping[int, float]]] = {}
        for arm, scores in self.scores.items():
            found.setdefault((arm.candidate, arm.rung), {})[arm] = scores
        return found


def last_at(reader: Reader) -> str:
    """Time of the newest event, or of the start where there is none."""
    newest = reader.newest_event()
    return newest.at if newest else reader.run().created_at


def _usable(verdict: VerdictRow | None) -> VerifiedGraph | None:
    if verdict is None or verdict.graph is None:
        return None
    try:
        return graph_of(verdict)
    except CorruptArchive:
        return None
