"""Weights turned round: what had much weight gets little. The opposite of a change that did harm is often of use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from random import Random

from evo.proposing.genetic.builder import Value
from evo.proposing.genetic.proposal import GeneticProposal, Parent, named, stem
from evo.proposing.genetic.structure import Anatomy, exchanged
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph, verify
from sandbox.graph.nodes import GraphError

GATES = ("sigmoid", "hardsigmoid")
"""Operations that make a weight of a number."""


def turned(rng: Random, graph: VerifiedGraph, kept: Collection[int] = ()) -> tuple[LossGraph, str] | None:
    """`graph` with the slope of one of its weights negated, not verified yet, and what was done; None without a weight that is a
    gate.

    A weight has no gradient: it is detached, or does not depend on the policy. `kept`: `Anatomy.forms` that stay as they are.
    """
    gates = [i for i, node in enumerate(graph.nodes) if node.op in GATES]
    anatomy = Anatomy(graph)
    weights = [i for i in gates if not anatomy.reached[i] and anatomy.forms[i] not in kept]
    if not weights:
        return None
    at = rng.choice(weights)

    def gate(operands: Sequence[Value]) -> Value:
        return _negative(operands[0]).apply(graph.nodes[at].op)

    return exchanged(graph, at, gate), f"turned the weight round (the {graph.nodes[at].op} of the negative)"


def opposite(rng: Random, parent: Parent) -> GeneticProposal | None:
    """A weight that did harm, turned round: one of `parent`, if that scored lower than the baseline, or one that a child has and
    the parent has not, if the child scored lower than the parent. None if there is none that was not tried."""
    tried = [parent.graph.nodes, *(child.graph.nodes for child in parent.children)]
    own = frozenset(Anatomy(parent.graph).forms)
    lower: list[tuple[VerifiedGraph, frozenset[int], str]] = [
        (child.graph, own, f" of {child.name}, which scored lower") for child in parent.children if child.is_lower
    ]
    if parent.is_lower:
        lower.append((parent.graph, frozenset(), ""))
    for graph, kept, where in rng.sample(lower, len(lower)):
        found = turned(rng, graph, kept)
        if found is None or found[0].nodes in tried:
            continue
        words = f"From {parent.name}: {found[1]}{where}."
        with suppress(GraphError):  # a sign more than the largest graph that is allowed
            return GeneticProposal(verify(found[0]), named(stem(parent.name), "turned"), words)
    return None


def _negative(value: Value) -> Value:
    """The negative, with the sign in the constant of a product where it has one."""
    if value.op != "mul":
        return -value
    builder = value.builder
    factors = [Value(builder, i) for i in builder.node(value).args]
    for constant, other in (factors, factors[::-1]):
        if constant.op == "const":
            return builder.const(-float(builder.node(constant).attrs["value"])) * other
    return -value
