"""Tables of win rates: one for each opponent and judge, with the published figures beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analysis.benchmarks.published import PAPER, Column
from analysis.benchmarks.results import Cell, ResultTable, Rows
from analysis.benchmarks.win_rates.comparisons import OTHER, Opponent, Pair, facts_of, pairs
from analysis.benchmarks.win_rates.rates import DRAWS, rates

Published = Mapping[str, tuple[Column, Column]]
"""The paper's columns by kind of opponent: plain and length controlled."""

COLUMNS = ("win rate %", "length-controlled %", "from length %", "position bias %", "characters")
NOTES = (
    "Errors cover the questions, and the training seeds where a loss has several. Published ones cover questions alone, and those "
    "of length-controlled rates no noise of the judgements.",
    "From length: win rate minus length-controlled rate. Position bias: points that an answer gains by being shown first; both "
    "orders cancel it in the win rate.",
)


def win_rate_tables(
    rows: Rows, title: str, published: Published, read: Callable[[str], str] = str
) -> list[ResultTable]:
    """A table for each opponent and judge. `read` makes of an answer the text whose length counts."""
    facts = facts_of(rows)
    return [
        _table(rows, opponent, judged, title, published.get(opponent.kind), facts)
        for opponent, judged in pairs(rows, read).items()
    ]


def _table(
    rows: Rows,
    opponent: Opponent,
    judged: Mapping[int, tuple[Pair, ...]],
    title: str,
    published: tuple[Column, Column] | None,
    facts: Mapping[str, Mapping[str, float]],
) -> ResultTable:
    lines: list[tuple[str, tuple[Cell, ...]]] = []
    forms: dict[str, None] = {}
    both_orders = True
    for name, policies in rows.systems.items():
        own = [judged[policy.id] for policy in policies if policy.id in judged]
        if not own:
            continue
        found = rates(own, facts)
        if found.form:
            forms[found.form] = None
        both_orders &= found.position.value is not None or found.plain.value is None
        cells = (found.plain, found.controlled, found.length, found.position, found.characters)
        lines.append((name, (*cells, *(_published(column, name) for column in published or ()))))
    notes = [
        *NOTES,
        f"Length control: alpaca_eval's {' and '.join(forms)}; errors by {DRAWS} bootstraps of the questions.",
    ]
    if not both_orders:
        notes.append("Some pairs were shown in one order only: their win rates hold the judge's position bias.")
    notes.append(f"Judge: {opponent.judge}, prompt {opponent.prompt_hash[:12]}.")
    heads = ("paper %", "paper length-controlled %") if published else ()
    if published:
        notes.append(
            f"Paper: {PAPER}, {published[0].title} and {published[1].title}; other models, judge and prompts than here."
        )
    kind = "the policy " if opponent.kind == OTHER else ""
    return ResultTable(
        f"{title} against {kind}{opponent.name}", ("policy", *COLUMNS, *heads), tuple(lines), tuple(notes)
    )


def _published(column: Column, name: str) -> Cell:
    found = column.figures.get(name)
    return Cell(note="not published") if found is None else Cell(found.value, found.error)
