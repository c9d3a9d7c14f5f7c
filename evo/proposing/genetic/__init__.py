"""Built-in proposer: typed genetic programming on loss graphs, with the same operators as the language model.

The operators are pure functions of a `random.Random`: the same generator state and parents give the same proposal on every machine.
All results are verified graphs; the numeric tests of the sandbox decide whether they can be trained. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from archive.records import Operator
from evo.proposing.genetic import combine, refine
from evo.proposing.genetic.proposal import NO_HINTS, Genetic, GeneticProposal, Hints, Parent
from evo.search.operators import BY_NAME, OPERATORS
from sandbox.contracts.references import resolve

VERSION = 6
"""Increased whenever the same generator state gives other proposals than before."""

KINDS = (*refine.KINDS, *combine.KINDS)
"""The kinds of changes, for which a run learns how often they pay."""

_GENETIC: Mapping[str, Genetic] = {o.name: resolve(o.genetic, f"operator {o.name}: genetic") for o in OPERATORS}


def propose(
    rng: Random, contract: str, operator: str, parents: Sequence[Parent] = (), hints: Hints = NO_HINTS
) -> GeneticProposal:
    """A proposal by the named operator.

    An operator that lacks its parents explores instead. Raises ValueError for an unknown operator or contract.
    """
    if operator not in BY_NAME:
        raise ValueError(f"no operator {operator!r}: expected one of {', '.join(BY_NAME)}")
    return _GENETIC[operator if parents else Operator.EXPLORE](rng, contract, parents, hints)


__all__ = ["KINDS", "VERSION", "GeneticProposal", "Hints", "Parent", "propose"]
