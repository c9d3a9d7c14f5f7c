"""A candidate in the population, what the archive holds of it, its score over seeds, and paired differences between candidates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import add, sub
from typing import Any, Self

from analysis import stats
from analysis.recorded import graph_of, verdict_on
from archive.query import Reader
from archive.records import CandidateRow, FindingRow, Origin, ProposalRow
from evo.config.proposer_settings import BUILTIN
from fitness.schedule.ladder import RaceEntry, Tuned
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers import Formula, to_formula
from sandbox.verdicts.verdict import VerdictStatus

CHANGE = "change"
"""Key of the kind of change in the replies of the built-in proposer."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Number of proposals by outcome. `unusable`: replies without a loss."""

    accepted: int = 0
    refused: int = 0
    duplicate: int = 0
    failed: int = 0
    unusable: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*map(add, self._numbers, other._numbers))

    def __sub__(self, other: Tally) -> Tally:
        return Tally(*map(sub, self._numbers, other._numbers))

    @property
    def _numbers(self) -> tuple[int, ...]:
        # `dataclasses.astuple` copies each value, which took a fifth of the start of a session.
        return self.accepted, self.refused, self.duplicate, self.failed, self.unusable


@dataclass
class Individual:
    """A candidate in the population."""

    id: int
    name: str
    origin: Origin
    operator: str | None
    """None for seed losses and for losses of a person."""
    island: int
    arm: str
    proposer: str
    parents: tuple[int, ...]
    answered: int = 0
    """Number of answered proposals when it was recorded, its own included."""
    change: str = ""
    """Kind of the change that made it; empty unless the built-in proposer told it."""
    status: VerdictStatus | None = None
    duplicate_of: int | None = None
    descriptors: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    """Codes of the findings that refused it."""
    singles_out: bool = False
    """Whether the sandbox noted that it treats single pairs specially, so that no claim may be made of it."""
    results: dict[tuple[str, int], float | None] = field(default_factory=dict)
    """Fitness by (rung, seed); None if the training failed."""
    searched: dict[str, dict[int, float]] = field(default_factory=dict)
    """The fitness values of `results` on search seeds, by rung and seed: the only ones that selection may use."""
    tuned: dict[Tuned, float | None] = field(default_factory=dict)
    """Fitness at another beta or learning rate than the task's; None if the training failed. Selection does not use it."""

    entry: RaceEntry | None = None
    """Its entry in the race, which shares `results` and `tuned`; None unless it is `trainable`."""

    @property
    def trainable(self) -> bool:
        """Whether the sandbox accepted it and it is no duplicate."""
        return self.status is VerdictStatus.ACCEPTED and self.duplicate_of is None

    @property
    def is_seed_loss(self) -> bool:
        """Whether it is a seed loss of the run."""
        return self.origin is Origin.SEED

    @property
    def failed(self) -> bool:
        """Whether any of its trainings failed."""
        return None in self.results.values()

    @property
    def tally(self) -> Tally:
        """What became of it so far; all 0 before it is vetted."""
        return Tally(
            accepted=int(self.trainable),
            refused=int(self.status is VerdictStatus.REFUSED),
            duplicate=int(self.duplicate_of is not None),
            failed=int(self.failed),
        )


@dataclass(frozen=True)
class Recorded:
    """What the archive holds of a vetted candidate, which does not change any more."""

    row: CandidateRow
    findings: tuple[FindingRow, ...]
    graph: VerifiedGraph | None
    """None for a refused loss that never had a valid graph."""

    @cached_property
    def formula(self) -> Formula | None:
        """The loss in one line, printed at the first call; None without a graph."""
        return None if self.graph is None else to_formula(self.graph)


@dataclass(frozen=True, slots=True)
class Score:
    """Mean fitness over seeds with its standard error, in units of the fitness."""

    mean: float
    standard_error: float | None
    """None with one seed and no pooled deviation."""
    seeds: int
    pooled: bool = False
    """Whether the standard error comes from the deviation pooled over all losses."""

    @classmethod
    def of(cls, scored: Mapping[int, float], deviation: float | None) -> Self:
        """The score of fitness values by seed, at least one.

        `deviation`: standard deviation over seeds, pooled over all losses; used if there is only one seed.
        """
        values = list(scored.values())
        alone = len(values) == 1
        error = deviation if alone else stats.standard_error(values)
        return cls(stats.mean(values), error, len(values), pooled=alone and deviation is not None)


def differences(individual: Individual, other: Individual, rung: str) -> list[float]:
    """Paired differences, individual minus other, on the search seeds that both were scored on at a rung."""
    theirs = other.searched.get(rung, {})
    return [own - theirs[seed] for seed, own in individual.searched.get(rung, {}).items() if seed in theirs]


def first_difference(individual: Individual, other: Individual | None, rung: str, seed: int) -> float | None:
    """The difference individual minus other on a search seed at a rung; None unless both were scored there."""
    own = individual.searched.get(rung, {}).get(seed)
    theirs = None if other is None else other.searched.get(rung, {}).get(seed)
    return None if own is None or theirs is None else own - theirs


def change_of(proposal: ProposalRow) -> str:
    """The kind of change that the built-in proposer recorded with its reply; empty if there is none."""
    if proposal.proposer != BUILTIN or proposal.reply is None:
        return ""
    try:
        return str(json.loads(proposal.reply)[CHANGE])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


class Losses:
    """Graphs and texts of candidates. Each is read from the archive, and its graph verified, at the first call."""

    def __init__(self) -> None:
        self._graphs: dict[int, VerifiedGraph] = {}
        self._recorded: dict[int, Recorded] = {}

    def graph(self, candidate_id: int, reader: Reader) -> VerifiedGraph:
        """The graph of a candidate: the one that vetting gave, else the archive's. Raises CorruptArchive."""
        if candidate_id not in self._graphs:
            self._graphs[candidate_id] = graph_of(verdict_on(candidate_id, reader))
        return self._graphs[candidate_id]

    def recorded(self, candidate_id: int, reader: Reader) -> Recorded:
        """What the archive holds of a vetted candidate. Raises CorruptArchive."""
        if candidate_id not in self._recorded:
            has_graph = verdict_on(candidate_id, reader).graph is not None
            self._recorded[candidate_id] = Recorded(
                reader.candidate(candidate_id),
                tuple(reader.findings(candidate_id)),
                self.graph(candidate_id, reader) if has_graph else None,
            )
        return self._recorded[candidate_id]

    def keep(self, candidate_id: int, graph: VerifiedGraph) -> None:
        """Store the graph that vetting gave, so that the archive's copy need not be verified."""
        self._graphs[candidate_id] = graph
