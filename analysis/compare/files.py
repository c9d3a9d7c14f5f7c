"""The comparison for other programs: JSON with everything, CSV with one line per run."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from analysis.compare.comparison import Compared, Comparison, Outcome
from analysis.compare.curves import Against
from analysis.compare.differences import Measure
from analysis.compare.found import Found, Function
from analysis.compare.text import comparison_text
from analysis.output.encode import csv_text, json_text

FORMS: Mapping[str, Callable[[Comparison], str]]
"""The printed forms, by name."""


def comparison_json(comparison: Comparison) -> str:
    """Everything as one JSON object. Names are exact, unlike in the other forms."""
    return json_text(
        {
            "task": comparison.task,
            "baseline": comparison.baseline,
            "metric": comparison.metric,
            "rung": comparison.rung,
            "against": comparison.against.value,
            "up_to": comparison.upto,
            "end_values": "fresh seeds" if comparison.fresh else "curve",
            "notes": comparison.notes,
            "strategies": [_strategy(compared) for compared in comparison.strategies],
            "differences": [
                {**asdict(d), "measure": d.measure.name.lower(), "distinguishable": d.distinguishable}
                for d in comparison.differences
            ],
            "found": [_found(found) for found in comparison.discoveries.found],
            "descriptors": comparison.discoveries.axes,
            "best": [_function(function) for function in comparison.discoveries.best],
        }
    )


def comparison_csv(comparison: Comparison) -> str:
    """One line per run. Text that a spreadsheet would read as a formula gets an apostrophe."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(
        ["strategy", "run", "seed", *(m.name.lower() for m in Measure), "error", *Against, "leader", "complete"]
    )
    for compared in comparison.strategies:
        for o in compared.outcomes:
            texts = [csv_text(compared.label), csv_text(o.run.name)]
            error = "" if o.error is None else o.error
            numbers = [o.run.seed, o.end, o.area, error, *(o.spent[against] for against in Against)]
            rows.writerow([*texts, *numbers, csv_text(o.leader.name), o.run.finished])
    return buffer.getvalue().rstrip("\n")


FORMS = {"table": comparison_text, "json": comparison_json, "csv": comparison_csv}


def _strategy(compared: Compared) -> dict[str, Any]:
    return {
        "label": compared.label,
        "keys": dict(compared.strategy.keys),
        "runs": [_run(outcome) for outcome in compared.outcomes],
    }


def _run(outcome: Outcome) -> dict[str, Any]:
    curve = outcome.curve
    return {
        "run": outcome.run.name,
        "seed": outcome.run.seed,
        "complete": outcome.run.finished,
        "end": outcome.end,
        "error": outcome.error,
        "area": outcome.area,
        "leader": {"id": outcome.leader.id, "name": outcome.leader.name},
        "spent": {against.value: amount for against, amount in outcome.spent.items()},
        "curve": [[x, value, leader] for x, value, leader in zip(curve.xs, curve.values, curve.leaders, strict=True)],
    }


def _found(found: Found) -> dict[str, Any]:
    return {
        "strategy": found.strategy,
        "requests": found.requests,
        "outcomes": {outcome.value: number for outcome, number in found.outcomes.items()},
        "functions": found.functions,
        "functions_alone": found.alone,
        "better": found.better,
        "better_alone": found.better_alone,
        "cells": found.cells,
        "cells_alone": found.cells_alone,
        "operators": [
            {
                "operator": o.label,
                "proposals": o.proposals,
                "accepted": o.accepted,
                "improved": o.improved,
                "compared": o.compared,
                "significant": o.significant,
            }
            for o in found.operators
        ],
    }


def _function(function: Function) -> dict[str, Any]:
    return {
        "name": function.name,
        "sources": [{"strategy": s, "run": run, "candidate": id} for s, run, id in function.sources],
        "advantage": function.advantage,
        "error": function.error,
        "differences": function.seeds,
    }
