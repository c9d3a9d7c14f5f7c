"""Descriptors: the shape of a loss in numbers, for the quality-diversity grid and the report.

They are measured, not proved. The shape is that along the margin `x`: beta rho for preference losses, at beta = 0.1, with half of
the margin in each log-ratio; for classification the score of the label minus that of the other of two classes. The slope is
dL/dx. A loss that compares the items of a batch is measured in a batch made of the line's points. Its tails are measured with one
item that moves while the rest of a batch stays, because in the line's batch every slope also contains the effect on all other
items, which may grow where the item's own loss is flat. A value that is not finite is null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from sandbox.execute.evaluate import Array, Evaluator, Points
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.finite import finite
from sandbox.numeric.measure.measure import Measurements, same

DESCRIPTORS: Mapping[str, str] = MappingProxyType(
    {
        "convex": "bool: the slope never falls, the loss never jumps",
        "convexity": "0 to 1: how much of the slope's total change is a rise; 1 for convex losses, 0.5 for bumps",
        "jumps": "list of x where the loss itself jumps",
        "falling": "0 to 1: share of -10 < x < 10 on which the loss falls",
        "rising": "list of [from, to] in x where the loss rises",
        "minima": "how many local minima lie within -30 < x < 30",
        "minimum_at": "x of those minima",
        "slope_at_zero": "slope at x = 0; negative where training starts in the right direction",
        "left_tail": "flat, linear, quadratic or exponential: growth of the loss towards x = -30",
        "right_tail": "the same towards x = 30",
        "saturation": "x from which on the slope stays below 1 % of its largest value in -1 < x < 1; null if it never does",
        "asymmetry": "-1 to 1: absolute slope on -5 < x < 0 against that on 0 < x < 5; 0 if equal, 1 if all of it is left of 0",
        "gradient_balance": "0 to 1: share of the gradient that goes to the chosen completion (to the label's score)",
        "coupled": "bool: an item's gradient depends on the other items of its batch",
        "margin_only": "bool: the gradient depends on the margin rho alone (preference)",
        "uses_reference": "bool: the gradient changes with the reference (preference)",
    }
)
"""Every descriptor by key."""

_FLAT, _LINEAR, _POLYNOMIAL = 0.7, 1.4, 64.0
"""Bounds on |slope(30)| / |slope(15)|: 1 for a linear tail, 2 for a quadratic one, e^15 for an exponential one."""


@dataclass(frozen=True, eq=False)
class LineShape:
    """Slope and loss along the margin; `x`, `slope`, `loss` have the shape (steps,). `loss` is None if the items of a batch
    influence each other."""

    x: Array
    slope: Array
    loss: Array | None = None
    ends: LineShape | None = None
    """The shape from which the tails are read, if not this one: that of a batch's loss as one of its items moves."""

    @cached_property
    def scale(self) -> float:
        """Largest slope on -10 < x < 10, or anywhere if that is zero."""
        inner = float(np.abs(self.slope[np.abs(self.x) <= 10]).max())
        return inner or float(np.abs(self.slope).max())

    @cached_property
    def _falls(self) -> Array:
        """By how much the slope decreases at each step, minus rounding; zero where it increases."""
        before, after = self.slope[:-1], self.slope[1:]
        noise = 1e-7 * (np.abs(before) + np.abs(after)) + 1e-9 * self.scale
        return np.maximum(before - after - noise, 0.0)

    @property
    def convex(self) -> bool:
        """Whether the slope never falls and the loss never jumps."""
        return not self._falls.any() and not self.jumps

    @property
    def concave_at(self) -> float:
        """The x at which the slope decreases fastest; the first jump if it never decreases."""
        if not self._falls.any():
            return self.jumps[0]
        steepest = int((self._falls / np.diff(self.x)).argmax())
        return float(self.x[steepest : steepest + 2].mean())

    @cached_property
    def jumps(self) -> list[float]:
        """The x at which the loss changes by more than its slopes on both sides explain."""
        if self.loss is None:
            return []
        step, change = np.diff(self.x), np.diff(self.loss)
        ends = np.stack([self.slope[:-1] * step, self.slope[1:] * step])
        slack = 0.5 * np.abs(ends).max(axis=0) + 1e-6 * self.scale + 1e-9 * np.abs(self.loss[1:])
        jumps = (change < ends.min(axis=0) - slack) | (change > ends.max(axis=0) + slack)
        return [_round(float(x)) for x in ((self.x[:-1] + self.x[1:]) / 2)[jumps]]

    @property
    def convexity(self) -> float:
        """The share of the slope's total change that is an increase."""
        change = np.abs(np.diff(self.slope)).sum()
        return 1.0 if change == 0 else 1.0 - float(self._falls.sum() / change)

    @cached_property
    def signs(self) -> Array:
        """-1 where the loss falls, 1 where it rises, 0 where it is flat."""
        return np.sign(np.where(np.abs(self.slope) > 1e-9 * self.scale, self.slope, 0.0))

    @property
    def falling(self) -> float:
        """Share of -10 < x < 10 on which the loss falls."""
        slope = np.interp(np.linspace(-10, 10, 401), self.x, self.slope)
        return float((slope < -1e-9 * self.scale).mean())

    @property
    def rising(self) -> list[list[float]]:
        """The intervals on which the loss rises."""
        up = np.concatenate([[False], self.signs > 0, [False]])
        edges = np.flatnonzero(np.diff(up.astype(int)))
        return [
            [_round(self._crossing(a - 1, a)), _round(self._crossing(b - 1, b))]
            for a, b in edges.reshape(-1, 2).tolist()
        ]

    @cached_property
    def minimum_at(self) -> list[float]:
        """The x at which the loss turns from falling to rising."""
        moving = np.flatnonzero(self.signs)
        turns = np.flatnonzero(np.diff(self.signs[moving]) > 0)
        return [_round(self._crossing(int(moving[t]), int(moving[t + 1]))) for t in turns]

    @property
    def saturation(self) -> float | None:
        """The x from which on the slope stays below 1 % of its largest value around zero."""
        strong = np.abs(self.slope) > 0.01 * np.abs(self.slope[np.abs(self.x) <= 1]).max()
        if strong[-1]:
            return None
        last = int(np.flatnonzero(strong)[-1]) if strong.any() else 0
        return _round(float(self.x[last + 1]))

    @property
    def asymmetry(self) -> float:
        """(left - right) / (left + right) of the absolute slopes on -5 < x < 0 and 0 < x < 5; 0 if both are zero."""
        t = np.linspace(0, 5, 101)
        left, right = (float(np.abs(np.interp(s * t, self.x, self.slope)).sum()) for s in (-1, 1))
        return (left - right) / (left + right) if left + right > 0 else 0.0

    def tail(self, side: int) -> str:
        """Growth of the loss towards x = 30 (side 1) or -30 (side -1)."""
        if self.ends is not None:
            return self.ends.tail(side)
        near, far = (abs(float(np.interp(side * x, self.x, self.slope))) for x in (15.0, 30.0))
        if far <= 1e-3 * self.scale or far < _FLAT * near:
            return "flat"
        if far <= _LINEAR * near:
            return "linear"
        return "quadratic" if far <= _POLYNOMIAL * near else "exponential"

    def at_zero(self) -> float:
        """The slope at x = 0."""
        return float(self.slope[len(self.slope) // 2])

    def _crossing(self, a: int, b: int) -> float:
        """The x between two steps at which the slope is zero, or the end of the line."""
        if a < 0 or b >= len(self.x):
            return float(self.x[min(b, len(self.x) - 1)] if a >= 0 else self.x[0])
        low, high = float(self.slope[a]), float(self.slope[b])
        share = low / (low - high) if low * high < 0 and np.isfinite([low, high]).all() else 0.5
        return float(self.x[a] + share * (self.x[b] - self.x[a]))


def line_shape(evaluator: Evaluator, measured: Measurements) -> LineShape:
    """The shape of a preference loss along its margin."""
    exact = measured.exact
    x = inputs.margins(exact.probes.groups["line"]) * inputs.LINE_BETA
    slope = _slope(exact.gradient("line"))
    if not measured.coupled:
        return LineShape(x, slope, exact.loss("line"))
    return LineShape(x, slope, ends=moving_item(evaluator, inputs.moving_points(), _slope))


def _slope(gradients: Array) -> Array:
    """dL/dx of each pair, from its gradients at LINE_BETA, shape (2, items): chosen and rejected."""
    return np.asarray(np.subtract(*gradients) / 2 / inputs.LINE_BETA)


def moving_item(evaluator: Evaluator, points: Points, slope: Callable[[Array], Array]) -> LineShape:
    """The shape of a batch's loss as its first item moves, in the batches of `inputs.moving_margins`.

    `slope` gives dL/dx of each item from the gradients of all. Raises CannotCompute and NotFinite.
    """
    margins = inputs.moving_margins()
    gradients = np.stack(finite(evaluator, points).gradients, dtype=float)
    return LineShape(margins[:, 0], slope(gradients).reshape(margins.shape)[:, 0])


def describe_preference(measured: Measurements, shape: LineShape) -> dict[str, Any]:
    """The descriptors of a preference loss whose shape along the margin is `shape`."""
    exact = measured.exact
    near, resplit = exact.gradient("near"), exact.gradient("resplit")
    chosen, rejected = np.abs(near).sum(axis=1).tolist()
    opposed = same(near[0], -near[1])
    return {
        **describe_line(shape),
        "gradient_balance": _round(chosen / (chosen + rejected)) if chosen + rejected > 0 else 0.5,
        "coupled": measured.coupled,
        "margin_only": opposed and same(near, resplit, rtol=1e-4),
        "uses_reference": not same(near, exact.gradient("elsewhere")),
    }


def describe_line(shape: LineShape) -> dict[str, Any]:
    """The descriptors that follow from the shape along the margin."""
    return {
        "convex": shape.convex,
        "convexity": _round(shape.convexity),
        "jumps": shape.jumps,
        "falling": _round(shape.falling),
        "rising": shape.rising,
        "minima": len(shape.minimum_at),
        "minimum_at": shape.minimum_at,
        "slope_at_zero": _round(shape.at_zero()),
        "left_tail": shape.tail(-1),
        "right_tail": shape.tail(1),
        "saturation": shape.saturation,
        "asymmetry": _round(shape.asymmetry),
    }


def finite_or_null(value: Any) -> Any:
    """A descriptor's value as it is recorded: a number that is not finite becomes None, and is dropped from a list."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [entry for entry in map(finite_or_null, value) if entry is not None]
    return value


def _round(value: float) -> float:
    return round(float(f"{value:.5g}"), 9) + 0.0
