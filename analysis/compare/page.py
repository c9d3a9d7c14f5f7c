"""The comparison as a page for a browser, in the form and under the threat model of the report (`analysis.report.page`)."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from analysis.compare import text
from analysis.compare.comparison import Compared, Comparison
from analysis.compare.differences import Measure
from analysis.output.files import write_whole
from analysis.plots import bands, canvas
from analysis.report.page import environment

POINTS = 400
"""Most costs at which the mean of curves is drawn."""


def write_page(comparison: Comparison, out: Path, *, pictures: bool = True) -> None:
    """Writes the page. Raises ExportRefused, and MissingExtra if `pictures` is true and matplotlib is not installed."""
    write_whole(out, render(comparison, pictures=pictures))


def render(comparison: Comparison, *, pictures: bool = True) -> str:
    """The page as HTML."""
    template = environment("analysis.compare").get_template("compare.html.j2")
    return template.render(
        title=text.head(comparison),
        task=comparison.task,
        verdicts=[(text.verdict(d, comparison), d.distinguishable) for d in comparison.differences],
        notes=comparison.notes,
        explained=text.explained(comparison),
        strategies=text.told_apart(comparison),
        picture=_picture(comparison) if pictures else None,
        values=(text.strategy_titles(comparison), [text.strategy_row(comparison, s) for s in comparison.strategies]),
        found=(text.FOUND_TITLES, [text.found_row(found) for found in comparison.discoveries.found]),
        alone=(text.ALONE_TITLES, text.alone_rows(comparison)),
        best=len(comparison.discoveries.best),
        cells=[(f.strategy, [" ".join(cell) for cell in f.cells_alone]) for f in comparison.discoveries.found],
        axes=comparison.discoveries.axes,
        operators=(text.OPERATOR_TITLES, text.operator_rows(comparison)),
        runs=(text.RUN_TITLES, [text.run_row(s, o) for s in comparison.strategies for o in s.outcomes]),
    )


def _picture(comparison: Comparison) -> Markup:
    drawn = bands.draw_bands(
        [_band(comparison, compared) for compared in comparison.strategies],
        comparison.against.value,
        comparison.baseline,
        "end value, fresh seeds" if comparison.fresh else "end value",
    )
    return Markup(
        canvas.svg(drawn, "bands", "The mean curve of each strategy with its standard error, and end values.")
    )


def _band(comparison: Comparison, compared: Compared) -> bands.Band:
    curves = [outcome.curve for outcome in compared.outcomes]
    steps = sorted({x for curve in curves for x in curve.xs if x < comparison.upto} | {comparison.upto})
    if len(steps) > POINTS:
        steps = [comparison.upto * n / POINTS for n in range(POINTS + 1)]
    rows = [[curve.at(x) for x in steps] for curve in curves]
    return bands.Band(compared.label, steps, rows, compared.values(Measure.END))
