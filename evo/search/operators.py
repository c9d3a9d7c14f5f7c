"""Operators of the search, one record each. CONTRIBUTING.md shows how to add one.

The order of the records matters for reproducibility: random draws depend on it. Prompt templates and genetic functions are stored
with the code that uses them. `evo.proposing.prompting` and `evo.proposing.genetic` look them up on import, and a missing one is an
error that names the operator and the part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from archive.records import Operator, Role, is_operator


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOperator:
    """One way to make a new loss from earlier ones. Raises ValueError, which names the field, for an invalid value."""

    name: str
    """Name in archives, reports and prompts."""
    role: Role
    """Role of its parents, which determines how they are selected. `explored_from`: measured losses of different shape, as many as
    there are. `refined` and `combined`: accepted losses, fitter ones with higher probability. `repaired`: the latest refused loss
    without an attempted repair."""
    parents: int
    """Number of parents. Without enough of them the operator is not drawn, except for `explored_from`."""
    prior: float
    """Weight relative to the other operators before any outcome is known."""
    prompt: str | None
    """Name of the template, `prompts/PROMPT.j2`, for a language model; None if no model can be asked: then own code proposes,
    whatever proposers a run has."""
    genetic: str
    """"module:function" for the built-in proposer: (rng, contract, parents, rules) -> GeneticProposal. `rules` are the codes
    of the findings that refused the parents."""

    def __post_init__(self) -> None:
        if not is_operator(self.name):
            raise ValueError(f"operator {self.name}: name: expected lower-case letters, digits and underscores")
        if not isinstance(self.role, Role):
            raise ValueError(f"operator {self.name}: role: expected one of {', '.join(Role)}, got {self.role!r}")
        for part in ("genetic",) if self.prompt is None else ("prompt", "genetic"):
            if not (isinstance(text := getattr(self, part), str) and text):
                raise ValueError(f"operator {self.name}: {part}: expected its name, got {text!r}")
        if self.parents < 1:
            raise ValueError(f"operator {self.name}: parents: expected at least 1, got {self.parents}")
        if not (self.prior > 0 and math.isfinite(self.prior)):
            raise ValueError(f"operator {self.name}: prior: expected a number above 0, got {self.prior}")

    @property
    def needs_parents(self) -> bool:
        """Whether the new loss is made from parents. `explored_from` parents only show what exists already."""
        return self.role is not Role.EXPLORED_FROM


OPERATORS: tuple[SearchOperator, ...] = (
    SearchOperator(
        name=Operator.EXPLORE,
        role=Role.EXPLORED_FROM,
        parents=3,
        prior=0.2,
        prompt="explore",
        genetic="evo.proposing.genetic.explore:explore",
    ),
    SearchOperator(
        name=Operator.REFINE,
        role=Role.REFINED,
        parents=1,
        prior=1.6,
        prompt="refine",
        genetic="evo.proposing.genetic.refine:refine",
    ),
    SearchOperator(
        name=Operator.COMBINE,
        role=Role.COMBINED,
        parents=2,
        prior=0.6,
        prompt="combine",
        genetic="evo.proposing.genetic.combine:combine",
    ),
    SearchOperator(
        name=Operator.REPAIR,
        role=Role.REPAIRED,
        parents=1,
        prior=2.4,  # applies only if there is a loss to repair
        prompt="repair",
        genetic="evo.proposing.genetic.repair:repair",
    ),
)

CHAT = "chat"
"""The prompt of `search.mode=chat`, the growing conversation of DiscoPOP, whose turns explore. It belongs to no operator."""

SAMPLE = "sample"
"""The prompt of `search.mode=sample`, which shows no earlier loss. Its proposals explore. It belongs to no operator."""

TUNE, SIMPLIFY = Operator.TUNE, Operator.SIMPLIFY
STUDIES: Mapping[str, Role] = MappingProxyType({TUNE: Role.REFINED, SIMPLIFY: Role.REFINED})
"""Operators of our own code, whatever the proposer: they train edited forms of a loss, and then propose at most one loss
(`evo.proposing.studies`). They are made at fixed steps and drawn by no bandit. With the role of their parent."""

BY_NAME: Mapping[str, SearchOperator] = MappingProxyType({operator.name: operator for operator in OPERATORS})
if len(BY_NAME) < len(OPERATORS):
    raise ValueError(f"two operators with the same name among {', '.join(operator.name for operator in OPERATORS)}")


def role_of(name: str | None) -> Role | None:
    """The role of an operator's parents; None for a seed loss, which has no operator, and for unknown operators."""
    if name is None:
        return None
    operator = BY_NAME.get(name)
    return operator.role if operator else STUDIES.get(name)
