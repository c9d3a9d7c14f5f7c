"""Pictures of the page: our scores against the published ones, and the losses of the paper's figures 6, 9 and 10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.benchmarks import published
from analysis.benchmarks.published import PUBLIC_DPO, Column
from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.paper.lined_up import LEAST
from analysis.paper.tables import Measure
from analysis.plots.canvas import EXPLORE, INK, MUTED, blank, drawing
from analysis.plots.landscape.draw import Axis, draw_landscapes
from analysis.plots.landscape.landscape import landscape
from analysis.plots.parts import WIDTH
from sandbox import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_6 = ("dpo", "slic", "lrml", "aqfl", "padll")
"""Losses of figure 6."""
FIGURES_9_10 = ("dbaql", "aql_found", "padll", "aqfl", "cell", "lrml", "pfl_found")
"""The discovered losses, of figures 9 and 10."""
REACH = 2.0
"""Range of figure 6 in beta rho, where LRML's optima can be seen."""
_ACROSS = 3


def draw_scores(measures: Sequence[Measure]) -> Figure:
    """Each measure against the published column that it measures, or against MT-Bench, with standard errors.

    Raises NothingToDraw if no measure shares three losses with its column, and MissingExtra without matplotlib.
    """
    columns = {column.key: column for column in published.COLUMNS}
    pairs = [(measure, columns.get(measure.column, published.MT_BENCH)) for measure in measures]
    pairs = [(measure, column) for measure, column in pairs if len(_shared(measure, column)) >= LEAST]
    if not pairs:
        raise NothingToDraw("no measure has scores of three published losses")
    across = min(_ACROSS, len(pairs))
    lines = -(-len(pairs) // across)
    with drawing():
        figure = blank(WIDTH, 3.3 * lines)
        places = figure.subplots(lines, across, squeeze=False).flatten()
        for axes, (measure, column) in zip(places, pairs, strict=False):
            _scores(axes, measure, column)
        for axes in places[len(pairs) :]:
            axes.set_axis_off()
        return figure


def _shared(measure: Measure, column: Column) -> list[str]:
    return [name for name in measure.numbers if name in column.figures and name != PUBLIC_DPO]


def _scores(axes: Axes, measure: Measure, column: Column) -> None:
    for name in _shared(measure, column):
        ours, theirs = measure.values[name], column.figures[name]
        assert ours.value is not None
        axes.errorbar(
            theirs.value, ours.value, xerr=theirs.error or None, yerr=ours.error or None, color=EXPLORE, ecolor=MUTED, marker="o",
            markersize=4, elinewidth=0.8,
        )  # fmt: skip
        axes.annotate(
            name, (theirs.value, ours.value), xytext=(4, 3), textcoords="offset points", fontsize=7, color=INK
        )
    axes.margins(0.14)
    axes.set_xlabel(label_text(f"published: {column.title}", 62))
    axes.set_ylabel(label_text(f"here: {measure.title}", 50))


def draw_curves(names: Sequence[str], reach: float | None = None) -> Figure:
    """Value and slope of known losses over beta rho at the paper's beta. Raises MissingExtra without torch or matplotlib."""
    found = [landscape(name, known.graph(name), published.OPTIMA_BETA, reach) for name in names]
    return draw_landscapes(found, Axis.BETA_RHO)
