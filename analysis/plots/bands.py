"""Picture of strategies: the mean curve of each over its runs with a band, the curves of single runs, and the end values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import stats
from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.plots.canvas import COMBINE, EXPLORE, FURTHER, MUTED, PAPER, REFINE, REPAIR, blank, drawing
from analysis.plots.parts import WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (EXPLORE, COMBINE, REFINE, REPAIR, *FURTHER)
"""Colours of the strategies, repeated from the ninth on with another line style."""
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))


@dataclass(frozen=True)
class Band:
    """One strategy. `curves` has one row of values per run, at the costs `xs`; `ends` one end value per run."""

    name: str
    xs: Sequence[float]
    curves: Sequence[Sequence[float]]
    ends: Sequence[float]


def draw_bands(bands: Sequence[Band], against: str, baseline: str, ends: str) -> Figure:
    """Left the curves, mean ± standard error over runs; right the end values of the runs, with mean and standard error.

    `against` and `ends` are the titles of the axes. Raises NothingToDraw and MissingExtra.
    """
    if not bands:
        raise NothingToDraw("there is no strategy to draw")
    with drawing():
        figure = blank(WIDTH, 4.4)
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [2.6, 1]})
        for number, band in enumerate(bands):
            colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
            _curves(left, band, colour, dash)
            _ends(right, number, band, colour)
        for axes in (left, right):
            axes.axhline(0, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        left.set_xlim(0, max(x for band in bands for x in band.xs))
        left.set_xlabel(against)
        left.set_title(f"estimated advantage of the leader over {label_text(baseline)}")
        left.legend(loc="upper left", handlelength=2.2)
        right.set_title(label_text(ends, 60))
        right.set_xticks(range(len(bands)), [label_text(band.name, 16) for band in bands])
        right.tick_params(axis="x", rotation=0 if len(bands) < 4 else 30)
        right.set_xlim(-0.6, len(bands) - 0.4)
        return figure


def _curves(axes: Axes, band: Band, colour: str, dash: str | tuple[int, tuple[float, ...]]) -> None:
    for curve in band.curves:
        axes.step(band.xs, curve, where="post", color=colour, linewidth=0.6, alpha=0.4, zorder=2)
    columns = list(zip(*band.curves, strict=True))
    middle = [stats.mean(column) for column in columns]
    errors = [stats.standard_error(column) or 0.0 for column in columns]
    low = [m - e for m, e in zip(middle, errors, strict=True)]
    high = [m + e for m, e in zip(middle, errors, strict=True)]
    axes.fill_between(band.xs, low, high, step="post", color=colour, alpha=0.16, linewidth=0, zorder=2)
    label = f"{label_text(band.name, 40)} ({len(band.curves)})"
    axes.step(band.xs, middle, where="post", color=colour, linestyle=dash, linewidth=1.8, label=label, zorder=3)


def _ends(axes: Axes, place: int, band: Band, colour: str) -> None:
    # Side by side, so that equal values do not hide each other.
    width = 0.3 / max(1, len(band.ends) - 1)
    shifts = [place - 0.3 + width * n for n in range(len(band.ends))]
    axes.scatter(shifts, band.ends, s=14, c=colour, alpha=0.45, linewidths=0, zorder=2)
    axes.errorbar(
        place + 0.2, stats.mean(list(band.ends)), yerr=stats.standard_error(list(band.ends)), fmt="o", color=colour,
        markersize=6, markeredgecolor=PAPER, elinewidth=1.8, capsize=3, zorder=3,
    )  # fmt: skip
