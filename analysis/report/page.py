"""The report page `report.html`: one file that opens in any browser, without scripts or external addresses.

Threat model. Names, thoughts, messages and excerpts come from a language model, or from another person's archive. Covered: all
text passes an encoder that writes invisible characters as escapes, then jinja2's autoescape. Code is printed from verified graphs,
never copied from a reply. Pictures are built as XML trees. As a second line of defence, a content-security policy forbids scripts,
frames, forms and all external addresses. Not covered: bugs of the browser itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis import wording
from analysis.claims.autopsy_table import HEADINGS, READING
from analysis.claims.comparison import Decision, decide
from analysis.claims.headline import CONDITIONS, headline_of
from analysis.claims.table import final_rows, note_on_fitness
from analysis.output import encode
from analysis.output.errors import MissingExtra, NothingToDraw
from analysis.output.files import write_whole
from analysis.report.autopsies import autopsy_sections
from analysis.report.data import (
    Leader,
    all_candidates,
    facts,
    failures,
    leaderboard,
    leaders,
    operator_rows,
    phase_sentences,
    refusals,
    warnings,
)
from analysis.report.proposers import proposer_rows
from analysis.snapshot import Snapshot
from analysis.wording import arm_name, display_name
from archive.disk.files import require_regular
from archive.query import Reader

ARCHIVE = "archive.db"
REPORT = "report.html"

PICTURES = ("comparison", "progress", "lineage", "shapes")

SHAPES = 8
"""Largest number of losses whose shape is drawn, including seed losses."""


def write_report(run_dir: Path, out: Path | None = None, *, pictures: bool = True) -> Path:
    """Writes the report of a run directory to `out` (default: `report.html` in it), and returns its path.

    The directory is not trusted: a link or pipe at `report.html` is an error (UnsafeFile). A pipe given as `out` is written to.
    Raises ArchiveError, ExportRefused, and MissingExtra if `pictures` is true and matplotlib is not installed.
    """
    target = out or run_dir / REPORT
    if out is None:
        require_regular(target)
    with Reader.open(run_dir / ARCHIVE) as reader:
        snapshot = Snapshot.of(reader)
    write_whole(target, render(snapshot, run_dir, pictures=pictures))
    return target


def render(snapshot: Snapshot, run_dir: Path, *, pictures: bool = True) -> str:
    """The page as HTML. The manifest is read from `run_dir`."""
    decision = decide(snapshot)
    board = leaderboard(snapshot, decision)
    chosen = leaders(snapshot, decision, board)
    drawn = dict.fromkeys(PICTURES) | (_pictures(snapshot, decision, chosen) if pictures else {})
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=snapshot.run,
            headline=headline_of(snapshot),
            conditions=CONDITIONS,
            decision=decision,
            baseline=display_name(snapshot.baseline) if snapshot.baseline else "the first seed",
            deciding_arm=arm_name(snapshot.candidates[decision.baseline.candidate], decision.baseline)
            if decision
            else "",
            final_rows=final_rows(snapshot, decision) if decision else [],
            shown=snapshot.shown_metrics,
            fitness_note=note_on_fitness(snapshot, decision) if decision else "",
            borrowed=decision is not None and any(c.paired.borrowed for c in decision.comparisons),
            coded={leader.id for leader in chosen},
            warnings=warnings(snapshot),
            facts=facts(snapshot, run_dir),
            config=json.dumps(snapshot.run.config, indent=2, ensure_ascii=False),
            board=board,
            rungs=snapshot.rungs,
            leaders=chosen,
            operators=operator_rows(snapshot),
            proposers=proposer_rows(snapshot),
            phases=phase_sentences(snapshot),
            refusals=refusals(snapshot),
            failures=failures(snapshot),
            all_candidates=all_candidates(snapshot),
            pictures=drawn,
            along=_along(snapshot) if drawn.get("shapes") else None,
            without_pictures=not pictures,
            autopsies=autopsy_sections(snapshot),
            headings=HEADINGS,
            reading=READING,
        )
    )


def environment(package: str = "analysis.report") -> Environment:
    """The templates of a package, with the report's style sheet and filters. All text is escaped."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("analysis.report", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        line=encode.one_line,
        block=encode.block,
        figure=wording.figure,
        plus_minus=_plus_minus,
    )
    return found


def _plus_minus(value: float | None, error: float | None = None, signed: bool = False) -> str:
    return "–" if value is None else wording.plus_minus(value, error, signed=signed)


# ---- pictures ------------------------------------------------------------------------------------------------------


def _pictures(snapshot: Snapshot, decision: Decision | None, chosen: list[Leader]) -> dict[str, Markup | None]:
    """SVG pictures by name. A picture with nothing to show is left out."""
    from analysis.plots import canvas, curves, lineage

    best = decision.best.arm.candidate if decision and decision.best else None
    titles = {f"#c{id}": _title(snapshot, id) for id in snapshot.candidates}
    drafts: dict[str, tuple[Callable[[], Any], str]] = {
        "comparison": (
            lambda: curves.draw_comparison(snapshot, _present(decision)),
            "Fitness of the finalists and the seed losses, and their differences to the baseline.",
        ),
        "progress": (lambda: curves.draw_progress(snapshot), "Fitness of each proposed loss over steps, per rung."),
        "lineage": (
            lambda: lineage.draw_lineage(snapshot, best),
            "Each candidate by step and fitness, joined to its parents.",
        ),
        "shapes": (lambda: _shapes(snapshot, chosen), "Loss and slope over the margin for the leaders and the seeds."),
    }
    drawn: dict[str, Markup | None] = {}
    for name, (draw, description) in drafts.items():
        try:
            drawn[name] = Markup(canvas.svg(draw(), name, description, titles))
        except NothingToDraw:
            continue
        except MissingExtra:
            # Shapes also need torch, which a machine that only reads archives may not have.
            if name != "shapes":
                raise
    return drawn


def _present(decision: Decision | None) -> Decision:
    if decision is None:
        raise NothingToDraw("no loss other than the baseline was scored yet")
    return decision


def _shapes(snapshot: Snapshot, chosen: list[Leader]) -> Any:
    from analysis.plots.curves import draw_shapes
    from analysis.plots.landscape.curve import BETA, curve

    _along(snapshot)  # the caption needs the run's own contract, also where the graphs say another
    seeds = [row.id for row in snapshot.seeds][:4]
    ids = [leader.id for leader in chosen][: SHAPES - len(seeds)]
    graphs = {id: graph for id in (*ids, *seeds) if (graph := snapshot.graph(id)) is not None}
    curves = {id: curve(graph, snapshot.beta or BETA) for id, graph in graphs.items()}
    reference = curves.get(snapshot.baseline.id) if snapshot.baseline else None
    return draw_shapes([(snapshot.candidates[id], drawn) for id, drawn in curves.items()], reference)


def _along(snapshot: Snapshot) -> Any:
    """The line over which losses of the run's contract are drawn, for the caption."""
    from analysis.plots.landscape.curve import line_of

    return line_of(snapshot.run.contract)


def _title(snapshot: Snapshot, candidate: int) -> str:
    row = snapshot.candidates[candidate]
    return f"{candidate}: {encode.one_line(row.name)} ({snapshot.status(candidate).value})"
