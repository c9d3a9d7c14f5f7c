"""Win rates of the policies of one loss: over questions and training seeds, with the judge's two biases and their sizes.

The error of a rate covers questions and seeds: the squared standard errors over questions (of the means over seeds) and over seeds
(of the means over questions) are added. This counts the noise of single judgements twice, so it is rather too large (Owen 2007,
"The pigeonhole bootstrap"). With one training seed it covers the questions alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis import stats
from analysis.benchmarks.results import Cell
from analysis.benchmarks.win_rates.comparisons import Pair, by_question, sample_of
from analysis.benchmarks.win_rates.length_control import (
    LengthControl,
    NotIdentified,
    Sample,
    length_controlled,
    redrawn,
)

DRAWS = 200
"""Redrawn sets of questions for the errors of length-controlled rates."""
PERCENT = 100.0
ROUNDED = 9
"""Decimal places: probabilities are differences of logarithms, whose rounding would show as a bias of 1e-16."""


@dataclass(frozen=True)
class Rates:
    """The figures of one row of a table, in percent; characters are a number."""

    plain: Cell
    controlled: Cell
    length: Cell
    """Plain minus controlled: the part of the win rate that comes from the length of the answers."""
    position: Cell
    """Points that an answer gains by being shown first."""
    characters: Cell
    """Mean length of the answers."""
    form: str
    """Form of the length-controlled model; empty without one."""


def rates(policies: Sequence[tuple[Pair, ...]], facts: Mapping[str, Mapping[str, float]]) -> Rates:
    """The rates of policies that differ in their training seed, from their pairs with one opponent."""
    ungraded = sum(pair.ungraded for judged in policies for pair in judged)
    points = [found for judged in policies if (found := by_question(judged))]
    gains = [
        {pair.question: pair.first_gains for pair in judged if pair.first_gains is not None} for judged in policies
    ]
    lengths = [{pair.question: float(len(pair.ours)) for pair in judged} for judged in policies]
    plain = _cell(points, PERCENT, ungraded)
    controlled, length, form = _controlled(policies, facts, plain)
    return Rates(
        plain, controlled, length, _cell([g for g in gains if g], PERCENT), _cell([c for c in lengths if c]), form
    )


def _cell(values: Sequence[Mapping[str, float]], unit: float = 1.0, ungraded: int = 0) -> Cell:
    """The mean of values by policy and question."""
    if not values:
        return Cell(ungraded=ungraded, note="no graded pair" if ungraded else "not judged")
    questions = list(dict.fromkeys(question for found in values for question in found))
    of_questions = [stats.mean([found[q] for found in values if q in found]) for q in questions]
    of_policies = [stats.mean(list(found.values())) for found in values]
    errors = [error for group in (of_questions, of_policies) if (error := stats.standard_error(group)) is not None]
    error = round(math.hypot(*errors) * unit, ROUNDED) if len(of_questions) > 1 else None
    return Cell(round(stats.mean(of_policies) * unit, ROUNDED), error, len(questions), ungraded)


def _controlled(
    policies: Sequence[tuple[Pair, ...]], facts: Mapping[str, Mapping[str, float]], plain: Cell
) -> tuple[Cell, Cell, str]:
    """The length-controlled rate, the difference to the plain one, and the form of the model."""
    samples: list[Sample] = []
    controls: list[LengthControl] = []
    for judged in policies:
        sample = sample_of(judged, facts)
        if sample is None:
            return *_without("the opponent's answers are not recorded"), ""
        if not sample.questions:
            continue
        try:
            controls.append(length_controlled(sample))
        except NotIdentified as reason:
            return *_without(str(reason)), ""
        samples.append(sample)
    if not samples:
        return *_without(plain.note), ""
    of_policies = [control.rate for control in controls]
    before = [float(sample.preference.mean()) for sample in samples]
    drawn, drawn_controlled = redrawn(samples, controls, DRAWS)
    seeds = (
        stats.standard_error(of_policies),
        stats.standard_error([a - b for a, b in zip(before, of_policies, strict=True)]),
    )
    errors = [
        _error(np.nanmean(values, axis=1), over_seeds)
        for values, over_seeds in zip((drawn_controlled, drawn - drawn_controlled), seeds, strict=True)
    ]
    note = "the penalty set all terms to 0" if all(c.quality == c.length == 0 for c in controls) else ""
    rate = stats.mean(of_policies)
    return (
        Cell(rate * PERCENT, errors[0], plain.n, note=note),
        Cell((stats.mean(before) - rate) * PERCENT, errors[1], plain.n),
        samples[0].form,
    )


def _error(draws: np.ndarray[tuple[int], np.dtype[np.float64]], over_seeds: float | None) -> float | None:
    """Standard error in percent from the means of redrawn questions, and over training seeds."""
    kept = draws[np.isfinite(draws)]
    if len(kept) < 2:
        return None
    return math.hypot(float(kept.std(ddof=1)), over_seeds or 0.0) * PERCENT


def _without(reason: str) -> tuple[Cell, Cell]:
    return Cell(note=reason), Cell(note=reason)
