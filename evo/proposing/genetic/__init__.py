"""The built-in proposer: typed genetic programming on loss graphs, the prompt-less twin of the language model.

Four operators, pure functions of a `random.Random`: the same generator state and parents give the same proposal, on every
machine. All that they give verifies; whether it trains, the sandbox's numeric tests say. No torch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from evo.proposing.genetic.combine import combine
from evo.proposing.genetic.explore import GRAMMARS, explore
from evo.proposing.genetic.proposal import GeneticOperator, GeneticProposal, Parent
from evo.proposing.genetic.refine import refine
from evo.proposing.genetic.repair import repair

VERSION = 1
"""Raised whenever the same generator state gives other proposals than before."""


def propose(
    rng: Random, contract: str, operator: str, parents: Sequence[Parent] = (), rules: Collection[str] = ()
) -> GeneticProposal:
    """A proposal by the operator called `operator`; `rules` are the codes that refused the parent of a repair.

    An operator that lacks its parents explores instead. Raises ValueError for an unknown operator or contract.
    """
    wanted = GeneticOperator(operator)
    if wanted is GeneticOperator.EXPLORE or not parents:
        return explore(rng, contract, parents)
    if wanted is GeneticOperator.REFINE:
        return refine(rng, parents[0])
    if wanted is GeneticOperator.COMBINE:
        return combine(rng, parents)
    return repair(rng, parents[0], rules)


__all__ = [
    "GRAMMARS",
    "VERSION",
    "GeneticOperator",
    "GeneticProposal",
    "Parent",
    "combine",
    "explore",
    "propose",
    "refine",
    "repair",
]
