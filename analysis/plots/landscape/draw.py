"""Picture of landscapes: losses and slopes over the margin, one column per beta, and a plane for losses that need one.

With the margin as beta rho this is the picture of figures 6, 9 and 10 of Lu et al. 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.plots.canvas import COMBINE, EXPLORE, FAINT, FURTHER, INK, MUTED, REFINE, REPAIR, blank, drawing
from analysis.plots.landscape.landscape import Landscape
from analysis.plots.landscape.plane import Over
from analysis.plots.landscape.resolution import Array
from analysis.plots.parts import WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (INK, EXPLORE, COMBINE, REFINE, REPAIR, *FURTHER)
_NARROW = 1 / 8
"""A stretch between optima below this share of the range gets a close-up."""
_ARROWS = 6
"""Every how manieth point of a plane has an arrow."""
_LEVELS = 14


_LABELS = {
    Over.RATIOS: ("log-ratio of the chosen (nats)", "log-ratio of the rejected"),
    Over.REFERENCE: ("margin ρ (nats)", "lead of the chosen in the reference"),
}


class Axis(StrEnum):
    """The horizontal axis: the margin in nats, or beta times it."""

    RHO = "rho"
    BETA_RHO = "beta-rho"


@dataclass(frozen=True)
class _Column:
    title: str
    drawn: Sequence[Landscape]
    left: float
    right: float
    unit: float
    """Length of a nat on the axis."""


def draw_landscapes(found: Sequence[Landscape], axis: Axis = Axis.RHO) -> Figure:
    """All losses, at each beta a column, and beside it a close-up if optima are close together.

    Raises NothingToDraw, and MissingExtra without matplotlib.
    """
    if not found:
        raise NothingToDraw("no loss to draw")
    columns = [column for beta in dict.fromkeys(s.beta for s in found) for column in _columns(found, beta, axis)]
    names = list(dict.fromkeys(s.name for s in found))
    styles = dict(zip(names, cycle((c, d) for d in ("-", (0, (4, 2)), (0, (1, 1))) for c in _COLOURS), strict=False))
    planes = [s for s in found if s.plane]
    across = max(3, len(columns))
    lines = -(-len(planes) // across)
    with drawing():
        figure = blank(max(WIDTH, 3.4 * len(columns)), 5.2 + 3.4 * lines)
        parts = (
            figure.add_gridspec(2, 1, height_ratios=[5.2, max(3.4 * lines, 1e-3)])
            if lines
            else figure.add_gridspec(1, 1)
        )
        grid = parts[0].subgridspec(2, len(columns), height_ratios=[1.3, 1.0])
        for place, column in enumerate(columns):
            upper = figure.add_subplot(grid[0, place])
            lower = figure.add_subplot(grid[1, place], sharex=upper)
            _curves(upper, lower, column, styles, axis)
            if place == 0:
                upper.set_ylabel("loss")
                lower.set_ylabel(_slope_label(column, axis))
                handles, labels = upper.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(5, len(labels)))
        if lines:
            below = parts[1].subgridspec(lines, across)
            for place, one in enumerate(planes):
                _plane(figure.add_subplot(below[place // across, place % across]), one)
        _settle(figure)
        return figure


def _settle(figure: Figure) -> None:
    """Fix the layout at rounded places: the last digits of matplotlib's solver differ between calls, and would change the file."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(part, 6) for part in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def _slope_label(column: _Column, axis: Axis) -> str:
    if column.drawn[0].beta is None:
        return "slope"
    return "slope over beta ρ" if axis is Axis.BETA_RHO else "slope per nat"


def _columns(found: Sequence[Landscape], beta: float | None, axis: Axis) -> list[_Column]:
    drawn = [s for s in found if s.beta == beta]
    unit = beta if beta is not None and axis is Axis.BETA_RHO else 1.0
    left, right = drawn[0].curve.margins[0], drawn[0].curve.margins[-1]
    title = "" if beta is None else f"beta {beta:g}"
    columns = [_Column(title, drawn, left, right, unit)]
    closed = [(i.start, i.end) for s in drawn for i in s.features.rises if i.between_optima]
    narrow = [(a, b) for a, b in closed if b - a < _NARROW * (right - left)]
    if narrow:
        low, high = min(a for a, _ in narrow), max(b for _, b in narrow)
        beside = 1.2 * (high - low)
        columns.append(_Column(f"{title}, close-up".lstrip(", "), drawn, low - beside, high + beside, unit))
    return columns


def _curves(upper: Axes, lower: Axes, column: _Column, styles: Mapping[str, tuple[str, object]], axis: Axis) -> None:
    values, slopes = [], []
    for one in column.drawn:
        margins = np.array(one.curve.margins)
        value, slope = np.array(one.curve.values), np.array(one.curve.slopes) / column.unit
        colour, dashes = styles[one.name]
        x = margins * column.unit
        name = label_text(one.name, 28) + ", in a batch" * one.curve.coupled + ", one section" * (one.plane is not None)
        upper.plot(x, value, color=colour, linestyle=dashes, linewidth=1.5, label=name)
        lower.plot(x, slope, color=colour, linestyle=dashes, linewidth=1.2)
        lower.fill_between(x, 0, np.where(slope > 0, slope, 0), color=colour, alpha=0.2, linewidth=0)
        for optimum in one.features.optima:
            place = (optimum.margin + optimum.end) / 2 * column.unit
            upper.plot(place, optimum.value, color=colour, marker="v" if optimum.minimum else "^", markersize=5)
            lower.plot(place, 0, color=colour, marker="o", markersize=3)
        shown = (margins >= column.left) & (margins <= column.right)
        middle, reach = (column.left + column.right) / 2, (column.right - column.left) / 6
        inner = np.abs(margins - middle) <= reach
        values.append((value[shown], value[inner]))
        slopes.append((slope[shown], slope[inner]))
    for axes, numbers in ((upper, values), (lower, slopes)):
        axes.set_ylim(*_limits(numbers))
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    lower.axhline(0, color=MUTED, linewidth=0.7)
    upper.set_xlim(column.left * column.unit, column.right * column.unit)
    upper.set_title(column.title)
    upper.tick_params(labelbottom=False)
    lower.set_xlabel(
        "beta ρ" if axis is Axis.BETA_RHO and column.drawn[0].beta is not None else column.drawn[0].curve.axis
    )


def _limits(curves: Sequence[tuple[Array, Array]]) -> tuple[float, float]:
    """The range of the curves, each given whole and near the middle, up to three times of what is usual there: a loss that is many
    times larger than the others, or that grows exponentially, is cut off."""
    whole = np.concatenate([shown for shown, _ in curves])
    whole = whole[np.isfinite(whole)]
    sizes = [np.abs(near[np.isfinite(near)]).max(initial=0.0) for _, near in curves]
    most = 3 * float(np.median(sizes)) or 1.0
    low, high = (max(whole.min(), -most), min(whole.max(), most)) if whole.size else (-most, most)
    room = 0.08 * (high - low) or 0.1
    return float(low - room), float(high + room)


def _plane(axes: Axes, one: Landscape) -> None:
    """Loss as shades, arrows where a gradient step leads, and in orange where it lowers the margin."""
    flat = one.plane
    assert flat is not None
    inner = flat.values[np.isfinite(flat.values)]
    if not inner.size:
        raise NothingToDraw(f"{one.label} is finite nowhere in the plane of log-ratios")
    low, high = float(inner.min()), float(np.quantile(inner, 0.9))
    levels = np.linspace(low, high if high > low else low + 1, _LEVELS)
    axes.contourf(flat.axis, flat.axis, flat.values, levels=levels, cmap="Blues", extend="max", alpha=0.75)
    if flat.lowers_margin.any():
        axes.contourf(
            flat.axis, flat.axis, flat.lowers_margin.astype(float), levels=[0.5, 1.5], colors=[COMBINE], alpha=0.3
        )
    every = slice(_ARROWS // 2, None, _ARROWS)
    across, up = -flat.chosen[every, every], -flat.rejected[every, every]
    if flat.over is Over.REFERENCE:  # a step moves the policy, and so rho, and never the reference
        across, up = across - up, np.zeros_like(up)
    length = np.hypot(across, up)
    with np.errstate(invalid="ignore", divide="ignore"):
        across, up = (np.where(length > 0, part / length, 0.0) for part in (across, up))
    axes.quiver(flat.axis[every], flat.axis[every], across, up, color=INK, width=0.004, scale=22, pivot="mid")
    if flat.over is Over.RATIOS:
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_aspect("equal")
    axes.set_title(label_text(one.label, 40), fontsize=8.5)
    axes.set_xlabel(_LABELS[flat.over][0])
    axes.set_ylabel(_LABELS[flat.over][1])
    axes.grid(False)
