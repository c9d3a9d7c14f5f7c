"""Sweeps over beta of `evopo evaluate --on imdb`, for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis import stats
from analysis.benchmarks.imdb import REWARD, Arm, sweeps
from analysis.benchmarks.results import Rows
from analysis.paper.tables import Measure, Number
from analysis.wording import count


@dataclass(frozen=True, slots=True)
class Sweep:
    """The reward of one loss over betas."""

    source: str
    loss: str
    rewards: Mapping[float, Number]


def sweeps_of(rows: Rows, source: str) -> list[Sweep]:
    """The rewards of each loss over its grid."""
    return [
        Sweep(source, sweep.name, {arm.beta: _reward(arm) for arm in sweep.arms if arm.beta is not None})
        for sweep in sweeps(rows)
    ]


def frontier_of(rows: Rows, source: str) -> list[Measure]:
    """The area under the frontier of reward against KL of each loss; nothing without a sweep."""
    values = {
        sweep.name: Number(
            stats.mean(sweep.areas), stats.standard_error(sweep.areas), count(len(sweep.areas), "training seed")
        )
        for sweep in sweeps(rows)
        if sweep.areas
    }
    return [Measure("imdb", "area under the frontier of reward against KL", values, source)] if values else []


def _reward(arm: Arm) -> Number:
    if not arm.measured:
        return Number(None, words=arm.state)
    value, error = arm.mean(REWARD)
    return Number(value, error, count(len(arm.measured), "training seed"), arm.state)
