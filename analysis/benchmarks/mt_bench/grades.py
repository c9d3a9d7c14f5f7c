"""Grades of single answers: by loss or model, by turn and by category, with the difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis import stats
from analysis.benchmarks.estimates import Values, estimate
from analysis.benchmarks.mt_bench.cells import cell
from analysis.benchmarks.mt_bench.judged import BASELINE, ERRORS, REFERENCE, Judged, Keep
from analysis.benchmarks.published import MT_BENCH, RUN_LOG
from analysis.benchmarks.results import Cell, ResultTable
from analysis.plots.radar import Line
from archive.judgements import PolicyRow

LOWEST, HIGHEST = 1.0, 10.0
"""Range of a grade."""
TURNS = (1, 2)


def scores(judged: Judged) -> ResultTable:
    """The score of each loss or model in both turns and in each, its difference to the baseline, and the published score."""
    baseline = next((name for name in (BASELINE, REFERENCE) if name in judged.rows.systems), None)
    body = []
    for name in ranked(judged):
        policies = judged.rows.systems[name]
        cells = [_cell(judged, policies, seeds_shown=True), *(_cell(judged, policies, in_turn(turn)) for turn in TURNS)]
        if baseline:
            cells.append(Cell(note="baseline") if name == baseline else _difference(judged, name, baseline))
        body.append((name, (*cells, _published(name))))
    counted = len({row.question for row in judged.singles})
    notes = [
        f"Grades of 1 to 10 of {counted} questions by the judge {judged.judge}. {ERRORS}",
        "Published: mean grade by GPT-4, of single trainings, without an error (Lu et al. 2024, table 1).",
        *judged.remarks(),
    ]
    difference = [f"minus {baseline}"] if baseline else []
    if baseline:
        notes.insert(1, f"Minus {baseline}: paired by question, turn and training seed.")
    columns = ("policy", "score", *(f"turn {turn}" for turn in TURNS), *difference, "published")
    return ResultTable("MT-Bench: grades of single answers", columns, tuple(body), tuple(notes))


def trainings(judged: Judged) -> ResultTable:
    """The score of each policy by itself."""
    body = [
        (policy.name, tuple(_cell(judged, [policy], keep) for keep in (lambda row: True, *map(in_turn, TURNS))))
        for name in ranked(judged)
        for policy in judged.rows.systems[name]
    ]
    note = "Standard errors cover the questions, with both turns of one as a cluster."
    columns = ("policy", "score", *(f"turn {turn}" for turn in TURNS))
    return ResultTable("MT-Bench: grades by training", columns, tuple(body), (note,))


def categories(judged: Judged) -> ResultTable:
    """The score of each loss or model by category."""
    body = [
        (name, tuple(_cell(judged, judged.rows.systems[name], in_category(c)) for c in judged.categories))
        for name in ranked(judged)
    ]
    note = "Standard errors as above, over the questions of the category. 95 % intervals are in CSV and JSON."
    return ResultTable("MT-Bench: grades by category", ("policy", *judged.categories), tuple(body), (note,))


def line(judged: Judged, name: str) -> Line:
    """The scores by category as a line of the radar picture."""
    policies = judged.rows.systems[name]
    found = [estimate(judged.grades(policies, in_category(category))) for category in judged.categories]
    return Line(name, [e.value if e else None for e in found], [e.error if e else None for e in found])


def ranked(judged: Judged) -> list[str]:
    """Names of the losses and models, the best first, those without a grade last."""
    means = {name: estimate(judged.grades(rows)) for name, rows in judged.rows.systems.items()}
    return sorted(means, key=lambda name: -(found.value if (found := means[name]) else 0.0))


def in_turn(turn: int) -> Keep:
    """Judgements of this turn."""
    return lambda row: row.turn == turn


def in_category(category: str) -> Keep:
    """Judgements of answers to questions of this category."""
    return lambda row: row.category == category


def _cell(
    judged: Judged, policies: Sequence[PolicyRow], keep: Keep = lambda row: True, *, seeds_shown: bool = False
) -> Cell:
    rows = judged.of(policies, keep)
    ungraded = sum(row.grade is None for row in rows)
    why_none = "no grade" if rows else "not judged"
    return cell(estimate(judged.grades(policies, keep)), ungraded, why_none, seeds_shown=seeds_shown)


def _difference(judged: Judged, name: str, baseline: str) -> Cell:
    """The mean difference to the baseline. A model without a seed is compared with each of the other's seeds."""
    ours, theirs = (
        [(policy.seed, _by_turn(judged, policy)) for policy in judged.rows.systems[system]]
        for system in (name, baseline)
    )
    matched = [
        _minus(grades, others)
        for seed, grades in ours
        for other, others in theirs
        if None in (seed, other) or seed == other
    ]
    return cell(estimate(matched), 0, "no grade" if matched else "no shared seed")


Graded = Mapping[tuple[str, int], Sequence[float]]
"""Grades by question and turn, of one policy."""


def _by_turn(judged: Judged, policy: PolicyRow) -> Graded:
    found: dict[tuple[str, int], list[float]] = {}
    for row in judged.of([policy]):
        if row.grade is not None:
            found.setdefault((row.question, row.turn), []).append(row.grade)
    return found


def _minus(ours: Graded, theirs: Graded) -> Values:
    """Differences by question, of the turns that both have a grade of."""
    found: dict[str, list[float]] = {}
    for question, turn in sorted(ours.keys() & theirs.keys()):
        found.setdefault(question, []).append(stats.mean(ours[question, turn]) - stats.mean(theirs[question, turn]))
    return found


def _published(name: str) -> Cell:
    if name in MT_BENCH.figures:
        return Cell(MT_BENCH.figures[name].value, places=3)
    if name in RUN_LOG:
        return Cell(RUN_LOG[name].value, note="log of one run", places=3)
    return Cell(note="not published")
