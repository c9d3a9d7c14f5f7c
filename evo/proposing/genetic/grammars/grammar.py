"""Grammar record of a contract for the built-in proposer: its margin, extra terms, and losses of other forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

from evo.proposing.genetic.builder import Builder, Value
from evo.proposing.genetic.shapes import Piece
from sandbox.contracts.contract import ContractError, contract_named
from sandbox.contracts.references import resolve

Term = Callable[[Random, Builder], Piece]


@dataclass(frozen=True, slots=True)
class Grammar:
    """The contract-specific part of the built-in proposer; the contract's record names it."""

    contract: str
    margin: Callable[[Builder], Value]
    """x, the margin: the larger, the more the model prefers the right answer; shape (batch,)."""
    margin_words: str
    """Description of x for the thought."""
    margins: tuple[tuple[float, Term], ...] = ()
    """Variants of x with their weights; `words` is empty for x itself. None: x alone."""
    whole: tuple[tuple[float, Term], ...] = ()
    """Whole losses that are not functions of x alone, with their weights."""
    terms: tuple[tuple[float, Term], ...] = ()
    """Small terms to add to a loss, with their weights."""
    weights: tuple[tuple[float, Term], ...] = ()
    """Positive factors per item, without a gradient, with their weights."""
    weighing: float = 1.0
    """How much more often than usual a loss gets such a factor."""
    smoothed: Callable[[Random, Builder, Callable[[Mapping[str, Value]], Value]], tuple[Value, str]] | None = None
    """A loss made tolerant of wrong labels, given the loss as a function of replaced inputs; with what was done."""
    reversed_inputs: Callable[[Builder], Mapping[str, Value]] | None = None
    """Inputs under which a loss prefers the opposite."""
    tempered_inputs: Callable[[Builder, float], Mapping[str, Value]] | None = None
    """Inputs under which x is multiplied by a factor."""

    def draw(self, rng: Random, table: tuple[tuple[float, Term], ...], builder: Builder) -> Piece:
        """One entry of `table`, in proportion to its weight."""
        return rng.choices([t for _, t in table], [w for w, _ in table])[0](rng, builder)


@cache
def grammar_of(contract: str) -> Grammar:
    """The grammar of a contract. Raises ValueError for an unknown contract, and for one without a grammar or with a broken one."""
    found = resolve(contract_named(contract).part("grammar"), f"contract {contract!r}: grammar")
    if not isinstance(found, Grammar):
        raise ContractError(f"contract {contract!r}: grammar: expected a Grammar, got {type(found).__name__}")
    return found
