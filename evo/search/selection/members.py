"""What selection knows of a candidate, and the settings of selection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from evo.search.operators import OPERATORS

SEED = "seed"
"""Operator of the members that a population starts with."""


@dataclass(frozen=True, slots=True)
class Member:
    """One candidate as selection sees it."""

    candidate_id: int
    island: int
    operator: str
    """`seed`, or the operator that made it."""
    parents: tuple[int, ...]
    usable: bool
    """Whether it may be a parent: the sandbox accepted it, no earlier one is the same loss, and no training of it failed."""
    fitness: float | None = None
    """Larger is better; None until it has been measured."""
    standard_error: float | None = None
    """Of the fitness; None where it is not known."""
    descriptors: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    rules: tuple[str, ...] = ()
    """Codes of the findings that refused it; none for one that was not refused."""
    uses: int = 0
    """How many children it has."""
    arm: str = ""
    """`arm_name` of the choice that made it; empty for a seed."""


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """How selection works. Shares and chances are in [0, 1]."""

    islands: int = 2
    """Sub-populations that evolve apart."""
    migration_every: int = 12
    """Births between two migrations."""
    temperatures: tuple[float, ...] = (1.0,)
    """Sampling temperatures to choose from."""
    priors: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({operator.name: operator.prior for operator in OPERATORS})
    )
    """Weight of each operator before anything has been learned; one that is left out is never chosen."""
    prior_strength: float = 2.0
    """How many outcomes an operator's first estimate is estimates."""
    discount: float = 0.97
    """Factor by which the weight of an outcome falls with every later birth."""
    acceptance: float = 0.3
    """Share of the reward for being accepted; the rest is for being better than the parents."""
    exploration: float = 1.0
    """Standard deviations of optimism, for operators and for parents."""
    exponent: float = 2.0
    """Power of an operator's estimates in its weight: 0 ignores it, large values always take the best."""
    inverse_temperature: float = 2.0
    """Of the softmax over parents' fitness, in standard deviations of the population: exp(inverse_temperature) times likelier
    for a parent that is one deviation better."""
    use_penalty: float = 0.7
    """Power by which a parent's weight falls with 1 + its children."""
    grid_share: float = 0.25
    """How often a parent is drawn from the grid's cells, all equally likely."""
    elite_share: float = 0.15
    """How often a parent is drawn from the elites of all islands."""
    elites: int = 5
    """Size of the elite list."""
    repair_window: int = 12
    """How many births a refused member stays estimates repairing."""
    axes: tuple[str, ...] = ("convex", "left_tail", "right_tail", "coupled", "margin_only")
    """Descriptors that span the grid: keys of `sandbox.numeric.measure.descriptors.DESCRIPTORS`."""

    def __post_init__(self) -> None:
        if self.islands < 1 or self.migration_every < 1 or not self.temperatures:
            raise ValueError(
                "expected at least one island, one birth between migrations and one temperature, got "
                f"{self.islands}, {self.migration_every} and {self.temperatures}"
            )


def measured(member: Member) -> bool:
    """Whether it may be a parent and has a fitness."""
    return member.usable and member.fitness is not None and math.isfinite(member.fitness)


def fitness_of(member: Member) -> float:
    """The fitness of a measured member."""
    assert member.fitness is not None
    return member.fitness
