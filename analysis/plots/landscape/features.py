"""Features of a loss along its margin: optima, where it pushes margins down, flat stretches, jumps and tails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analysis.plots.landscape.curve import LARGEST, Curve
from analysis.plots.landscape.resolution import Array, usual_size

if TYPE_CHECKING:
    from analysis.plots.landscape.along import Along

_FLAT = 1e-9
"""Slopes below this share of the usual size count as zero: they are rounding errors, or too small for an optimiser to matter."""
_NARROW = 1e-7
"""Flat stretches below this share of the range are points at which the slope passes zero."""
_CLOSE = 3e-8
"""The largest gap of a jump, as a share of the range: margins are added at a jump until they are closer."""
_JUMP = 1e-4
"""Smaller jumps, as a share of the usual size of the loss, are not told."""
_HALVINGS = 60
_TAIL = 30.0
"""The tails are read at 15 and 30 in units of beta rho (or of the logit), like the sandbox's descriptors."""


@dataclass(frozen=True)
class Optimum:
    """A local minimum or maximum; `end` is greater than `margin` if the loss is flat there."""

    margin: float
    end: float
    value: float
    minimum: bool


@dataclass(frozen=True)
class Interval:
    """A stretch of the margin. An open side reaches the end of the range that was computed."""

    start: float
    end: float
    open_left: bool
    open_right: bool

    @property
    def between_optima(self) -> bool:
        """Whether a minimum and a maximum enclose it: a pair that starts in it falls back to the minimum."""
        return not (self.open_left or self.open_right)


@dataclass(frozen=True)
class Jump:
    """A margin at which the loss itself jumps: its values on both sides."""

    margin: float
    left: float
    right: float


@dataclass(frozen=True)
class Features:
    """What a curve shows. Margins in nats (or logits), slopes per nat."""

    value_at_zero: float
    slope_at_zero: float
    optima: tuple[Optimum, ...]
    rises: tuple[Interval, ...]
    """Where the loss rises with the margin, so that training lowers the margin."""
    flats: tuple[Interval, ...]
    """Where it is flat: training changes nothing."""
    gaps: tuple[Interval, ...]
    """Where loss or slope is not finite in float32."""
    jumps: tuple[Jump, ...]
    left_tail: str
    right_tail: str


@dataclass(frozen=True)
class _Run:
    sign: int
    """-1 where the loss falls, 1 where it rises, 0 where it is flat, 2 where it is not finite."""
    start: float
    end: float


def features(loss: Along, curve: Curve) -> Features:
    """The features of a loss, read from its curve; ends of stretches are located by bisection, to about 15 digits."""
    margins, values, slopes = (np.array(x) for x in (curve.margins, curve.values, curve.slopes))
    flat = _FLAT * usual_size(margins, slopes)
    runs = _runs(loss, margins, _signs(values, slopes, flat), flat)
    zero = loss(np.array([0.0]))
    return Features(
        value_at_zero=float(zero[0][0]),
        slope_at_zero=float(zero[1][0]),
        optima=tuple(_optima(loss, runs)),
        rises=tuple(_intervals(runs, 1)),
        flats=tuple(_intervals(runs, 0)),
        gaps=tuple(_intervals(runs, 2)),
        jumps=tuple(_jumps(loss, margins, values)),
        left_tail=tail(loss, -1),
        right_tail=tail(loss, 1),
    )


def tail(loss: Along, side: int) -> str:
    """Growth of the loss far to the right (side 1) or left (side -1): flat, linear, quadratic, exponential, or not finite.

    The items at rest are those of the sandbox's descriptors, which are few. The more there are, the farther out a mean over the
    batch follows the moving item, and the later a loss that saturates with it becomes flat.
    """
    from sandbox.numeric.measure.descriptors import LineShape
    from sandbox.numeric.measure.inputs import BESIDE

    loss = loss.among(BESIDE)
    x = np.linspace(-_TAIL, _TAIL, 241)
    slopes = loss(x / loss.per_margin)[1] / loss.per_margin
    ends = slopes[x >= _TAIL / 2] if side > 0 else slopes[x <= -_TAIL / 2]
    if not np.isfinite(ends).all() or np.abs(ends).max() > LARGEST:
        return "not finite"
    growth = LineShape(x, np.nan_to_num(slopes)).tail(side)
    if growth == "flat":
        return growth
    return growth + (", falling" if ends[-1 if side > 0 else 0] < 0 else ", rising")


def _signs(values: Array, slopes: Array, flat: float) -> Array:
    with np.errstate(invalid="ignore"):
        signs = np.where(np.abs(slopes) > flat, np.sign(slopes), 0.0)
        whole = (np.abs(values) <= LARGEST) & (np.abs(slopes) <= LARGEST)
    return np.where(whole, signs, 2.0)


def _runs(loss: Along, margins: Array, signs: Array, flat: float) -> list[_Run]:
    """Stretches of one sign, in order, without flat points between others."""
    change = np.flatnonzero(np.diff(signs))
    low, high, left = margins[change], margins[change + 1], signs[change]
    turns = left * signs[change + 1] == -1  # here the slope passes zero, which no threshold may move
    for _ in range(_HALVINGS if change.size else 0):
        middle = (low + high) / 2
        seen = loss(middle)
        same = np.where(turns, _signs(*seen, 0.0), _signs(*seen, flat)) == left
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    ends = [float(margins[0]), *((low + high) / 2).tolist(), float(margins[-1])]
    firsts = [0, *(change + 1).tolist()]
    runs = [_Run(int(signs[i]), a, b) for i, a, b in zip(firsts, ends[:-1], ends[1:], strict=True)]
    narrow = _NARROW * (ends[-1] - ends[0])
    kept: list[_Run] = []
    for run in runs:
        if run.sign == 0 and run.end - run.start < narrow and len(runs) > 1:
            continue
        if kept and kept[-1].sign == run.sign:
            kept[-1] = _Run(run.sign, kept[-1].start, run.end)
        else:
            kept.append(run)
    return kept


def _optima(loss: Along, runs: list[_Run]) -> Iterator[Optimum]:
    moving = [(i, run) for i, run in enumerate(runs) if run.sign]
    for (i, before), (j, after) in pairwise(moving):
        if {before.sign, after.sign} == {-1, 1} and j - i <= 2:
            flat = runs[i + 1] if j - i == 2 else None
            start, end = (flat.start, flat.end) if flat else ((before.end + after.start) / 2,) * 2
            yield Optimum(_plain(start), _plain(end), float(loss(np.array([(start + end) / 2]))[0][0]), before.sign < 0)


def _intervals(runs: list[_Run], sign: int) -> Iterator[Interval]:
    for i, run in enumerate(runs):
        if run.sign == sign:
            yield Interval(_plain(run.start), _plain(run.end), i == 0, i == len(runs) - 1)


def _jumps(loss: Along, margins: Array, values: Array) -> Iterator[Jump]:
    size = usual_size(margins, values)
    steps = np.diff(margins) <= _CLOSE * (margins[-1] - margins[0])
    with np.errstate(invalid="ignore"):
        found = np.flatnonzero(steps & (np.abs(np.diff(values)) > _JUMP * size))
    low, high, left, right = margins[found], margins[found + 1], values[found], values[found + 1]
    for _ in range(_HALVINGS if found.size else 0):
        middle = (low + high) / 2
        value = loss(middle)[0]
        nearer = np.abs(value - left) < np.abs(value - right)
        low, high = np.where(nearer, middle, low), np.where(nearer, high, middle)
    for place, before, after in zip(((low + high) / 2).tolist(), left.tolist(), right.tolist(), strict=True):
        yield Jump(_plain(place), before, after)


def _plain(number: float) -> float:
    """The number without the rounding error of a bisection around a round one."""
    return float(f"{number:.12g}") + 0.0 if abs(number) > 1e-12 else 0.0
