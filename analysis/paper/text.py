"""The page as text. The rows and notes made here are those of the page for a browser too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_lowercase

from analysis.output.encode import one_line
from analysis.paper.tables import Cell, Correlated, Number, Paper, Table
from analysis.stats import SIGNIFICANCE
from analysis.wording import columns, figure

CORRELATION_TITLES = ("ours", "published", "losses", "tau-b", "95 %", "p")
CORRELATION_NOTES = (
    "Kendall's tau-b over the losses that have both figures. p: exact, two-sided, over all orders; * where p, corrected by Holm "
    f"over these rows, is below {SIGNIFICANCE:g}.",
    "95 %: bootstrap over losses; it covers the choice of losses, not the noise of a score.",
    "There are few losses: with ten, a single tau is told from zero from about 0.51 on.",
)
WHOLE = 200
"""Most characters of a reason."""


def paper_text(paper: Paper) -> str:
    """All tables for a terminal."""
    blocks = [
        ["Each cell is published / ours; a letter stands for the reason why there is none of ours."],
        ["Given", *columns([("directory", "made by", "holds"), *source_rows(paper)])],
        *(list(_block(table)) for table in paper.tables),
        [
            "Rank correlation with the published figures",
            *columns([CORRELATION_TITLES, *correlation_rows(paper.correlations)]),
            *CORRELATION_NOTES,
        ],
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def source_rows(paper: Paper) -> list[tuple[str, str, str]]:
    """Directory, kind, content of each source; one row that says so if there is none."""
    rows = [(one_line(s.path, 60), s.kind, one_line(s.holds, WHOLE)) for s in paper.sources]
    return rows or [("none", "", "only the published figures are shown")]


def _block(table: Table) -> Iterator[str]:
    reasons = reasons_of(table)
    yield table.title
    heads = [h.title + ("" if h.published else " (ours alone)") for h in table.headings]
    body = [
        (one_line(name, 40), *(_both(table, i, cell, reasons) for i, cell in enumerate(cells)))
        for name, cells in table.rows
    ]
    yield from columns([(table.rows_are, *(one_line(head, 90) for head in heads)), *body])
    yield from (one_line(note, 400) for note in footnotes(table, reasons))


def _both(table: Table, column: int, cell: Cell, reasons: Sequence[str]) -> str:
    ours = shown(cell, reasons)
    return f"{number_text(cell.published)} / {ours}" if table.headings[column].published else ours


def reasons_of(table: Table) -> list[str]:
    """The reasons for missing figures of ours, each once, in the order in which they occur."""
    return list(dict.fromkeys(cell.why for _, cells in table.rows for cell in cells if cell.ours is None and cell.why))


def mark(number: int) -> str:
    """The mark of the n-th reason, from 0: a, b, ..., z, aa, ..."""
    first, second = divmod(number, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[second]


def shown(cell: Cell, reasons: Sequence[str]) -> str:
    """Our figure; or a dash with the mark of the reason."""
    if cell.ours is not None:
        return number_text(cell.ours)
    return f"– {mark(reasons.index(cell.why))}" if cell.why else "–"


def number_text(number: Number | None) -> str:
    """A number as one line, a dash for None."""
    return "–" if number is None else one_line(number.text, WHOLE) or "–"


def footnotes(table: Table, reasons: Sequence[str]) -> list[str]:
    """What stands below a table: where ours comes from, the notes, the reasons with their marks."""
    origins = dict.fromkeys(f"Ours, {h.title}: {h.ours}." for h in table.headings if h.ours)
    return [*origins, *table.notes, *(f"{mark(i)}: not here, {reason}." for i, reason in enumerate(reasons))]


def correlation_rows(found: Sequence[Correlated]) -> list[tuple[str, ...]]:
    """The rows of the table of correlations; one row that says why if there is none."""
    rows = [_correlation(one) for one in found]
    return rows or [("none: no given directory has scores of three published losses", "", "", "", "", "")]


def _correlation(one: Correlated) -> tuple[str, ...]:
    at = one.found
    source = f", {one.source}" if one.source else ""
    judge = f", judged by {one.judge}" if one.judge else ""
    between = f"{at.interval.low:+.2f} to {at.interval.high:+.2f}" if at.interval else "too few"
    star = " *" if one.adjusted is not None and one.adjusted < SIGNIFICANCE else ""
    return (
        one_line(one.measure + source + judge, 110), one.column, str(at.n),
        "not defined" if at.tau is None else f"{at.tau:+.2f}", "" if at.tau is None else between,
        "" if at.p_value is None else figure(at.p_value) + star,
    )  # fmt: skip
