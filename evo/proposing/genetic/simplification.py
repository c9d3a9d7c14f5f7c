"""Simplification of a loss: one side of a sum, a mixture or a choice is dropped. This limits the growth of losses.

Also the form of a mutation, of which simplifying is one, and the attempt to apply it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from evo.proposing.genetic.structure import Anatomy, Use, replaced_by_operand, size_with_operand
from evo.proposing.genetic.turn import GATES
from sandbox.graph.loss_graph import VerifiedGraph, verify
from sandbox.graph.nodes import GraphError, Node

Change = tuple[VerifiedGraph, str, str]
"""The changed graph, what was done in words with its numbers, and a tag for the name."""
Mutation = Callable[[Random, VerifiedGraph], Change | None]


def attempt(mutation: Mutation, rng: Random, graph: VerifiedGraph) -> Change | None:
    """The result of `mutation`; None if it does not apply, changes nothing or removes the gradient."""
    try:
        change = mutation(rng, graph)
    except GraphError:
        return None
    if change is None or change[0].nodes == graph.nodes or not Anatomy(change[0]).pulled >= Anatomy(graph).pulled:
        return None
    return change


def simplify(rng: Random, graph: VerifiedGraph) -> Change | None:
    """Drop one side of a sum, a mixture or a choice. This limits the growth of losses."""
    found, droppable, pulled = [], sides(graph), Anatomy(graph).pulled
    for use in rng.sample(droppable, min(len(droppable), 8)):
        operations, still = size_with_operand(graph, use)
        if operations < graph.operations and still >= pulled:
            found.append((use, graph.operations - operations))
    if not found:
        return None
    use = rng.choices([use for use, _ in found], [saved for _, saved in found])[0]
    change = replaced_by_operand(graph, use)
    words = f"kept one operand of its {graph.nodes[use.node].op} ({graph.operations} to {change.operations} operations)"
    return verify(change), words, "simpler"


def sides(graph: VerifiedGraph) -> list[Use]:
    """Operands that could stand for the whole of the operation that reads them: those that read the same inputs. A term that does
    not see the labels, for example, does not train a model alone."""
    anatomy, whole = Anatomy(graph), graph.types[graph.output]
    return [
        Use(i, k)
        for i, node in enumerate(graph.nodes)
        if node.op in ("add", "maximum", "minimum", "logaddexp", "where", "mul")
        and graph.types[i] == whole
        and i not in anatomy.margins
        for k, a in enumerate(node.args)
        if graph.types[a] == whole and a not in anatomy.margins and anatomy.reads[a] == anatomy.reads[i]
        if _may_stay(anatomy, node, k)
    ]


def _may_stay(anatomy: Anatomy, node: Node, position: int) -> bool:
    """Whether an operand is a loss of its own. Of a product, only a weight may go: a weight alone may push the wrong way. Of a sum,
    only the smaller side may go, which is often a term that does not train a model alone."""
    own, other = node.args[position], node.args[1 - position]
    if node.op == "mul":
        return is_weight(anatomy, other)
    return node.op != "add" or anatomy.sizes[own] >= anatomy.sizes[other]


def simplified(rng: Random, graph: VerifiedGraph, most: int) -> VerifiedGraph:
    """`graph` with sides dropped until it takes at most `most` operations, as far as that goes."""
    while graph.operations > most:
        change = attempt(simplify, rng, graph)
        if change is None:
            break
        graph = change[0]
    return graph


def is_weight(anatomy: Anatomy, index: int) -> bool:
    """Whether it is a factor without a gradient, or a gate."""
    steady = anatomy.graph.nodes[index].op == "detach" or not anatomy.learns[index]
    return steady or is_gate(anatomy, index)


def is_gate(anatomy: Anatomy, index: int) -> bool:
    """Whether it is a sigmoid or 1 less one: a weight rather than the loss itself."""
    nodes = anatomy.graph.nodes
    node = nodes[index]
    if node.op == "sub" and nodes[node.args[0]].op == "const":
        node = nodes[node.args[1]]
    return node.op in GATES
