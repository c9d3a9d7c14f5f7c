"""The landscape of one loss at one beta: curve, features, and the plane if the loss is no function of the margin alone."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.plots.landscape.curve import Curve, along, curve_of
from analysis.plots.landscape.features import Features, features
from analysis.plots.landscape.plane import Over, Plane, plane
from sandbox.graph.loss_graph import VerifiedGraph

POINTS = 641
"""Even margins of the curve, before margins are added."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """What is shown of one loss at one beta."""

    name: str
    beta: float | None
    """None for a contract without beta."""
    curve: Curve
    features: Features
    plane: Plane | None
    """None for a function of the margin alone, and for losses of other contracts."""
    over: str
    """Symbol of the margin."""

    @property
    def label(self) -> str:
        """Name and beta."""
        return self.name if self.beta is None else f"{self.name}, beta {self.beta:g}"


def landscape(name: str, graph: VerifiedGraph, beta: float, reach: float | None = None) -> Landscape:
    """The landscape of a loss. `reach` is the largest margin in units of beta rho (or of the logit); by default that of the line.

    Raises MissingExtra without torch, and NothingToDraw if losses of this contract have no line.
    """
    loss = along(graph, beta)
    from analysis.plots.landscape.along import depends_on
    from sandbox.numeric.measure.lines import PairLine

    nats = loss.line.reach(beta) if reach is None else reach / loss.per_margin
    curve = curve_of(loss, POINTS, nats)
    beyond = depends_on(loss)
    flat = None
    if beyond.split or beyond.reference:
        flat = plane(loss, Over.RATIOS, nats / 2) if beyond.split else plane(loss, Over.REFERENCE, nats)
    return Landscape(
        name=name,
        beta=beta if loss.contract.scalars else None,
        curve=curve,
        features=features(loss, curve),
        plane=flat,
        over="rho" if isinstance(loss.line, PairLine) else "lead",
    )
