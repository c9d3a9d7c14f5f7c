"""The paper's single facts beside ours: the search, LRML's optima, its failures on IMDb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.benchmarks import published
from analysis.output.errors import AnalysisError
from analysis.paper.sweeps import Sweep
from analysis.paper.tables import Cell, Heading, Number, Table
from sandbox import known

PROPOSED = 100
"""About how many objectives the published search evaluated."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What a run of the search holds: losses that were vetted, scored, and its headline."""

    source: str
    proposed: int
    scored: int
    headline: str


def search_table(runs: Sequence[Searched]) -> Table:
    """The published search beside the given runs."""
    best = max(published.MT_BENCH.figures.values(), key=lambda figure: figure.value)
    gain = best.value - published.MT_BENCH.figures["dpo"].value
    missing = "" if runs else "no given directory is of evopo run"
    found = [
        (Cell(None, Number(run.proposed)), Cell(None, Number(run.scored)), Cell(None, Number(None, words=run.headline)))
        for run in runs
    ]
    columns = [list(column) for column in zip(*found, strict=True)] or [[Cell(why=missing)] for _ in range(3)]
    ahead = Number(None, words=f"{gain:+.3f} of 10 on MT-Bench, one training each, no interval")
    theirs = (None, Number(PROPOSED, words="about"), ahead)
    names = ("losses proposed", "losses scored", "the best loss against DPO")
    return Table(
        key="search",
        title="The search",
        headings=tuple(Heading("a run", ours=run.source) for run in runs) or (Heading("a run"),),
        rows=tuple(
            (name, tuple(Cell(their, cell.ours, cell.why) for cell in column))
            for name, their, column in zip(names, theirs, columns, strict=True)
        ),
        rows_are="what",
    )


def landscape_table(between: Number | None, counted: str = "") -> Table:
    """LRML's optima as computed from its formula, and the share of training pairs between them.

    `between`: that share in percent, if it was counted, on the task of the run `counted`.
    """
    ours, why = _optima()
    rows = []
    for optimum in published.LRML_OPTIMA:
        kind = "minimum" if optimum.minimum else "maximum"
        place, value = next(((at, value) for low, at, value in ours if low == optimum.minimum), (None, None))
        rows += [
            (f"{kind}, rho in nats", (_exact(optimum.rho, place, why),)),
            (f"loss at the {kind}", (_exact(optimum.loss, value, why),)),
        ]
    share = Cell(
        Number(published.LRML_BETWEEN_OPTIMA.value, places=2),
        between,
        "" if between else "not counted, since it needs trainings: evopo paper --pairs RUN",
    )
    return Table(
        key="landscape",
        title=f"The optima of LRML at beta {published.OPTIMA_BETA:g} (appendix D.6)",
        headings=(Heading("LRML", ours=f"pairs of {counted}" if counted else "from its formula"),),
        rows=(*rows, ("training pairs between the two, percent", (share,))),
        notes=("Places and values follow from the formula alone.",),
        rows_are="what",
    )  # fmt: skip


def _exact(theirs: float, ours: float | None, why: str) -> Cell:
    """A cell of numbers that have no error, with the published digits."""
    places = len(repr(theirs).partition(".")[2])
    seen = None if ours is None else Number(ours, places=places)
    return Cell(Number(theirs, places=places), seen, "" if seen else why or "no such optimum was found")


def _optima() -> tuple[list[tuple[bool, float, float]], str]:
    """(is a minimum, rho, loss) of LRML's optima; or why they cannot be computed."""
    from analysis.plots.landscape.landscape import landscape

    try:
        found = landscape("lrml", known.graph("lrml"), published.OPTIMA_BETA)
    except AnalysisError as error:
        return [], str(error)
    return [(one.minimum, one.margin, one.value) for one in found.features.optima], ""


def imdb_table(sweeps: Sequence[Sweep]) -> Table:
    """LRML over the betas of the IMDb study: the published failures, and rewards of ours."""
    shown = [sweep for sweep in sweeps if sweep.loss == "lrml"]
    betas = sorted({*published.IMDB_BETAS, *(beta for sweep in shown for beta in sweep.rewards)})
    failures = {failure.beta: failure for failure in published.IMDB_FAILURES if failure.loss == "lrml"}
    rows = []
    for beta in betas:
        theirs = None
        if beta in failures:
            reward = failures[beta].reward
            theirs = Number(reward, words="NaN" if reward is None else "failed", places=3)
        elif beta in published.IMDB_PLOTTED:
            theirs = Number(None, words="in a picture only")
        cells = [Cell(theirs, sweep.rewards.get(beta), "this beta was not trained") for sweep in shown]
        missing = "no given directory has rewards of lrml over a grid of beta: evopo evaluate lrml --on imdb"
        rows.append((f"beta {beta:g}", tuple(cells) or (Cell(theirs, None, missing),)))
    return Table(
        key="imdb",
        title="IMDb: the reward of LRML over beta",
        headings=tuple(Heading("reward", ours=sweep.source) for sweep in shown) or (Heading("reward"),),
        rows=tuple(rows),
        notes=(
            "Published: P(positive) of 60 sampled tokens, by a classifier. The reward of another task has another unit.",
        ),
        rows_are="beta",
    )
