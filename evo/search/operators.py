"""The operators of the search: one record each, in the order in which their chances are drawn. CONTRIBUTING.md says how to add one.

The parts that are code lie where they are used, and are looked for when that is imported: prompt templates by
`evo.proposing.prompting`, genetic functions by `evo.proposing.genetic`. A part that is missing is an error that names the
operator and the part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from archive.records import Operator, Role, is_operator


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOperator:
    """One way to make a new loss of earlier ones. Raises ValueError, which names the part, for what cannot be."""

    name: str
    """As archives, reports and prompts call it."""
    role: Role
    """What its parents are to the child, which decides who they are: `explored_from` are measured losses unlike each other, of
    which there may be too few or none; `refined` and `combined` are drawn from the accepted ones, fitter ones likelier;
    `repaired` is the latest refused one that nobody has tried to repair."""
    parents: int
    """How many it takes. It waits until there are so many, unless they are `explored_from`."""
    prior: float
    """Its weight before the search has learned anything, beside those of the others."""
    prompt: str
    """Name of the template, `prompts/PROMPT.j2`, that asks a language model for such a loss."""
    genetic: str
    """"module:function" of the built-in proposer's: (rng, contract, parents, rules) -> GeneticProposal. `rules` are the codes
    of the findings that refused the parents."""

    def __post_init__(self) -> None:
        if not is_operator(self.name):
            raise ValueError(f"operator {self.name}: name: expected lower-case letters, digits and underscores")
        if self.parents < 1:
            raise ValueError(f"operator {self.name}: parents: expected at least 1, got {self.parents}")
        if not (self.prior > 0 and math.isfinite(self.prior)):
            raise ValueError(f"operator {self.name}: prior: expected a number above 0, got {self.prior}")

    @property
    def needs_parents(self) -> bool:
        """Whether it makes its loss of its parents, and not only unlike them."""
        return self.role is not Role.EXPLORED_FROM


OPERATORS: tuple[SearchOperator, ...] = (
    SearchOperator(
        name=Operator.EXPLORE,
        role=Role.EXPLORED_FROM,
        parents=3,
        prior=1.0,
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
        prior=1.2,
        prompt="combine",
        genetic="evo.proposing.genetic.combine:combine",
    ),
    SearchOperator(
        name=Operator.REPAIR,
        role=Role.REPAIRED,
        parents=1,
        prior=2.4,  # it counts only where there is something to repair
        prompt="repair",
        genetic="evo.proposing.genetic.repair:repair",
    ),
)

CHAT = "chat"
"""The prompt of the paper's growing chat, whose next turn explores; it is no operator's."""

BY_NAME: Mapping[str, SearchOperator] = MappingProxyType({operator.name: operator for operator in OPERATORS})
if len(BY_NAME) < len(OPERATORS):
    raise ValueError(f"two operators of one name among {', '.join(operator.name for operator in OPERATORS)}")


def role_of(name: str) -> Role | None:
    """The role of the parents of an operator's child; None for seeds and for operators that are not known here."""
    return BY_NAME[name].role if name in BY_NAME else None
