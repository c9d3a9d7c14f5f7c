"""What an archive of `evopo evaluate` holds for the page: the score of each loss by benchmark and judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from analysis.benchmarks import mt_bench, published
from analysis.benchmarks.mt_bench.grades import scores
from analysis.benchmarks.mt_bench.judged import by_judge
from analysis.benchmarks.results import Cell, ResultTable, Rows
from analysis.paper.tables import Measure, Number
from analysis.wording import count
from archive.query import Reader


def scores_of(reader: Reader, source: str) -> list[Measure]:
    """The scores of all benchmarks that have a published column. Raises ArchiveError."""
    policies = tuple(reader.policies())
    found = []
    for benchmark, measured in _BENCHMARKS.items():
        rows = Rows(policies, tuple(reader.answers(benchmark)), tuple(reader.judgements(benchmark)))
        found += list(measured(rows, source))
    return found


def _mt_bench(rows: Rows, source: str) -> Iterator[Measure]:
    for judged in by_judge(rows):
        if judged.singles:
            values = _values(scores(judged), "score")
            yield Measure("mt-bench", published.MT_BENCH.title, values, source, judged.judge, published.MT_BENCH.key)


def _values(table: ResultTable, column: str) -> dict[str, Number]:
    """A column of a table of results by row."""
    place = table.columns.index(column) - 1
    return {name: _number(cells[place]) for name, cells in table.rows}


def _number(cell: Cell) -> Number:
    of = count(cell.n, "question") + (f", {cell.note}" if cell.note else "")
    ungraded = f"{cell.ungraded:,} ungraded" if cell.ungraded else ""
    if cell.value is None:
        return Number(None, words=", ".join(filter(None, (cell.note, ungraded))) or "no grade")
    return Number(cell.value, cell.error, of, ungraded)


_BENCHMARKS: Mapping[str, Callable[[Rows, str], Iterator[Measure]]] = {"mt-bench": _mt_bench}
