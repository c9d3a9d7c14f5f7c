"""Shape of a loss for pictures: its value and slope over the margin, computed from its graph.

The contract's record defines the margin (`line`): for a preference loss rho in nats, for a classification loss the logit of the
labelled class minus the largest other logit. A loss that couples the items of a batch has no curve of its own. It is drawn for
one item among fixed typical items (`coupled`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from analysis.output.errors import NothingToDraw, missing_extra
from sandbox.contracts.contract import contract_named
from sandbox.contracts.references import resolve
from sandbox.graph.dataflow import is_pointwise
from sandbox.graph.loss_graph import VerifiedGraph

if TYPE_CHECKING:
    from torch import Tensor

    from sandbox.numeric.measure.lines import Line

BETA = 0.1
"""Beta at which preference losses are drawn if the run's task has no beta: DPO's default."""

LARGEST = 3.4e38
"""The largest float32 number."""

BACKGROUND_REACH = 60.0
_BACKGROUND = tuple(10.0 * NormalDist().inv_cdf((i + 0.5) / 15) for i in range(15))
"""Margins of the typical items, in nats: quantiles of a normal distribution with standard deviation 10. They are scaled with the
range that is drawn, so that the deviation is a sixth of its reach."""


@dataclass(frozen=True)
class Curve:
    """Loss and slope (per nat, or per unit of logit) at `margins`. Values that are not finite in float32 are NaN, because losses
    train in float32."""

    margins: tuple[float, ...]
    values: tuple[float, ...]
    slopes: tuple[float, ...]
    coupled: bool
    axis: str
    """Label of the horizontal axis."""

    @property
    def usual_slope(self) -> float:
        """The largest absolute slope in the inner third of the margins, for scaling pictures; 1 for a loss that is flat there."""
        third = max(self.margins) / 3
        inner = [abs(s) for m, s in zip(self.margins, self.slopes, strict=True) if abs(m) <= third and math.isfinite(s)]
        return max(inner, default=0.0) or 1.0


def line_of(contract: str) -> Line:
    """The line over which losses of this contract are drawn. Loads torch. Raises NothingToDraw if its record has no `line`."""
    record = contract_named(contract)
    if record.line is None:
        raise NothingToDraw(
            f"losses of the contract {contract} are not drawn: its record has no line (docs/contracts.md)"
        )
    line: Line = resolve(record.line, f"contract {contract!r}: line")()
    return line


def curve(graph: VerifiedGraph, beta: float = BETA, points: int = 161) -> Curve:
    """The loss of `graph` over the margin at `points` margins, computed in float64.

    Raises MissingExtra without torch, and NothingToDraw if the contract's record has no `line`.
    """
    try:
        import torch

        from sandbox.execute.interpreter import compile_loss
    except ImportError:
        raise missing_extra("drawing the shape of a loss", "torch", "train") from None
    loss = compile_loss(graph)
    line = line_of(graph.contract)
    reach = line.reach(beta)
    margins = torch.linspace(-reach, reach, points, dtype=torch.float64)

    def total_and_own(rho: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of a batch of margins: the sum (for the gradient), and the loss of each item."""
        losses = loss(*line.arguments(rho, beta))
        return losses.sum(), losses

    def along(rho: Tensor) -> tuple[Tensor, Tensor]:
        rho = rho.detach().requires_grad_()
        total, own = total_and_own(rho)
        slopes = torch.autograd.grad(total, rho, allow_unused=True)[0] if total.requires_grad else None
        return own.detach(), torch.zeros_like(rho) if slopes is None else slopes

    coupled = not is_pointwise(graph)
    if coupled:
        background = torch.tensor(_BACKGROUND, dtype=torch.float64) * (reach / BACKGROUND_REACH)
        pairs = [along(torch.cat([margin[None], background])) for margin in margins]
        values, slopes = torch.stack([v[0] for v, _ in pairs]), torch.stack([s[0] for _, s in pairs])
    else:
        values, slopes = along(margins)
    return Curve(_floats(margins), _floats(values), _floats(slopes), coupled, line.axis)


def _floats(tensor: Tensor) -> tuple[float, ...]:
    return tuple(value if abs(value) <= LARGEST else math.nan for value in tensor.tolist())
