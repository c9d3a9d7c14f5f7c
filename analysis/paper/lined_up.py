"""Tables 1 to 3 of the paper with our measures beside them, and rank correlations of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from analysis.benchmarks import published
from analysis.benchmarks.published import PUBLIC_DPO, Column, Figure
from analysis.benchmarks.rank_correlation import rank_correlation
from analysis.output.encode import one_line
from analysis.paper.tables import Cell, Correlated, Heading, Measure, Number, Table
from analysis.stats import holm

BENCHMARKS = {"mt-bench": "MT-Bench", "alpaca-eval": "AlpacaEval 2.0", "tldr": "TL;DR"}
TITLES = {
    "mt-bench": "MT-Bench: the search's own score (table 1)",
    "alpaca-eval": "AlpacaEval 2.0 (table 2)",
    "tldr": "TL;DR summarisation (table 3)",
}
NOTES = {
    "mt-bench": "Published: mean grade of 10 by GPT-4, of a 7B model, one training each. The search selected by this score.",
    "alpaca-eval": "Published: percent, judged by GPT-4; ± is the standard error over the 805 questions, of one training.",
    "tldr": "Published: percent, judged by GPT-4; ± is the standard error over the summaries, of one training.",
}
LEAST = 3
"""Fewest losses of which a rank correlation is shown."""
VERSIONS = {name: f"{name.removesuffix('_found')}_repository" for name in published.LOSSES if name.endswith("_found")}
"""The other version of a loss that was published in two."""


def result_tables(measures: Sequence[Measure]) -> list[Table]:
    """Tables 1 to 3, and one of the measures that the paper does not have."""
    return [*(_table(benchmark, measures) for benchmark in BENCHMARKS), *_others(measures)]


def _table(benchmark: str, measures: Sequence[Measure]) -> Table:
    columns = [(column, measure) for column in _columns(benchmark) for measure in _of(column, measures)]
    names = [*published.LOSSES, *sorted({n for _, m in columns if m for n in m.values} - set(published.LOSSES))]
    evaluated = {name for _, m in columns if m for name in m.values}
    return Table(
        key=benchmark,
        title=TITLES[benchmark],
        headings=tuple(Heading(_within(column), ours=_origin(measure)) for column, measure in columns),
        rows=tuple(
            (name, tuple(_cell(name, column, measure, evaluated) for column, measure in columns))
            for name in names
            if name in evaluated or any(name in column.figures for column, _ in columns)
        ),
        notes=(NOTES[benchmark],),
    )


def _within(column: Column) -> str:
    """The title of a column in the table of its benchmark."""
    return column.title.removeprefix(BENCHMARKS[column.benchmark]).removeprefix(", ") or f"grade, {column.unit}"


def _columns(benchmark: str) -> list[Column]:
    return [column for column in published.COLUMNS if column.benchmark == benchmark]


def _of(column: Column, measures: Sequence[Measure]) -> list[Measure | None]:
    return [measure for measure in measures if measure.column == column.key] or [None]


def _cell(name: str, column: Column, measure: Measure | None, evaluated: set[str]) -> Cell:
    figure = column.figures.get(name)
    theirs = Number(figure.value, figure.error, places=column.places) if figure else None
    ours = measure.values.get(name) if measure else None
    return Cell(theirs, ours, "" if ours else _why(name, column, measure, evaluated))


def _why(name: str, column: Column, measure: Measure | None, evaluated: set[str]) -> str:
    """Why a cell has no figure of ours."""
    if name == PUBLIC_DPO:
        return "a published model, not a loss: evopo evaluate --model PATH judges it"
    if measure is None:
        against = f" against {column.against}" if column.against else ""
        return f"no given directory has {BENCHMARKS[column.benchmark]}{against}: evopo evaluate LOSS --on {column.benchmark}"
    if name == measure.against:
        return "the others are compared with it"
    if VERSIONS.get(name) in evaluated:
        return f"{VERSIONS[name]} was judged here, which is another version"
    return "this loss was not judged in that directory"


def _origin(measure: Measure | None) -> str:
    if measure is None:
        return ""
    against = f", against {one_line(measure.against, 40)}" if measure.against else ""
    return measure.source + against + (f", judged by {one_line(measure.judge, 60)}" if measure.judge else "")


def _others(measures: Sequence[Measure]) -> Iterator[Table]:
    """Our measures without a published column, beside the published score of the search."""
    shown = [measure for measure in measures if not measure.column and measure.contract == "preference"]
    if not shown:
        return
    names = [name for name in published.LOSSES if name != PUBLIC_DPO]
    names += sorted({name for measure in shown for name in measure.values} - set(names))
    scores = {**published.MT_BENCH.figures, **published.RUN_LOG}
    yield Table(
        key="fitness",
        title="Fitness on the tasks of this project",
        headings=(
            Heading(published.MT_BENCH.title),
            *(Heading(measure.title, published=False, ours=_origin(measure)) for measure in shown),
        ),
        rows=tuple(
            (
                name,
                (
                    Cell(Number(scores[name].value, places=published.MT_BENCH.places) if name in scores else None),
                    *(_fitness(name, measure) for measure in shown),
                ),
            )
            for name in names
        ),
        notes=(
            "Published scores of losses that are in no table of the paper are those of its run log (appendix G).",
            "Fitness is measured on another model and other data than the paper's: only the order of the losses can be compared.",
        ),
    )


def _fitness(name: str, measure: Measure) -> Cell:
    ours = measure.values.get(name)
    return Cell(None, ours, "" if ours else "this loss was not trained in that directory")


def correlations(measures: Sequence[Measure]) -> list[Correlated]:
    """Rank correlations with the published columns: of our fitness with all, of each judged benchmark with its own column and with
    MT-Bench, and of the search's own published score with the held-out ones."""
    own = Measure(
        published.MT_BENCH.key, "published MT-Bench score",
        {name: Number(value) for name, value in _values(published.MT_BENCH.figures).items()},
    )  # fmt: skip
    pairs = [(measure, title, theirs) for measure in measures for title, theirs in _compared(measure)]
    pairs += [(own, column.title, _values(column.figures)) for column in published.COLUMNS[1:]]
    found = [(measure, title, rank_correlation(measure.numbers, theirs)) for measure, title, theirs in pairs]
    kept = [(measure, title, one) for measure, title, one in found if one.n >= LEAST]
    adjusted = holm([1.0 if one.p_value is None else one.p_value for _, _, one in kept])
    return [
        Correlated(measure.title, measure.source, measure.judge, title, one, None if one.p_value is None else p)
        for (measure, title, one), p in zip(kept, adjusted, strict=True)
    ]


def _compared(measure: Measure) -> Iterator[tuple[str, dict[str, float]]]:
    """Title and values of the published columns that a measure is compared with."""
    for column in published.COLUMNS:
        if not measure.column or column.key in (measure.column, published.MT_BENCH.key):
            yield column.title, _values(column.figures)
    if measure.numbers.keys() & published.RUN_LOG.keys():
        both = {**_values(published.MT_BENCH.figures), **_values(published.RUN_LOG)}
        yield f"{published.MT_BENCH.title}, with the losses of the run log", both


def _values(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Published values by loss; the public DPO model is no loss that could be trained here."""
    return {name: figure.value for name, figure in figures.items() if name != PUBLIC_DPO}
