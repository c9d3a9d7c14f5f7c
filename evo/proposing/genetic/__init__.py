"""The built-in proposer: typed genetic programming on loss graphs, the prompt-less twin of the language model.

Its operators are pure functions of a `random.Random`: the same generator state and parents give the same proposal, on every
machine. All that they give verifies; whether it trains, the sandbox's numeric tests say. No torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

from archive.records import Operator
from evo.proposing.genetic.proposal import Genetic, GeneticProposal, Parent
from evo.search.operators import BY_NAME, OPERATORS
from sandbox.contracts.references import resolve

VERSION = 1
"""Raised whenever the same generator state gives other proposals than before."""

_GENETIC: Mapping[str, Genetic] = {o.name: resolve(o.genetic, f"operator {o.name}: genetic") for o in OPERATORS}


def propose(
    rng: Random, contract: str, operator: str, parents: Sequence[Parent] = (), rules: Collection[str] = ()
) -> GeneticProposal:
    """A proposal by the operator called `operator`; `rules` are the codes that refused the parent of a repair.

    An operator that lacks its parents explores instead. Raises ValueError for an unknown operator or contract.
    """
    if operator not in BY_NAME:
        raise ValueError(f"no operator {operator!r}: expected one of {', '.join(BY_NAME)}")
    return _GENETIC[operator if parents else Operator.EXPLORE](rng, contract, parents, rules)


__all__ = ["VERSION", "GeneticProposal", "Parent", "propose"]
