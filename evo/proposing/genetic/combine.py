"""Combine operator: one loss made from two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random

from evo.proposing.genetic.builder import Builder, Value, log_uniform, rounded, uniform
from evo.proposing.genetic.explore import explore
from evo.proposing.genetic.grammars.grammar import grammar_of
from evo.proposing.genetic.proposal import NO_HINTS, GeneticProposal, Hints, Parent, named, stem
from evo.proposing.genetic.refine import LARGE, constant_at, tunable_uses
from evo.proposing.genetic.shapes import batch_statistic
from evo.proposing.genetic.simplification import is_weight, simplified
from evo.proposing.genetic.structure import Anatomy, Use, edited
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph
from sandbox.graph.nodes import GraphError

Crossing = Callable[[Random, VerifiedGraph, VerifiedGraph], tuple[VerifiedGraph, str, str]]
"""From two graphs to one, what was done in words with its numbers (of {a} and {b}), and a tag for the name."""


def combine(rng: Random, contract: str, parents: Sequence[Parent], hints: Hints = NO_HINTS) -> GeneticProposal:
    """A loss made from two of `parents`, or, if all are equal, from one parent and a new loss of the grammar.

    They are mixed by a constant or a gate, or one gets a term of the other, or, if they have one form, constants between both.

    Raises ValueError where `parents` is empty.
    """
    if not parents:
        raise ValueError("combine needs at least one parent, got none")
    first, second = (_trimmed(rng, p) for p in _pair(rng, parents))
    for kind, crossing in _order(rng, hints):
        try:
            graph, words, tag = crossing(rng, first.graph, second.graph)
        except GraphError:
            continue
        if graph.nodes in (first.graph.nodes, second.graph.nodes) or not Anatomy(graph).pulled:
            continue
        name = named(_joint_stem(first.name, second.name), tag)
        return GeneticProposal(graph, name, f"{words.format(a=first.name, b=second.name)}.", kind)
    raise ValueError("the parents cannot be combined: together they exceed the largest graph that is allowed")


def _pair(rng: Random, parents: Sequence[Parent]) -> tuple[Parent, Parent]:
    first = rng.choice(parents)
    others = [p for p in parents if p.graph != first.graph]
    if others:
        return first, rng.choice(others)
    grown = explore(rng, first.graph.contract, parents)
    return first, Parent(grown.graph, grown.name)


def _trimmed(rng: Random, parent: Parent) -> Parent:
    return Parent(simplified(rng, parent.graph, LARGE // 2), parent.name)


def _joint_stem(first: str, second: str) -> str:
    """The first words of both names, each once."""
    words = [*stem(first).split("_")[:2], *stem(second).split("_")[:2]]
    return "_".join(dict.fromkeys(words))


def _order(rng: Random, hints: Hints) -> list[tuple[str, Crossing]]:
    chances = [(rng.random() ** (1.0 / (weight * hints.factor(kind))), kind, c) for weight, kind, c in _CROSSINGS]
    return [(kind, crossing) for _, kind, crossing in sorted(chances, key=lambda entry: -entry[0])]


def _both(first: VerifiedGraph, second: VerifiedGraph) -> tuple[Builder, Value, Value]:
    builder = Builder(first.contract)
    return builder, builder.graft(first)[first.output], builder.graft(second)[second.output]


def _constant(rng: Random, first: VerifiedGraph, second: VerifiedGraph) -> tuple[VerifiedGraph, str, str]:
    builder, a, b = _both(first, second)
    w = uniform(rng, 0.15, 0.85)
    return builder.finish(w * a + (1.0 - w) * b), f"Added {w:g} times {{a}} and {1 - w:.3g} times {{b}}", "mix"


def _gated(rng: Random, first: VerifiedGraph, second: VerifiedGraph) -> tuple[VerifiedGraph, str, str]:
    """The mixture of LRML, with its gate's gradient mostly stopped."""
    builder, a, b = _both(first, second)
    k, m = log_uniform(rng, 0.5, 10.0), uniform(rng, -0.3, 0.5)
    gate = (k * (grammar_of(first.contract).margin(builder) - m)).sigmoid()
    detached = rng.random() < 0.75
    if detached:
        gate = gate.detach()
    words = f"Changed from {{a}} to {{b}} with the weight {'detached ' if detached else ''}sigmoid({k:g} (x - {m:g}))"
    return builder.finish((1.0 - gate) * a + gate * b), words, "gate"


def _adaptive(rng: Random, first: VerifiedGraph, second: VerifiedGraph) -> tuple[VerifiedGraph, str, str]:
    """The mixture of DBAQL: a gate on a statistic of the batch."""
    builder, a, b = _both(first, second)
    statistic, value = batch_statistic(rng, grammar_of(first.contract).margin(builder))
    k, m = log_uniform(rng, 0.5, 6.0), uniform(rng, 0.0, 1.0)
    gate = (k * (value - m)).sigmoid().detach()
    words = f"Changed from {{a}} to {{b}} where the batch's {statistic} of x exceeds {m:g} (slope {k:g})"
    return builder.finish((1.0 - gate) * a + gate * b), words, "adapt"


def _interpolated(rng: Random, first: VerifiedGraph, second: VerifiedGraph) -> tuple[VerifiedGraph, str, str]:
    """For two losses that differ in their constants alone: constants between them, or a little beyond."""
    same = [(n.op, n.args) for n in first.nodes] == [(n.op, n.args) for n in second.nodes]
    uses = [u for u in tunable_uses(first) if constant_at(first, u) * _constant_or_zero(second, u) > 0] if same else []
    pairs = {u: (constant_at(first, u), constant_at(second, u)) for u in uses}
    if all(a == b for a, b in pairs.values()):
        raise GraphError("SBX220", "no two losses of one form")
    share = uniform(rng, -0.5, 1.5)
    moved = {u: rounded(a * (b / a) ** share) for u, (a, b) in pairs.items()}
    change = {u: partial(_replaced, value) for u, value in moved.items()}
    return (
        edited(first, change),
        f"Moved the constants of {{a}} by {share:g} of their distance to those of {{b}}",
        "between",
    )


def _constant_or_zero(graph: VerifiedGraph, use: Use) -> float:
    value = graph.nodes[graph.nodes[use.node].args[use.position]].attrs.get("value", 0.0)
    return float(value)


def _replaced(new: float, value: Value) -> Value:
    return value.builder.const(new)


def _lent(rng: Random, first: VerifiedGraph, second: VerifiedGraph) -> tuple[VerifiedGraph, str, str]:
    """A term of the second, added to the whole of the first. It keeps the scale that it has beside the rest of the second: it is
    given in proportion to the loss that it was added to there."""
    terms = list(_terms(second))
    if not terms:
        raise GraphError("SBX220", "no term to lend")
    j = rng.choice(terms)
    builder = Builder(first.contract)
    loss = builder.graft(first)[first.output]
    term = builder.graft(LossGraph(second.contract, second.nodes[: j + 1], j))[j]
    k = log_uniform(rng, 0.5, 2.0)
    return builder.finish(loss + k * term), f"Added {k:g} times the {second.nodes[j].op} of {{b}} to {{a}}", "lent"


def _terms(graph: VerifiedGraph) -> Iterator[int]:
    """Nodes of the terms of the sum at the top of a loss, also below a product with a weight."""
    whole, anatomy = graph.types[graph.output], Anatomy(graph)
    open_nodes = [graph.output]
    while open_nodes:
        node = graph.nodes[open_nodes.pop()]
        sides = [a for a in node.args if graph.types[a] == whole and anatomy.reads[a]]
        if node.op == "add":
            yield from (a for a in sides if len(sides) == 2 and anatomy.learns[a])
            open_nodes += sides
        elif node.op == "mul":
            open_nodes += [a for a in sides if not is_weight(anatomy, a)]


_CROSSINGS: tuple[tuple[float, str, Crossing], ...] = (
    (8.0, "between", _interpolated),
    (2.0, "lent", _lent),
    (2.5, "mixture", _constant),
    (1.2, "gate", _gated),
    (0.8, "batch_gate", _adaptive),
)

KINDS = tuple(kind for _, kind, _ in _CROSSINGS)
