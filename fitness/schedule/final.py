"""The final of a run: the trainings after the search. Claims rest on them alone.

Finalists and seed losses are measured on fresh seeds, which played no part in selection, at the held-out rung if the task has
one. The baseline is also trained with other betas, and on request with other learning rates, so that no loss wins by its scale
alone. If a finalist is clearly ahead of all of them, a claim needs more trainings: the best other seed loss is trained over the
same grid, and a grid whose best arm lies at its edge is widened a few times.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from statistics import fmean, stdev

from fitness.schedule.ladder import OWN, Job, RaceEntry, Seeds, Tuning, leaders, open_jobs
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

LEAST_ERRORS = 1.9
"""Lead, in standard errors, below which nothing more is trained: no t-test at level 0.05 passes with less."""

DEFAULT_RATES = (0.5, 2.0)
"""Multiples of the task's learning rate with which the final trains a baseline that has no beta."""


def final(
    entries: Sequence[RaceEntry],
    info: TaskInfo,
    settings: LadderSettings,
    seeds: Seeds,
    also: Sequence[tuple[int, Tuning]] = (),
) -> tuple[Job, ...]:
    """Trainings due after the search, on fresh seeds. Call it again when they are done: it returns those that follow.

    First: the finalists, the seed losses, the baseline's grid, and `also`, the (candidate, tuning) of seed losses that a finalist
    is a variation of. Then, if a finalist is clearly ahead of every seed loss: the best other seed loss over the grid, and the
    next arm of a grid whose best arm lies at its edge.
    """
    chosen = leaders(entries, info, settings, seeds)[: settings.finalists]
    seed_losses = [e for e in entries if e.seed_loss]
    arms = [(e.candidate_id, OWN) for e in (*seed_losses, *chosen)]
    arms += [(e.candidate_id, tuning) for e in seed_losses if e.baseline for tuning in tunings(e, info, settings)]
    fresh, rung = seeds.final[: settings.finalist_seeds], final_rung(info)

    def due(wanted: Sequence[tuple[int, Tuning]]) -> tuple[Job, ...]:
        return open_jobs([Job(candidate, rung, s, *tuning) for s in fresh for candidate, tuning in wanted], entries)

    return due([*arms, *also]) or due(_arms_for_a_claim(seed_losses, chosen, info, settings, rung, fresh))


def _arms_for_a_claim(
    seed_losses: Sequence[RaceEntry],
    chosen: Sequence[RaceEntry],
    info: TaskInfo,
    settings: LadderSettings,
    rung: str,
    fresh: Sequence[int],
) -> list[tuple[int, Tuning]]:
    measured = {e.candidate_id: arms for e in seed_losses if (arms := e.arms(rung, fresh))}
    best_arms = [max(arms.values(), key=fmean) for arms in measured.values()]
    leading = [ours for e in chosen if (ours := e.arms(rung, fresh).get(OWN))]
    if not any(all(_may_be_above(ours, theirs) for theirs in best_arms) for ours in leading):
        return []
    rivals = [e for e in seed_losses if e.candidate_id in measured]
    others = [e for e in rivals if not e.baseline and OWN in measured[e.candidate_id]]
    best = max(others, key=lambda e: fmean(measured[e.candidate_id][OWN]), default=None)
    wanted: list[tuple[int, Tuning]] = []
    for entry in rivals:
        if entry.baseline or entry is best:
            grid, tried = tunings(entry, info, settings), _tried(entry, rung, fresh)
            further = [tuning for tuning in grid if tuning not in tried]
            means = {tuning: fmean(scores) for tuning, scores in measured[entry.candidate_id].items()}
            further = further or widened(means, [OWN, *grid], tried, info, settings.baseline_widenings)
            wanted += [(entry.candidate_id, tuning) for tuning in further]
    return wanted


def _may_be_above(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether a claim is still possible: the mean paired difference is at least LEAST_ERRORS standard errors."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    middle = fmean(differences)
    if middle <= 0 or len(differences) < 2:
        return middle > 0
    return middle >= LEAST_ERRORS * stdev(differences) / math.sqrt(len(differences))


def tunings(entry: RaceEntry, info: TaskInfo, settings: LadderSettings) -> tuple[Tuning, ...]:
    """Grid that a seed loss is tuned over, without the task's own settings; learning rates alone if it reads no beta."""
    if entry.reads_beta:
        return tuning_grid(info, settings)
    rates = settings.baseline_learning_rates
    return tuple((None, rate) for rate in _multiples(info.learning_rate, DEFAULT_RATES if rates is None else rates)[1:])


def baseline_grid(entries: Sequence[RaceEntry], info: TaskInfo, settings: LadderSettings) -> tuple[Tuning, ...]:
    """All arms of the baseline in the final before any widening; empty without a baseline."""
    return next(((OWN, *tunings(e, info, settings)) for e in entries if e.baseline), ())


def _tried(entry: RaceEntry, rung: str, fresh: Sequence[int]) -> set[Tuning]:
    """Tunings that were trained on all these seeds, failed trainings included."""
    found = {(tuning[0], tuning[1]) for at, _, *tuning in entry.tuned if at == rung}
    return {OWN} | {tuning for tuning in found if all((rung, seed, *tuning) in entry.tuned for seed in fresh)}


def _is_beyond(value: float, at: float, ratio: float) -> bool:
    """Whether a value lies on the side of `at` to which the ratio leads, by half a step or more."""
    return math.log(value / at) / math.log(ratio) >= 0.5


def widened(
    means: Mapping[Tuning, float], grid: Sequence[Tuning], tried: Collection[Tuning], info: TaskInfo, most: int
) -> list[Tuning]:
    """The next arm beyond the edge of the grid, if the best arm lies at that edge and fewer than `most` were added; else empty.

    `means` holds the mean fitness of every arm so far, `grid` the arms of the start, and `tried` all arms that were trained. Arms
    that failed are in `tried` and bound the grid too. The next value continues the ratio of the last two. Arms inside the grid
    that were trained for another reason neither bound it nor count as added.
    """
    own = (info.beta, info.learning_rate)
    best = max(means, key=lambda tuning: means[tuning])
    for axis in (0, 1):
        values = sorted({v for t in grid if (v := _value(t, axis, own)) is not None})
        line = {v for t in tried if t[1 - axis] == best[1 - axis] and (v := _value(t, axis, own)) is not None}
        at = _value(best, axis, own)
        if at is None or len(values) < 2:
            continue
        steps = [(values[0], values[0] / values[1]), (values[-1], values[-1] / values[-2])]
        added = [
            v for edge, ratio in steps for v in _beyond(edge, ratio, most) if any(math.isclose(v, w) for w in line)
        ]
        for edge, ratio in steps:
            if any(_is_beyond(v, at, ratio) for v in line) or len(added) >= most:
                continue
            further = next((v for v in _beyond(edge, ratio, most) if _is_beyond(v, at, ratio)), None)
            if further is None:
                continue
            tuning = list(best)
            tuning[axis] = float(f"{further:.12g}")
            return [(tuning[0], tuning[1])]
    return []


def _beyond(edge: float, ratio: float, most: int) -> list[float]:
    return [edge * ratio**step for step in range(1, most + 1)]


def _value(tuning: Tuning, axis: int, own: tuple[float | None, float | None]) -> float | None:
    return tuning[axis] if tuning[axis] is not None else own[axis]


def final_rung(info: TaskInfo) -> str:
    """Name of the final's rung: the held-out rung, or without one the rung of highest fidelity."""
    held_out = [rung.name for rung in info.rungs.values() if rung.held_out]
    return held_out[-1] if held_out else info.search_rungs[-1].name


def tuning_grid(info: TaskInfo, settings: LadderSettings) -> tuple[Tuning, ...]:
    """Tunings of the baseline in the final besides the task's own; None in a pair is the task's own value."""
    rates = settings.baseline_learning_rates
    if rates is None:
        rates = () if info.beta is not None else DEFAULT_RATES
    grid = product(
        _multiples(info.beta, settings.baseline_betas),
        _multiples(info.learning_rate, rates),
    )
    return tuple(pair for pair in grid if pair != OWN)


def _multiples(own: float | None, factors: Sequence[float]) -> tuple[float | None, ...]:
    """The task's own value (None), then its multiples."""
    if own is None:
        return (None,)
    return (None, *(round(own * factor, 12) for factor in factors if factor != 1.0))
