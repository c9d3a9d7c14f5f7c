"""The page for a browser, in the form and under the threat model of the report (`analysis.report.page`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from analysis.benchmarks.published import PAPER
from analysis.output.errors import NothingToDraw
from analysis.output.files import refuse, write_whole
from analysis.paper import text
from analysis.paper.pictures import FIGURE_6, FIGURES_9_10, REACH, draw_curves, draw_scores
from analysis.paper.tables import Measure, Number, Paper, Table
from analysis.plots.canvas import drawing, svg
from analysis.report.page import environment


def check_page(path: Path, *, pictures: bool) -> None:
    """Check before long work that the page can be written. Raises ExportRefused, and MissingExtra without matplotlib."""
    refuse(path)
    if pictures:
        with drawing():
            pass


def write_page(paper: Paper, measures: Sequence[Measure], out: Path, *, pictures: bool = True) -> None:
    """Writes the page. Raises ExportRefused, and MissingExtra if `pictures` is true and matplotlib or torch is not installed."""
    write_whole(out, render(paper, measures, pictures=pictures))


def render(paper: Paper, measures: Sequence[Measure], *, pictures: bool = True) -> str:
    """The page as HTML."""
    template = environment("analysis.paper").get_template("paper.html.j2")
    drawn = _pictures(measures) if pictures else {}
    return template.render(
        published=PAPER,
        sources=text.source_rows(paper),
        tables=[(table, _rows(table), text.footnotes(table, text.reasons_of(table))) for table in paper.tables],
        correlations=(text.CORRELATION_TITLES, text.correlation_rows(paper.correlations), text.CORRELATION_NOTES),
        scores=drawn.get("scores"),
        curves=[drawn[name] for name in ("figure6", "figures9and10") if name in drawn],
        without_pictures=not pictures,
    )


class Shown(NamedTuple):
    """A cell of the page: the figure, or words; remarks in small print; and whether it is ours."""

    figure: str
    words: str
    remarks: str
    ours: bool


def _rows(table: Table) -> list[tuple[str, list[Shown]]]:
    """Name and cells of each row."""
    reasons = text.reasons_of(table)
    rows = []
    for name, cells in table.rows:
        found = []
        for heading, cell in zip(table.headings, cells, strict=True):
            if heading.published:
                found.append(_shown(cell.published, "–", ours=False))
            found.append(_shown(cell.ours, text.shown(cell, reasons), ours=True))
        rows.append((name, found))
    return rows


def _shown(number: Number | None, otherwise: str, *, ours: bool) -> Shown:
    if number is None:
        return Shown(otherwise, "", "", ours)
    return Shown(number.digits, "" if number.digits else number.words, number.remarks if number.digits else "", ours)


def _pictures(measures: Sequence[Measure]) -> dict[str, Markup]:
    """SVG pictures by name. A picture with nothing to show is left out."""
    drafts: dict[str, tuple[Callable[[], Any], str]] = {
        "scores": (lambda: draw_scores(measures), "Our scores against the published ones, one point per loss."),
        "figure6": (lambda: draw_curves(FIGURE_6, REACH), "Value and slope of five losses over beta rho."),
        "figures9and10": (lambda: draw_curves(FIGURES_9_10), "Value and slope of the discovered losses over beta rho."),
    }
    drawn = {}
    for name, (draw, description) in drafts.items():
        try:
            drawn[name] = Markup(svg(draw(), name, description))
        except NothingToDraw:
            continue
    return drawn
