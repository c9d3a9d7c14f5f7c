"""A preference loss over two quantities, for losses that are no function of the margin alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from analysis.plots.landscape.curve import LARGEST
from analysis.plots.landscape.resolution import Array

if TYPE_CHECKING:
    from analysis.plots.landscape.along import Along

POINTS = 61
"""Values on each axis. Their number is odd, so that the axis has 0, where training starts."""


class Over(StrEnum):
    """The two quantities of a plane: across, up."""

    RATIOS = "ratios"
    """The log-ratio of the chosen completion, and that of the rejected one."""
    REFERENCE = "reference"
    """The margin rho, split evenly, and the lead: by how much the reference finds the chosen completion more probable."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Loss and slopes over two quantities in nats: `axis` for the columns and for the rows.

    The arrays have the shape (POINTS, POINTS); slopes are per nat of the log-ratios. Values that are not finite in float32 are NaN.
    The reference's log-probabilities are -60 nats on average.
    """

    over: Over
    axis: Array
    values: Array
    chosen: Array
    rejected: Array

    @property
    def lowers_margin(self) -> Array:
        """Where a gradient step lowers the margin h_w - h_l."""
        return np.asarray(self.chosen - self.rejected > self._flat)

    @property
    def lowers_chosen(self) -> Array:
        """Where a gradient step lowers the probability of the chosen completion."""
        return np.asarray(self.chosen > self._flat)

    @property
    def raises_rejected(self) -> Array:
        """Where a gradient step raises the probability of the rejected completion."""
        return np.asarray(self.rejected < -self._flat)

    @property
    def _flat(self) -> float:
        size = np.abs(np.stack([self.chosen, self.rejected]))
        return 1e-9 * float(np.nanmedian(size)) if np.isfinite(size).any() else 0.0


def plane(loss: Along, over: Over, reach: float) -> Plane:
    """The plane up to `reach` nats on both axes. Raises NothingToDraw if the loss cannot be computed there."""
    axis = np.linspace(-reach, reach, POINTS)
    up, across = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    given = (across, up, np.zeros_like(up)) if over is Over.RATIOS else (across / 2, -across / 2, up)
    seen = loss.over(*given)
    found = (np.where(np.abs(x) <= LARGEST, x, np.nan) for x in seen)
    values, chosen, rejected = (x.reshape(POINTS, POINTS) for x in found)
    return Plane(over, axis, values, chosen, rejected)
