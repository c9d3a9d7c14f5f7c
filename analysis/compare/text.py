"""The comparison as text for a terminal. Names come from models and from archives of others: each is one visible line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis import stats
from analysis.compare.comparison import Compared, Comparison, Outcome
from analysis.compare.curves import Against
from analysis.compare.differences import Difference, Measure
from analysis.compare.found import BETTER, Found
from analysis.compare.runs import shown
from analysis.lineage.moves import MoveOutcome
from analysis.output.encode import one_line
from analysis.wording import columns, count, display_name, figure, plus_minus

NO_LOSS = (MoveOutcome.UNUSABLE, MoveOutcome.NO_IMPROVEMENT, MoveOutcome.CALL_FAILED, MoveOutcome.LOST)
"""Outcomes of requests that gave no loss."""


def comparison_text(comparison: Comparison) -> str:
    """The whole comparison."""
    parts = [
        [head(comparison), *told_apart(comparison), *explained(comparison), *comparison.notes],
        columns([strategy_titles(comparison), *(strategy_row(comparison, s) for s in comparison.strategies)]),
        [verdict(d, comparison) for d in comparison.differences],
        columns([FOUND_TITLES, *map(found_row, comparison.discoveries.found)]),
        list(_alone(comparison)),
        columns([OPERATOR_TITLES, *operator_rows(comparison)]),
        columns([RUN_TITLES, *(run_row(s, o) for s in comparison.strategies for o in s.outcomes)]),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def head(comparison: Comparison) -> str:
    """The task, and how many runs of which strategies."""
    runs = sum(len(s.outcomes) for s in comparison.strategies)
    number = len(comparison.strategies)
    what = "1 strategy" if number == 1 else f"{number} strategies"
    return f"Task {one_line(comparison.task)}: {count(runs, 'run')} of {what}."


def told_apart(comparison: Comparison) -> list[str]:
    """By which settings the strategies differ; empty if there is one."""
    if len(comparison.strategies) < 2:
        return []
    rows = []
    for compared in comparison.strategies:
        keys = [f"{one_line(key)}={shown(value)}" for key, value in compared.strategy.keys.items()]
        rows.append(f"Strategy {compared.label}: {one_line(', '.join(keys), 200)}")
    return rows


def explained(comparison: Comparison) -> list[str]:
    """What the values are, in sentences."""
    metric = f" ({one_line(comparison.metric)})" if comparison.metric else ""
    ends = (
        f"End value: the advantage of the leader at the end of the search, on the fresh seeds of the final, at rung "
        f"{one_line(comparison.fresh)}."
        if comparison.fresh
        else f"End value: the curve after {figure(comparison.upto)} {comparison.against.value}."
    )
    return [
        f"Curve: the estimated advantage in fitness{metric} of the search's leader over {comparison.baseline}, at rung "
        f"{one_line(comparison.rung)}, against {comparison.against.value}.",
        ends,
        "± is one standard error over runs.",
    ]


# ---- strategies and their differences ------------------------------------------------------------------------------


def strategy_titles(comparison: Comparison) -> tuple[str, ...]:
    """Titles of the table of strategies."""
    return ("strategy", "runs", *(m.value for m in Measure), *_used(comparison))


def strategy_row(comparison: Comparison, compared: Compared) -> tuple[str, ...]:
    """Values of one strategy: means over its runs."""
    cells = [_mean(compared.values(measure)) for measure in Measure]
    used = [figure(stats.mean([o.spent[against] for o in compared.outcomes])) for against in _used(comparison)]
    return (compared.label, str(len(compared.outcomes)), *cells, *used)


def verdict(found: Difference, comparison: Comparison) -> str:
    """One comparison of two strategies in a sentence."""
    names = f"{found.first} minus {found.second}, {found.measure.value}"
    value = plus_minus(found.difference, found.standard_error, signed=True)
    if found.adjusted is None:
        why = "no test, for lack of runs" if min(found.runs) < 2 else "no test: the values do not vary"
        return f"{names}: {value} ({why})"
    pairs = f"{found.runs[0]} pairs of runs with equal seeds"
    how = pairs if found.matched else f"{found.runs[0]} and {found.runs[1]} runs, Welch's test"
    tests = sum(d.adjusted is not None for d in comparison.differences)
    p_value = f"p = {figure(found.adjusted)}" + (f" after Holm over {tests} tests" if tests > 1 else "")
    if found.distinguishable:
        better = found.first if found.difference > 0 else found.second
        return f"{names}: {value} ({how}; {p_value}): {better} is better"
    least = (
        ""
        if found.detectable is None
        else f"; a true difference of {figure(found.detectable)} would have been found with probability 0.8"
    )
    return f"{names}: {value} ({how}; {p_value}): not distinguishable{least}"


def _used(comparison: Comparison) -> list[Against]:
    """The kinds of cost that some run had."""
    return [a for a in Against if any(o.spent[a] for s in comparison.strategies for o in s.outcomes)]


def _mean(values: Sequence[float]) -> str:
    return plus_minus(stats.mean(values), stats.standard_error(values), signed=True)


# ---- what they found -----------------------------------------------------------------------------------------------

FOUND_TITLES = (
    "strategy", "requests", "new functions", "of it alone", f"among the {BETTER} best", "of it alone", "cells", "of it alone",
    "duplicate", "refused", "training failed", "no loss",
)  # fmt: skip


def found_row(found: Found) -> tuple[str, ...]:
    """Counts of one strategy, over all its runs."""
    shares = [(MoveOutcome.DUPLICATE,), (MoveOutcome.REFUSED,), (MoveOutcome.TRAINING_FAILED,), NO_LOSS]
    numbers = (
        found.requests, found.functions, found.alone, found.better, found.better_alone, found.cells, len(found.cells_alone),
    )  # fmt: skip
    return (found.strategy, *map(str, numbers), *(percent(found.share(*outcomes)) for outcomes in shares))


def percent(share: float | None) -> str:
    """A share as a whole percentage; a dash for None."""
    return "–" if share is None else f"{100 * share:.0f} %"


def _alone(comparison: Comparison) -> Iterator[str]:
    if rows := alone_rows(comparison):
        yield f"Of the {len(comparison.discoveries.best)} best functions, found by one strategy alone:"
        yield from columns([ALONE_TITLES, *rows])


ALONE_TITLES = ("function", "strategy", "run", "candidate", "advantage", "differences")


def alone_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The functions among the best that one strategy alone found. Empty with one strategy."""
    rows: list[tuple[str, ...]] = []
    for function in comparison.discoveries.of_one if len(comparison.strategies) > 1 else ():
        strategy, run, candidate = function.sources[0]
        advantage = plus_minus(function.advantage or 0.0, function.error, signed=True)
        rows.append((function.name, strategy, one_line(run, 40), str(candidate), advantage, str(function.seeds)))
    return rows


OPERATOR_TITLES = ("strategy", "operator", "proposals", "new, accepted", "better than parent", "significantly better")


def operator_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """What the operators of each strategy did, over all its runs."""
    rows: list[tuple[str, ...]] = []
    for found in comparison.discoveries.found:
        for o in found.operators:
            improved = f"{o.improved} of {o.compared}"
            label = one_line(o.label, 40)
            rows.append((found.strategy, label, str(o.proposals), str(o.accepted), improved, str(o.significant)))
    return rows


# ---- runs ----------------------------------------------------------------------------------------------------------

RUN_TITLES = ("run", "strategy", "seed", "end value", "mean over the curve", "leader")


def run_row(compared: Compared, outcome: Outcome) -> tuple[str, ...]:
    """Values of one run; its error is over training seeds."""
    return (
        one_line(outcome.run.name, 48), compared.label, str(outcome.run.seed),
        plus_minus(outcome.end, outcome.error, signed=True), figure(outcome.area, signed=True), display_name(outcome.leader, 40),
    )  # fmt: skip
