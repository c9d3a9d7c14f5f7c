"""Files in the formats of the package alpaca_eval: outputs of a model, annotations of its pairs, and the leaderboard.

`alpaca_eval evaluate --model_outputs ...` judges such outputs again, and its option `--precomputed_leaderboard` takes such a
leaderboard. A preference in a file is from 1 (the opponent's answer is better) to 2.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import stats
from analysis.benchmarks.results import Rows
from analysis.benchmarks.win_rates.comparisons import Pair, sample_of
from analysis.benchmarks.win_rates.length_control import NotIdentified, length_controlled
from analysis.output.encode import csv_text
from analysis.output.errors import ExportRefused
from archive.judgements import PolicyRow

LEADERBOARD = (
    "win_rate", "standard_error", "mode", "avg_length", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate",
    "length_controlled_winrate", "lc_standard_error",
)  # fmt: skip
"""Columns of version 0.6, after the unnamed one with the model's name. Rates are in percent."""
MODE = "community"
"""The package's word for models that its authors did not judge."""


def model_outputs(rows: Rows, policy: PolicyRow, benchmark: str) -> list[dict[str, str]]:
    """A policy's answers in the order of the questions. Raises ExportRefused if it has not answered all of them."""
    answers = {row.question: row for row in rows.answers if row.policy_id == policy.id and row.benchmark == benchmark}
    if missing := [question for question in rows.questions if question not in answers]:
        raise ExportRefused(
            f"{policy.name} has {len(answers)} answers to {len(rows.questions)} questions, the first without one is {missing[0]}; "
            "a file of outputs has one for each: run the same command again to finish the evaluation"
        )
    return [
        {
            "dataset": answers[question].category,
            "instruction": turns[0],
            "output": answers[question].turns[0],
            "generator": policy.name,
        }
        for question, turns in rows.questions.items()
    ]


def annotated(
    rows: Rows, judged: Sequence[Pair], ours: str, theirs: str, annotator: str
) -> list[dict[str, str | float | None]]:
    """The pairs of one policy with one opponent; a pair without a grade has the preference null."""
    category = {row.question: row.category for row in rows.answers}
    return [
        {
            "dataset": category.get(pair.question, ""),
            "instruction": rows.questions[pair.question][0],
            "output_1": pair.theirs,
            "generator_1": theirs,
            "output_2": pair.ours,
            "generator_2": ours,
            "annotator": annotator,
            "preference": None if pair.preference is None else 1 + pair.preference,
        }
        for pair in judged
        if pair.question in rows.questions
    ]


def entry(judged: tuple[Pair, ...], facts: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """A policy's line of the leaderboard. Its errors are the package's: over questions, see `LengthControl.spread`."""
    points = [pair.preference for pair in judged if pair.preference is not None]
    if not points:
        return dict.fromkeys(LEADERBOARD, math.nan) | {"mode": MODE, "n_total": 0}
    wins, losses = sum(value > 0.5 for value in points), sum(value < 0.5 for value in points)
    draws = len(points) - wins - losses
    error = stats.standard_error(points)
    line: dict[str, Any] = {
        "win_rate": 100 * stats.mean(points),
        "standard_error": math.nan if error is None else 100 * error,
        "mode": MODE,
        "avg_length": round(stats.mean([len(pair.ours) for pair in judged])),
        "n_wins": wins,
        "n_wins_base": losses,
        "n_draws": draws,
        "n_total": len(points),
        "discrete_win_rate": 100 * (wins + draws / 2) / len(points),
        "length_controlled_winrate": math.nan,
        "lc_standard_error": math.nan,
    }
    sample = sample_of(judged, facts)
    if sample is not None:
        try:
            control = length_controlled(sample)
        except NotIdentified:
            return line
        line |= {"length_controlled_winrate": 100 * control.rate, "lc_standard_error": 100 * control.spread}
    return line


def leaderboard(path: Path, ours: Mapping[str, Mapping[str, Any]]) -> str:
    """The leaderboard at `path` (perhaps not there) with our lines, best first, as CSV. Raises ExportRefused if it is another's."""
    lines: dict[str, Mapping[str, Any]] = {**_read(path), **{csv_text(name): line for name, line in ours.items()}}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("", *LEADERBOARD))
    for name in sorted(lines, key=lambda name: _rank(lines[name]), reverse=True):
        writer.writerow((name, *(_written(lines[name][column]) for column in LEADERBOARD)))
    return file.getvalue()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        table = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ExportRefused(
            f"cannot read the leaderboard {path} ({error}); move it away, or give a fresh copy"
        ) from None
    head = table[0] if table else []
    if head[1:] != list(LEADERBOARD):
        raise ExportRefused(
            f"{path} is a leaderboard of another version of alpaca_eval: its columns are {', '.join(head[1:])[:300] or 'none'}, "
            f"expected {', '.join(LEADERBOARD)} (version 0.6); move it away, or give one of that version"
        )
    for number, row in enumerate(table[1:], start=2):
        if len(row) != len(head):
            raise ExportRefused(
                f"line {number} of {path} has {len(row)} cells, expected {len(head)}; give a fresh copy"
            )
    return {row[0]: dict(zip(LEADERBOARD, row[1:], strict=True)) for row in table[1:]}


def _rank(line: Mapping[str, Any]) -> float:
    """The length-controlled rate, by which the package sorts; lines without one are last."""
    try:
        rate = float(line["length_controlled_winrate"])
    except ValueError:
        rate = math.nan
    return -math.inf if math.isnan(rate) else rate


def _written(value: Any) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)
