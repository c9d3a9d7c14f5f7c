"""Explore operator: a new loss generated from the contract's grammar, different from its parents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from evo.proposing.genetic.builder import Builder, Value
from evo.proposing.genetic.grammars.grammar import Grammar, grammar_of
from evo.proposing.genetic.proposal import NO_HINTS, GeneticProposal, Hints, Parent, named
from evo.proposing.genetic.shapes import SHAPES, Piece, blend, choose
from sandbox.graph.loss_graph import VerifiedGraph

_TRIES = 8
_WHOLE = 0.15
_BLEND = 0.4
_WEIGHT = 0.2
_TERM = 0.25
"""How often a grown loss is not a function of x alone, mixes two shapes, weighs its items, has an extra term."""


def explore(rng: Random, contract: str, parents: Sequence[Parent] = (), hints: Hints = NO_HINTS) -> GeneticProposal:
    """A loss generated from the grammar of `contract`, with other operations than any of `parents` if possible.

    Raises ValueError for a contract without a grammar.
    """
    grammar = grammar_of(contract)
    shown = [_operations(p.graph) for p in parents]
    best: tuple[float, GeneticProposal] | None = None
    for _ in range(_TRIES):
        proposal = _grown(rng, grammar)
        own = _operations(proposal.graph)
        likeness = max((len(own & o) / len(own | o) for o in shown), default=0.0)
        # A loss without a number of its own is a published one.
        likeness += not any(c.isdigit() for c in proposal.thought)
        if best is None or likeness < best[0]:
            best = likeness, proposal
        if likeness < 0.8:
            break
    assert best is not None
    return best[1]


def _grown(rng: Random, grammar: Grammar) -> GeneticProposal:
    builder = Builder(grammar.contract)
    piece = grow(rng, builder, grammar)
    meaning = f"; {grammar.margin_words}" if re.search(r"\bx\b", piece.words) else ""
    return GeneticProposal(
        graph=builder.finish(piece.value),
        name=named(piece.tag),
        thought=f"Built {piece.words}{meaning}.",
    )


def grow(rng: Random, builder: Builder, grammar: Grammar) -> Piece:
    """A random loss with one value per item, built in `builder`."""
    piece = _core(rng, builder, grammar)
    if rng.random() < _WEIGHT * grammar.weighing and grammar.weights:
        weight = grammar.draw(rng, grammar.weights, builder)
        piece = Piece(weight.value * piece.value, f"({weight.words}) times {piece.words}", f"{weight.tag}_{piece.tag}")
    if rng.random() < _TERM and grammar.terms:
        term = grammar.draw(rng, grammar.terms, builder)
        piece = Piece(piece.value + term.value, f"{piece.words}, plus {term.words}", f"{piece.tag}_{term.tag}")
    return piece


def _core(rng: Random, builder: Builder, grammar: Grammar) -> Piece:
    if rng.random() < _WHOLE and grammar.whole:
        return grammar.draw(rng, grammar.whole, builder)
    margins = grammar.margins
    margin = grammar.draw(rng, margins, builder) if margins else Piece(grammar.margin(builder), "", "")
    piece = _shape(rng, margin.value)
    if margin.words:
        return Piece(piece.value, f"{piece.words}, {margin.words}", f"{margin.tag}_{piece.tag}")
    return piece


def _shape(rng: Random, x: Value) -> Piece:
    shape = choose(rng, SHAPES)
    if rng.random() >= _BLEND:
        return shape(rng, x)
    other = choose(rng, [entry for entry in SHAPES if entry[1] is not shape])
    return blend(rng, x, shape(rng, x), other(rng, x))


def _operations(graph: VerifiedGraph) -> frozenset[str]:
    """The operations and inputs of a loss: a coarse measure of similarity that does not depend on constants."""
    return frozenset(n.op for n in graph.nodes) | graph.inputs
