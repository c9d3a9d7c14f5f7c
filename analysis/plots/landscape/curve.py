"""A loss along its margin: the curve that pictures draw and features are read from.

The contract's record defines the margin (`line`): for a preference loss rho in nats, for a classification loss the logit of the
labelled class minus the largest other logit. A loss that couples the items of a batch has no curve of its own. It is drawn for
one item among fixed typical items (`coupled`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.output.errors import NothingToDraw, missing_extra
from analysis.plots.landscape.resolution import Array, refined, start_grid, usual_size
from sandbox.contracts.contract import contract_named
from sandbox.contracts.references import resolve
from sandbox.graph.loss_graph import LossGraph, verify

if TYPE_CHECKING:
    from analysis.plots.landscape.along import Along
    from sandbox.numeric.measure.lines import Line

BETA = 0.1
"""Beta at which preference losses are drawn if the run's task has no beta: DPO's default."""

LARGEST = 3.4e38
"""The largest float32 number."""

POINTS = 161
"""Even margins of a curve, before margins are added where it bends."""


@dataclass(frozen=True)
class Curve:
    """Loss and slope (per nat, or per unit of logit) at `margins`, in order. Values that are not finite in float32 are NaN, because
    losses train in float32."""

    margins: tuple[float, ...]
    values: tuple[float, ...]
    slopes: tuple[float, ...]
    coupled: bool
    axis: str
    """Label of the horizontal axis."""

    @property
    def usual_slope(self) -> float:
        """The largest absolute slope in the inner third of the margins, for scaling pictures; 1 for a loss that is flat there."""
        return usual_size(np.array(self.margins), np.array(self.slopes))


def line_of(contract: str) -> Line:
    """The line over which losses of this contract are drawn. Loads torch. Raises NothingToDraw if its record has no `line`, or if
    there is no such contract here."""
    try:
        record = contract_named(contract)
    except ValueError as error:  # of a package that is not installed
        raise NothingToDraw(f"losses of the contract {contract} are not drawn: {error}") from None
    if record.line is None:
        raise NothingToDraw(
            f"losses of the contract {contract} are not drawn: its record has no line (docs/contracts.md)"
        )
    line: Line = resolve(record.line, f"contract {contract!r}: line")()
    return line


def along(graph: LossGraph, beta: float) -> Along:
    """The loss of `graph` along its contract's line, in float64. Raises MissingExtra without torch, and NothingToDraw."""
    try:
        import torch  # noqa: F401

        from analysis.plots.landscape.along import Along
    except ImportError:
        raise missing_extra("drawing the shape of a loss", "torch", "train") from None
    return Along(verify(graph), line_of(graph.contract), beta)


def curve(graph: LossGraph, beta: float = BETA, points: int = POINTS, reach: float | None = None) -> Curve:
    """The loss of `graph` over the margin: at `points` even margins up to `reach` (default: the line's), at ever closer ones
    around 0 and the loss's own kinks, and wherever the curve bends.

    Raises MissingExtra without torch, and NothingToDraw if the contract's record has no `line`.
    """
    return curve_of(along(graph, beta), points, reach)


def curve_of(loss: Along, points: int = POINTS, reach: float | None = None) -> Curve:
    """The same, of a loss whose line is known."""
    reach = loss.line.reach(loss.beta) if reach is None else reach
    margins, values, slopes = refined(loss, start_grid(reach, points, loss.edges(reach, max(points, 401))))
    return Curve(_floats(margins), _floats(values), _floats(slopes), loss.coupled, loss.line.axis)


def _floats(numbers: Array) -> tuple[float, ...]:
    return tuple(value if abs(value) <= LARGEST else math.nan for value in numbers.tolist())
