"""One candidate as the search sees it, and its score over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from analysis import stats
from archive.records import Origin
from fitness.schedule.ladder import Tuned
from sandbox.verdicts.verdict import VerdictStatus


@dataclass
class Individual:
    """One candidate as the search sees it. `results` holds fitness by (rung, seed), None where the training failed."""

    id: int
    name: str
    origin: Origin
    operator: str
    island: int
    arm: str
    parents: tuple[int, ...]
    status: VerdictStatus | None = None
    duplicate_of: int | None = None
    descriptors: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    """Codes of the findings that refused it."""
    singles_out: bool = False
    """Whether the sandbox noted that it knows single pairs, so that nothing may be claimed of it."""
    results: dict[tuple[str, int], float | None] = field(default_factory=dict)
    searched: dict[str, dict[int, float]] = field(default_factory=dict)
    """Those of `results` that the search may look at, by rung and seed: scored, and not on a seed of the final."""
    tuned: dict[Tuned, float | None] = field(default_factory=dict)
    """Fitness with another beta or learning rate than the task's, None where it failed. Selection does not look at it."""

    @property
    def trainable(self) -> bool:
        """Whether the sandbox accepted it and no earlier one is the same loss."""
        return self.status is VerdictStatus.ACCEPTED and self.duplicate_of is None

    @property
    def is_seed_loss(self) -> bool:
        """Whether the run started from it."""
        return self.origin is Origin.SEED

    @property
    def failed(self) -> bool:
        """Whether a training of it failed."""
        return None in self.results.values()


@dataclass(frozen=True, slots=True)
class Score:
    """Mean fitness over seeds with its standard error, in units of the fitness."""

    mean: float
    standard_error: float | None
    """None: one seed, and no other losses to borrow a deviation from."""
    seeds: int
    pooled: bool = False
    """Whether the deviation is that of all losses, not this one's own."""

    @classmethod
    def of(cls, scored: Mapping[int, float], deviation: float | None) -> Self:
        """Of fitness by seed, at least one. `deviation` over seeds, pooled over all losses, stands in for a lone seed's own."""
        values = list(scored.values())
        alone = len(values) == 1
        error = deviation if alone else stats.standard_error(values)
        return cls(stats.mean(values), error, len(values), pooled=alone and deviation is not None)


def differences(individual: Individual, other: Individual, rung: str) -> list[float]:
    """Fitness minus the other's, over the search seeds that both were scored on at a rung."""
    theirs = other.searched.get(rung, {})
    return [own - theirs[seed] for seed, own in individual.searched.get(rung, {}).items() if seed in theirs]
