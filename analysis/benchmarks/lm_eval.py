"""What trained policies forgot: lm-eval's scores minus those of the reference policy.

A task's metrics are recorded as numbers of one answer without a text: each metric with its standard error over the items, and the
number of items. The answer's category says how was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

from analysis.benchmarks.results import Cell, ResultTable, Rows

ITEMS = "items"
_ERROR, _LESS = " (stderr)", " (less is better)"

DIFFERENCES = (
    "Score minus the reference policy's, on the same items. The error covers the items, for this policy and for the reference, and "
    "the seeds. It takes the two for measured on different items, so it is rather too large than too small."
)
SCORES = "The error is that of lm-eval: over the items of a task."


@dataclass(frozen=True)
class Measured:
    """One metric of one task on one policy."""

    value: float
    error: float | None
    """Standard error over the items; None if lm-eval reports none."""
    items: int


@dataclass(frozen=True)
class Column:
    """A column of the tables."""

    task: str
    metric: str
    how: str
    """Version of lm-eval, and the options that differ from its own, in words."""


def recorded(metric: str, value: float | None, error: float | None, *, higher_is_better: bool) -> dict[str, float]:
    """The numbers that are recorded of a metric; none of a metric without a value, that is, with one that was not finite."""
    if value is None:
        return {}
    name = metric if higher_is_better else metric + _LESS
    return {name: value} if error is None else {name: value, name + _ERROR: error}


def tables(rows: Rows) -> list[ResultTable]:
    """The differences to the reference by loss, and the scores of every policy. No table without scores."""
    found = _measured(rows)
    columns = tuple(dict.fromkeys(column for one in found.values() for column in one))
    if not columns:
        return []
    ways = tuple(dict.fromkeys(column.how for column in columns))
    heads = tuple(f"{c.task} {c.metric}{_number(ways, c.how)}" for c in columns)
    how = "; ".join(f"{_number(ways, way)} {way}".strip() for way in ways)
    policies = [policy for policy in rows.policies if policy.id in found]
    scores = ResultTable(
        "lm-eval: scores",
        ("policy", *heads),
        tuple((p.name, tuple(_score(found[p.id].get(column)) for column in columns)) for p in policies),
        (SCORES, f"Measured with: {how}."),
    )
    reference = next((policy for policy in policies if policy.kind == "reference"), None)
    if reference is None:
        return [scores]
    base = found[reference.id]
    lost = []
    for name, members in rows.systems.items():
        seeds = [found[p.id] for p in members if p.id in found]
        if not seeds or reference in members:
            continue
        cells = [_difference([one.get(column) for one in seeds], base.get(column)) for column in columns]
        if members[0].loss is None:  # a model of the user's, which has no seeds
            cells = [replace(cell, note="") if cell.value is not None else cell for cell in cells]
        lost.append((name, tuple(cells)))
    return [ResultTable("lm-eval: forgetting", ("loss", *heads), tuple(lost), (DIFFERENCES,)), scores]


def _measured(rows: Rows) -> Mapping[int, Mapping[Column, Measured]]:
    """The metrics by policy (id) and column."""
    found: dict[int, dict[Column, Measured]] = {}
    for answer in rows.answers:
        items, own = int(answer.metrics.get(ITEMS, 0)), found.setdefault(answer.policy_id, {})
        for metric, value in answer.metrics.items():
            if metric == ITEMS or metric.endswith(_ERROR):
                continue
            column = Column(answer.question, metric, answer.category)
            own[column] = Measured(value, answer.metrics.get(metric + _ERROR), items)
    return found


def _number(ways: Sequence[str], way: str) -> str:
    """The number of a way of measuring, if there are several."""
    return f" ({ways.index(way) + 1})" if len(ways) > 1 else ""


def _score(one: Measured | None) -> Cell:
    if one is None:
        return Cell(note="not measured")
    return Cell(one.value, one.error, one.items)


def _difference(seeds: Sequence[Measured | None], base: Measured | None) -> Cell:
    """The mean difference over the seeds."""
    found = [one for one in seeds if one is not None]
    if base is None or not found:
        return Cell(note="not measured")
    values = [one.value for one in found]
    note = "1 seed" if len(found) == 1 else ""
    if len(found) < len(seeds):
        note = f"{len(found)} of {len(seeds)} seeds"
    return Cell(fmean(values) - base.value, _error(found, values, base), base.items, note=note)


def _error(seeds: Sequence[Measured], values: Sequence[float], base: Measured) -> float | None:
    """Standard error of the difference. All seeds answer the same items, so more seeds do not lower the error over items."""
    errors = [one.error for one in (*seeds, base)]
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return None
    between = variance(values) / len(values) if len(values) > 1 else 0.0
    return math.sqrt(between + fmean(error**2 for error in known[:-1]) + known[-1] ** 2)
