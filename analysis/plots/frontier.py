"""Picture of the frontier: reward against KL over a grid of beta, one line per loss, and the betas that failed at the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.plots.canvas import COMBINE, EXPLORE, FAINT, INK, MUTED, PAPER, REFINE, REPAIR, blank, drawing
from analysis.plots.parts import WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (EXPLORE, COMBINE, REFINE, REPAIR)
"""Colours of the first losses after the baseline; further losses are grey."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Result at one beta: means over seeds with their standard errors (None with one seed). KL is in nats."""

    beta: float | None
    """None: the loss does not use beta."""
    kl: float
    kl_error: float | None
    reward: float
    reward_error: float | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """One loss over the grid; `marks` are in order of beta."""

    name: str
    marks: Sequence[Mark]
    failed: Sequence[float | None] = ()
    """Betas with a failed training, which have no mark."""


def draw_frontier(
    baseline: Sweep,
    others: Sequence[Sweep],
    limit: float,
    *,
    unit: str = "nats per sequence",
    reference: float | None = None,
) -> Figure:
    """All sweeps as lines: the baseline and the first few of `others` in colour, the rest in grey.

    `limit` is the upper KL of the measured area, in `unit`; the axis ends at three times that or before. `reference`: reward of
    the reference, drawn as a line; None if it is 0. Raises NothingToDraw and MissingExtra.
    """
    if not any(sweep.marks for sweep in (baseline, *others)):
        raise NothingToDraw("no loss was scored over a grid of beta, so there is no frontier to draw")
    with drawing():
        figure = blank(WIDTH, 4.2)
        axes = figure.subplots()
        furthest = max(mark.kl for sweep in (baseline, *others) for mark in sweep.marks)
        right = min(3 * limit, 1.08 * max(furthest, limit))
        for sweep in others[len(COLOURS) :]:
            axes.plot(*_line(sweep), color=FAINT, linewidth=0.9, marker="o", markersize=2, zorder=1)
        coloured = [*zip(others, COLOURS, strict=False)]
        for sweep, colour in coloured:
            _sweep(axes, sweep, colour, "o")
        if baseline.marks:
            _sweep(axes, baseline, INK, "s")
        axes.axvline(limit, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
        axes.set_xlim(0, right)
        if reference is None:
            axes.set_ylim(bottom=0)
        else:
            axes.axhline(reference, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        axes.set_xlabel(f"KL(policy || reference), {unit}")
        axes.set_ylabel("reward")
        _betas(axes, [(baseline, INK), *coloured])
        failures = _failures(axes, [(baseline, INK), *coloured, *((sweep, MUTED) for sweep in others[len(COLOURS) :])])
        beyond = sum(mark.kl > right for sweep in (baseline, *others) for mark in sweep.marks)
        title = "numbers: beta, where there is room; the frontier is averaged over the KL left of the dashed line"
        lines = [title + (f"; {beyond} points lie further right" if beyond else "")]
        lines += ["crosses at the right edge: betas with a failed training"] if failures else []
        lines += ["dotted: the reference"] if reference is not None else []
        axes.set_title("\n".join([lines[0], "; ".join(lines[1:])]) if lines[1:] else lines[0])
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right" if reference is None else "best")
        return figure


def _sweep(axes: Axes, sweep: Sweep, colour: str, marker: str) -> None:
    kl, reward = _line(sweep)
    marks = sweep.marks
    axes.errorbar(
        kl, reward, xerr=[m.kl_error or 0.0 for m in marks], yerr=[m.reward_error or 0.0 for m in marks],
        color=colour, linewidth=1.3, elinewidth=0.8, marker=marker, markersize=4.5, markeredgecolor=PAPER,
        markeredgewidth=0.5, label=label_text(sweep.name, 32), zorder=3,
    )  # fmt: skip


def _failures(axes: Axes, sweeps: Sequence[tuple[Sweep, str]]) -> int:
    """Mark failed betas as crosses at the right edge, one row per loss from the top, and return their number."""
    rows = [(sweep, colour) for sweep, colour in sweeps if sweep.failed]
    for row, (sweep, colour) in enumerate(rows):
        height = 0.97 - 0.05 * row
        axes.plot(
            [1.0], [height], transform=axes.transAxes, marker="X", markersize=6, color=colour, markeredgecolor=PAPER,
            markeredgewidth=0.5, clip_on=False, zorder=4,
        )  # fmt: skip
        betas = ", ".join("no beta" if beta is None else f"{beta:g}" for beta in sweep.failed)
        axes.annotate(
            f"{label_text(sweep.name, 32)} failed at {betas}", (1.0, height), xycoords="axes fraction", xytext=(-6, 0),
            textcoords="offset points", fontsize=6.5, color=colour, ha="right", va="center",
        )  # fmt: skip
    return len(rows)


def _betas(axes: Axes, sweeps: Sequence[tuple[Sweep, str]]) -> None:
    """Write the beta at each point, where it covers no other point and no label before it, with a rim that keeps it apart from
    the lines below it."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    place = axes.transData.transform
    points = [place((mark.kl, mark.reward)) for sweep, _ in sweeps for mark in sweep.marks]
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in points]
    for sweep, colour in sweeps:
        for mark in sweep.marks:
            if mark.beta is None:
                continue
            label = axes.annotate(
                f"{mark.beta:g}", (mark.kl, mark.reward), xytext=(3, 4), textcoords="offset points", fontsize=6.5,
                color=colour, annotation_clip=True, zorder=5, path_effects=[withStroke(linewidth=2, foreground=PAPER)],
            )  # fmt: skip
            box = label.get_window_extent()
            if any(box.overlaps(other) for other in taken):
                label.remove()
            else:
                taken.append(box)


def _line(sweep: Sweep) -> tuple[list[float], list[float]]:
    return [m.kl for m in sweep.marks], [m.reward for m in sweep.marks]
