"""A candidate as selection takes it, and the settings of selection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from evo.config.proposer_settings import BUILTIN
from evo.search.operators import OPERATORS

Cell = tuple[str, ...]
"""A cell of the quality-diversity grid: one text per descriptor, `-` if it was not measured."""


@dataclass(frozen=True, slots=True)
class Member:
    """A candidate as selection takes it."""

    candidate_id: int
    island: int
    operator: str | None
    """Name of the operator that made it; None for a seed loss and for a loss of a person."""
    parents: tuple[int, ...]
    usable: bool
    """Whether it may be a parent: accepted by the sandbox, no duplicate, and without a failed training."""
    fitness: float | None = None
    """Larger is better; None until it is measured."""
    standard_error: float | None = None
    """Standard error of the fitness; None if unknown."""
    first: float | None = None
    """Difference to the baseline in its first training, at the cheapest rung: it can be compared with that of any other member,
    since all have the same seed and rung there. None until it is measured."""
    change: str = ""
    """Kind of the change that made it, as the built-in proposer names it; empty if unknown."""
    descriptors: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    rules: tuple[str, ...] = ()
    """Codes of the findings that refused it; empty if it was not refused."""
    uses: int = 0
    """Number of its children."""
    arm: str = ""
    """`arm_name` of the choice that made it; empty without an operator."""
    proposer: str = ""
    """Name of its proposer; empty without an operator."""
    pinned: bool = False
    """Whether a person asked that it be a parent more often."""
    banned: bool = False
    """Whether a person excluded it from being a parent."""


@dataclass(frozen=True, slots=True)
class ProposerArm:
    """A proposer as selection takes it."""

    name: str
    weight: float = 1.0
    """Weight relative to the other proposers before any outcome is known."""
    temperatures: tuple[float, ...] = (1.0,)
    """Sampling temperatures to choose from."""


OWN_CODE = ProposerArm(BUILTIN)
"""The proposer of operators that no language model is asked for."""


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """Settings of selection. Shares are in [0, 1]."""

    islands: int = 2
    """Number of sub-populations."""
    migration_every: int | None = 12
    """New members between two migrations; None: no migration."""
    grid: bool = True
    """Whether the grid is used: to draw parents and targets for exploration, and to choose parents of different cells."""
    shrinkage: bool = True
    """Whether fitness is shrunk towards the mean of the population according to its standard error."""
    thompson: bool = True
    """Whether parents are weighed by samples of their posterior distributions; else by the means."""
    reversals: bool = True
    """Whether the built-in proposer at once tries the opposite of a weight that did harm."""
    bandit: bool = True
    """Whether operators, proposers and temperatures are weighed by their rewards so far; else by the priors alone."""
    proposers: tuple[ProposerArm, ...] = (OWN_CODE,)
    """Proposers to choose from."""
    priors: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({operator.name: operator.prior for operator in OPERATORS})
    )
    """Weight of each operator before any outcome is known; an operator without an entry is never chosen."""
    prior_strength: float = 2.0
    """Number of outcomes that the prior estimate of an arm counts as."""
    change_strength: float = 8.0
    """Number of outcomes that the prior estimate of a kind of change counts as."""
    discount: float = 0.98
    """Factor on the weight of an outcome for every later member."""
    acceptance: float = 0.05
    """Share of the reward for being accepted; the rest is for being better than the parents."""
    exploration: float = 1.0
    """Exploration in standard deviations of the estimates, for operators and for parents."""
    exponent: float = 2.0
    """Power of an arm's estimate in its weight: 0 ignores the estimate, large values always take the best arm."""
    inverse_temperature: float = 2.0
    """Inverse temperature of the softmax over parents' fitness in deviations of the population's better half
    (`beliefs.middle_and_variance`): a parent that is one deviation better has exp(inverse_temperature) times the probability."""
    use_penalty: float = 0.7
    """Exponent of the penalty for frequent parents: the weight is divided by (1 + children) ** use_penalty."""
    grid_share: float = 0.25
    """Share of parents drawn from the best of each cell of the grid."""
    elite_share: float = 0.15
    """Share of parents drawn from the elites of the whole population."""
    elites: int = 5
    """Number of elites."""
    pinned_share: float = 0.3
    """Share of parents drawn from the pinned members, if there are any."""
    repair_window: int = 12
    """Number of latest members among which a refused one may be repaired."""
    axes: tuple[str, ...] = ("convex", "left_tail", "right_tail", "coupled", "margin_only")
    """Descriptors that span the grid: keys of `sandbox.numeric.measure.descriptors.DESCRIPTORS`."""

    def __post_init__(self) -> None:
        if self.islands < 1 or (self.migration_every or 1) < 1 or not self.proposers:
            raise ValueError(
                "expected at least one island, one new member between migrations (or None) and one proposer, got "
                f"{self.islands}, {self.migration_every} and {self.proposers}"
            )
        if idle := [arm.name for arm in self.proposers if not arm.temperatures]:
            raise ValueError(f"expected at least one temperature for the proposer {idle[0]}")


def cell(member: Member, axes: Sequence[str]) -> Cell:
    """The cell of a member."""
    return tuple(_bin(member.descriptors.get(axis)) for axis in axes)


def _bin(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return "0" if abs(value) < 1e-9 else f"{'+' if value > 0 else '-'}{math.floor(math.log10(abs(value)))}"
    return "-" if value is None else str(value)
