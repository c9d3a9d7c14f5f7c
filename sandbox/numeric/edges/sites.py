"""Sites: the nodes of a graph at which its loss can change abruptly, each with the quantity that decides. No torch.

They are the edges that the records of the operations name, and polynomials of high degree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sandbox.contracts.contract import BATCH
from sandbox.graph.latest import kept_for_latest
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.operations import OPERATIONS
from sandbox.graph.operations.parts.edges import HIGHEST_DEGREE, STEEP_DEGREE, Kind, Site, Use
from sandbox.graph.types import Dim

__all__ = ["AT_ONCE", "EDGES", "Kind", "Site", "degrees", "ranked_among_values", "sites"]

EDGES: Final = frozenset({Kind.BELOW, Kind.ABOVE, Kind.KINK, Kind.STEEP})
AT_ONCE: Final = frozenset({Kind.ROUNDING, Kind.EQUALITY, Kind.CHOICE, Kind.WAVE})
"""Kinds that can single out a value of their quantity by themselves, without a second condition."""


@kept_for_latest
def sites(graph: VerifiedGraph) -> tuple[Site, ...]:
    """All sites of a graph. Comparisons of the batch's items with each other do not count."""
    found: dict[Site, None] = {}
    uses = _uses(graph)
    polynomials = _degrees(graph, uses, [True] * len(uses))
    for i, node in enumerate(graph.nodes):
        for site in OPERATIONS[node.op].edges.sites(uses[i]):
            found[site] = None
        if polynomials[i] > STEEP_DEGREE and all(polynomials[a] <= STEEP_DEGREE for a in node.args):
            found[Site(i, Kind.KINK, i, None, 1.0)] = None  # tiny below one, and huge soon above
    return tuple(found)


def ranked_among_values(graph: VerifiedGraph) -> list[int]:
    """The nodes that sort the batch's items together with other values."""
    uses = _uses(graph)
    return [
        i
        for i, node in enumerate(graph.nodes)
        if OPERATIONS[node.op].edges.orders
        and any(d.constant is None and d.divide(_B) is None for d in uses[i].lengths())
    ]


def degrees(graph: VerifiedGraph, counted: Sequence[bool]) -> list[int]:
    """For each node a bound on its degree as a polynomial of the inputs, through the nodes that are `counted`. A node that is no
    polynomial of its operands has degree one."""
    return _degrees(graph, _uses(graph), counted)


def _degrees(graph: VerifiedGraph, uses: Sequence[Use], counted: Sequence[bool]) -> list[int]:
    found: list[int] = []
    for i, node in enumerate(graph.nodes):
        degree = OPERATIONS[node.op].edges.degree(uses[i], [found[a] for a in node.args]) if counted[i] else 0
        found.append(min(degree, HIGHEST_DEGREE))
    return found


_B: Final = Dim.of(BATCH)


def _uses(graph: VerifiedGraph) -> list[Use]:
    types, nodes = graph.types, graph.nodes
    return [Use(i, node.args, node.attrs, types, nodes) for i, node in enumerate(nodes)]
