"""Radar picture: one spoke per category, one line per policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.plots.canvas import COMBINE, EXPLORE, FAINT, FURTHER, INK, MUTED, PAPER, REFINE, REPAIR, blank, drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (EXPLORE, COMBINE, REFINE, REPAIR, *FURTHER[:2])
"""Colours of the first lines after the two landmarks; further lines are grey."""
_APART = 0.035
"""Angle in radians between the error bars of two lines on one spoke, so that they do not cover each other."""


@dataclass(frozen=True)
class Line:
    """One policy: a value and its standard error by spoke, in the order of the spokes. None: not measured."""

    name: str
    values: Sequence[float | None]
    errors: Sequence[float | None]


def draw_radar(
    spokes: Sequence[str], landmarks: Sequence[Line], others: Sequence[Line], lowest: float, highest: float, title: str
) -> Figure:
    """All lines from `lowest`, at the centre, to `highest` or the whole number above all values. Bars are one standard error.

    `landmarks` (the baseline and the reference model) are drawn dark and grey, the first of `others` in colour. A line is broken
    at a spoke without a value. Raises NothingToDraw below three spokes, and MissingExtra.
    """
    if len(spokes) < 3 or not (landmarks or others):
        raise NothingToDraw(f"a radar picture needs three categories or more, got {len(spokes)}")
    angles = [2 * math.pi * number / len(spokes) for number in range(len(spokes))]
    with drawing():
        from matplotlib.ticker import MaxNLocator

        figure = blank(7.4, 5.2)
        axes: Any = figure.add_subplot(projection="polar")
        axes.set_theta_zero_location("N")
        axes.set_theta_direction(-1)
        axes.grid(True, axis="both", color=FAINT, linewidth=0.6)
        axes.spines["polar"].set_visible(True)
        for line in others[len(COLOURS) :]:
            _draw(axes, angles, line, FAINT, zorder=1)
        styled = [*zip(landmarks, (INK, MUTED), strict=False), *zip(others, COLOURS, strict=False)]
        for place, (line, colour) in enumerate(styled):
            _draw(axes, angles, line, colour, zorder=3, label=label_text(line.name, 32))
            shift = (place - (len(styled) - 1) / 2) * _APART
            for angle, value, error in zip(angles, line.values, line.errors, strict=True):
                if value is not None and error:
                    axes.errorbar(angle + shift, value, yerr=error, color=colour, elinewidth=0.8, zorder=2)
        axes.set_ylim(lowest, min(highest, _outermost([*landmarks, *others], lowest)))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        for angle, name in zip(angles, axes.set_xticks(angles, [label_text(spoke) for spoke in spokes]), strict=True):
            side = math.sin(angle)
            name.label1.set_horizontalalignment("center" if abs(side) < 0.1 else "left" if side > 0 else "right")
        axes.set_rlabel_position(180 / len(spokes))
        axes.set_title(title, pad=16)
        if styled:
            axes.legend(loc="upper left", bbox_to_anchor=(1.08, 1.0))
        return figure


def _outermost(lines: Sequence[Line], lowest: float) -> float:
    ends = [
        value + (error or 0.0)
        for line in lines
        for value, error in zip(line.values, line.errors, strict=True)
        if value is not None
    ]
    return math.ceil(max(ends, default=lowest) + 0.25)


def _draw(
    axes: Any, angles: Sequence[float], line: Line, colour: str, *, zorder: int, label: str | None = None
) -> None:
    values = [math.nan if value is None else value for value in line.values]
    axes.plot(
        [*angles, angles[0]], [*values, values[0]], color=colour, linewidth=1.1, marker="o", markersize=3.5,
        markeredgecolor=PAPER, markeredgewidth=0.5, label=label, zorder=zorder,
    )  # fmt: skip
