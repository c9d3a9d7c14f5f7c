"""VerifiedGraph -> the loss as one line, for lists in prompts. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers.names import known_names
from sandbox.graph.printers.python import body_lines

_PREFIXES = ("torch.", "F.", "math.")


@dataclass(frozen=True, slots=True)
class Formula:
    """A loss in one line of Python without module prefixes: `t1 = sigmoid(x / 0.05); (1 - t1) * exp(-x)`."""

    text: str
    where: tuple[str, ...]
    """Definitions of the usual names in it (rho, x, log-ratios), each as `name = expression`."""


def to_formula(graph: VerifiedGraph) -> Formula:
    """The loss in one line. Linear in the size of the graph."""
    usual = set(known_names(graph).values())
    steps: list[str] = []
    where: list[str] = []
    for line in body_lines(graph):
        for prefix in _PREFIXES:
            line = line.replace(prefix, "")
        name, separator, _ = line.partition(" = ")
        (where if separator and name in usual else steps).append(line.removeprefix("return "))
    return Formula("; ".join(steps), tuple(where))
