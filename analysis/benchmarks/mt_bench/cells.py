"""Cells of the tables, made of estimates."""

from __future__ import annotations

from analysis.benchmarks.estimates import Estimate
from analysis.benchmarks.results import Cell
from analysis.stats import Interval

PERCENT = 100.0


def cell(
    found: Estimate | None,
    ungraded: int,
    why_none: str,
    *,
    unit: float = 1.0,
    seeds_shown: bool = False,
    interval_shown: bool = False,
) -> Cell:
    """The cell of an estimate. `unit` multiplies it, for example to percent. Seeds and interval are written beside it if wanted."""
    if found is None:
        return Cell(ungraded=ungraded, note=why_none)
    ends = found.interval
    interval = Interval(unit * ends.low, unit * ends.high) if ends else None
    notes = [f"{found.seeds} seeds"] if found.seeds > 1 and seeds_shown else []
    if interval and interval_shown:
        notes.append(f"{interval.low:.1f} to {interval.high:.1f}")
    error = None if found.error is None else unit * found.error
    return Cell(unit * found.value, error, found.questions, ungraded, ", ".join(notes), interval)
