"""Scores of benchmarks for the page: of each loss or model, by judge, with the published column that each belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from analysis.benchmarks import alpaca_eval, published, tldr
from analysis.benchmarks.mt_bench.grades import scores
from analysis.benchmarks.mt_bench.judged import by_judge
from analysis.benchmarks.results import Cell, Rows
from analysis.benchmarks.win_rates.comparisons import facts_of, pairs
from analysis.benchmarks.win_rates.rates import rates
from analysis.benchmarks.win_rates.tables import Published
from analysis.paper.tables import Measure, Number
from analysis.wording import count


def measures_of(benchmark: str, rows: Rows, source: str) -> list[Measure]:
    """The measures of one benchmark; none for a benchmark without published figures."""
    match benchmark:
        case "mt-bench":
            return list(_grades(rows, source))
        case "alpaca-eval":
            return list(_win_rates(rows, alpaca_eval.PUBLISHED, str, source))
        case "tldr":
            return list(_win_rates(rows, tldr.PUBLISHED, tldr.summary, source))
    return []


def _grades(rows: Rows, source: str) -> Iterator[Measure]:
    column = published.MT_BENCH
    for judged in by_judge(rows):
        if judged.singles:
            table = scores(judged)
            place = table.columns.index("score") - 1
            values = {name: _number(cells[place]) for name, cells in table.rows}
            yield Measure(column.key, column.title, values, source, judged.judge, column.key)


def _win_rates(rows: Rows, columns: Published, read: Callable[[str], str], source: str) -> Iterator[Measure]:
    """The plain and the length-controlled rate against each opponent that the paper has. `read` makes of an answer the text whose
    length counts."""
    facts = facts_of(rows)
    for opponent, judged in pairs(rows, read).items():
        own = {name: [judged[p.id] for p in policies if p.id in judged] for name, policies in rows.systems.items()}
        found = {name: rates(answers, facts) for name, answers in own.items() if answers}
        if opponent.kind in columns:
            plain, controlled = columns[opponent.kind]
            for column, cells in (
                (plain, {name: one.plain for name, one in found.items()}),
                (controlled, {name: one.controlled for name, one in found.items()}),
            ):
                values = {name: _number(cell) for name, cell in cells.items()}
                yield Measure(
                    column.key, column.title, values, source, opponent.judge, column.key, against=opponent.name
                )


def _number(cell: Cell) -> Number:
    ungraded = f"{cell.ungraded:,} ungraded" if cell.ungraded else ""
    if cell.value is None:
        return Number(None, words=", ".join(filter(None, (cell.note, ungraded))) or "no grade")
    of = ", ".join(filter(None, (count(cell.n, "question") if cell.n else "", cell.note)))
    return Number(cell.value, cell.error, of, ungraded)
