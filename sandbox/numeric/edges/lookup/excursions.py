"""Narrow excursions: a value departs from its level on both sides of a place, and returns within a short distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from sandbox.execute.evaluate import Array
from sandbox.numeric.edges.lookup.shifts import LOWEST

_LADDER = np.array(
    [
        1e-5,
        1e-4,
        1e-3,
        0.01,
        0.02,
        0.035,
        0.05,
        0.075,
        0.1,
        0.125,
        0.15,
        0.175,
        0.2,
        0.25,
        0.35,
        0.5,
        0.75,
        1.0,
        2.0,
        3.0,
        5.0,
    ]
)
OFFSETS: Final = np.concatenate([-_LADDER[::-1], [0.0], _LADDER])
"""Distances from the place at which values are computed, nats."""


def nearest_inside(inputs: Array) -> Array:
    """For each step of inputs (rows, steps, 4), the index of the nearest step whose log-probabilities lie within the range."""
    within: Array = np.all((inputs >= LOWEST) & (inputs < 0.0), axis=2)
    steps = np.arange(inputs.shape[1])
    first, last = within.argmax(axis=1), len(steps) - 1 - within[:, ::-1].argmax(axis=1)
    return np.asarray(np.clip(steps, first[:, None], last[:, None]))


@dataclass(frozen=True, slots=True)
class Excursion:
    """A narrow excursion: width in nats, the value inside it and beside it, and its row and the step of its top."""

    width: float
    inside: float
    beside: float
    row: int
    step: int


def narrowest_excursion(value: Array, offsets: Array, most: Array, noise: float) -> Excursion | None:
    """The narrowest excursion of values (rows, steps, entries) at offsets (rows, steps) among those narrower than `most` (rows,);
    None if there is none."""
    value = np.where(np.isfinite(value).all(axis=1, keepdims=True), value, 0.0)
    ends = value[:, [0, -1]]
    low, high = ends.min(axis=1, keepdims=True), ends.max(axis=1, keepdims=True)
    beyond = np.stack([value - high, low - value]).clip(min=0.0)  # (direction, rows, steps, entries)
    size = beyond.max(axis=2)
    best: Excursion | None = None
    for direction, row, entry in np.argwhere(size > np.maximum(0.2 * np.ptp(value, axis=1), noise)):
        part = beyond[direction, row, :, entry]
        within = np.flatnonzero(part > 0.5 * size[direction, row, entry])
        # The width reaches to the nearest offsets outside: an excursion at a single offset may be as wide as the gap between
        # its neighbours.
        first, last = max(int(within[0]) - 1, 0), min(int(within[-1]) + 1, len(part) - 1)
        width = float(offsets[row, last] - offsets[row, first])
        if width < most[row] and (best is None or width < best.width):
            step = int(part.argmax())
            inside, beside = float(value[row, step, entry]), float(value[row, 0, entry])
            best = Excursion(width, inside, beside, int(row), step)
    return best
