"""Who earns how much training: a pure function from the results so far to the trainings that are due.

The sandbox's numeric tests are the ground floor: what cannot train never gets here. Then a loss climbs *stages*, each of
which costs more than the one before: every search rung with one seed, cheapest first, and the dearest with more and more
seeds. To climb on, a loss must pass two tests at a stage. It must be in the upper part of those that have completed it
(asynchronous successive halving, Li et al. 2020, with seeds as the last resource). And it must have a hope of being the
best: what the next stage said of losses that have completed both is extrapolated to it by a straight line, with some
residual deviations to its favour. So a stage that foretells the next one well lets few climb, and one that does not lets
the upper part. All that complete a stage were measured on the same seeds, so what is compared is paired. A loss whose
training failed at any stage is out. Nothing waits for others: the rule is asked after every result, and an early loss may
climb that a later one would have kept down.

Baselines are measured at every stage, whatever their fitness. The race decides who is looked at again; it infers nothing.
Claims rest on the final alone (`fitness.schedule.final`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, linear_regression

from fitness.task.protocol import TaskInfo

Results = Mapping[tuple[str, int], float | None]
"""Fitness by (rung, seed); None for a training that failed."""

Tuned = tuple[str, int, float | None, float | None]
"""A training at other settings than the task's own: (rung, seed, beta, learning rate), None for the task's own."""

Tuning = tuple[float | None, float | None]
"""Beta and learning rate that a loss is trained with, None for the task's own."""

OWN: Tuning = (None, None)

FORESEEN_FROM = 6
"""Losses that must have completed a stage and the one before it, before the one is used to foresee the other."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One loss in the race. Baselines run every stage and the final, whatever their fitness."""

    candidate_id: int
    baseline: bool
    results: Results = field(default_factory=dict)
    """With the task's own beta."""
    yardstick: bool = False
    """The baseline that claims are made against."""
    tuned: Mapping[Tuned, float | None] = field(default_factory=dict)
    """Fitness with another beta or learning rate; None for a training that failed. The race does not look at it."""
    reads_beta: bool = True
    """Whether another beta makes it another loss."""

    @property
    def failed(self) -> bool:
        """Whether any training of it failed."""
        return None in self.results.values()

    def mean(self, stage: Stage) -> float | None:
        """Mean fitness over the stage's seeds; None before all of them are scored."""
        values = [self.results.get((stage.rung, seed)) for seed in stage.seeds]
        scored = [value for value in values if value is not None]
        return fmean(scored) if len(scored) == len(values) else None

    def arms(self, rung: str, seeds: Sequence[int]) -> dict[Tuning, tuple[float, ...]]:
        """Fitness by seed, at a rung, of every tuning that was scored on all these seeds."""
        by_arm: dict[Tuning, dict[int, float]] = {}
        for (at, seed), fitness in self.results.items():
            if at == rung and fitness is not None:
                by_arm.setdefault(OWN, {})[seed] = fitness
        for (at, seed, *tuning), fitness in self.tuned.items():
            if at == rung and fitness is not None:
                by_arm.setdefault((tuning[0], tuning[1]), {})[seed] = fitness
        return {
            tuning: tuple(scores[seed] for seed in seeds)
            for tuning, scores in by_arm.items()
            if seeds and all(seed in scores for seed in seeds)
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """How generous the race is."""

    keep: float = 0.33
    """Fraction of those measured at a rung that climbs to the next."""
    optimism: float = 2.0
    """Residual deviations by which a loss may be foreseen to stay behind the best of the next stage and still climb."""
    contenders: int = 6
    """Leaders of the dearest search rung that earn a second seed; half of them earn further ones, and so on."""
    contender_seeds: int = 4
    """Seeds that a contender may earn."""
    finalists: int = 3
    """Leaders measured in the final, beside the baselines."""
    finalist_seeds: int = 4
    """Fresh seeds of the final."""
    yardstick_betas: tuple[float, ...] = (0.5, 2.0)
    """Multiples of the task's beta at which the final trains the yardstick too; the best of its arms stands."""
    yardstick_learning_rates: tuple[float, ...] | None = None
    """Likewise of the task's learning rate; the yardstick is trained at every pair of the two. None: DEFAULT_RATES where the
    task has no beta, else none, since beta too sets how far a training goes."""
    yardstick_widenings: int = 2
    """How often a grid may be widened whose best arm lies at its edge."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training that is due: a candidate, at a rung, with a seed. None is the task's own beta or learning rate."""

    candidate_id: int
    rung: str
    seed: int
    beta: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of a run: `search` in the order in which they are earned, `final` fresh ones that select nobody."""

    search: tuple[int, ...]
    final: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A rung and the seeds on which everybody who climbs that far is measured."""

    rung: str
    seeds: tuple[int, ...]
    places: int | None
    """How many of those that completed it may climb on at most, and at most half; None: the settings' fraction."""


def stages(info: TaskInfo, settings: Settings, seeds: Seeds) -> tuple[Stage, ...]:
    """The way up, cheapest first. Seeds double from stage to stage, as far as a contender may earn them."""
    rungs = [Stage(rung.name, seeds.search[:1], None) for rung in info.search_rungs]
    places, earned = settings.contenders, 1
    while earned < min(settings.contender_seeds, len(seeds.search)) and places > 0:
        earned = min(2 * earned, settings.contender_seeds, len(seeds.search))
        rungs[-1] = Stage(rungs[-1].rung, rungs[-1].seeds, places)
        rungs.append(Stage(rungs[-1].rung, seeds.search[:earned], None))
        places = max(min(places, settings.finalists), math.ceil(places / 2))
    return tuple(rungs)


def screening(entries: Sequence[Entry], info: TaskInfo, settings: Settings, seeds: Seeds) -> tuple[Job, ...]:
    """Trainings due while the search goes on, those of the highest stage first; what has a result is left out."""
    alive = [e for e in entries if not e.failed]
    baselines = [e for e in entries if e.baseline]
    way = stages(info, settings, seeds)
    due, climbing = [], alive
    for stage, following in zip(way, [*way[1:], None], strict=True):
        due.append([Job(e.candidate_id, stage.rung, s) for e in (*baselines, *climbing) for s in stage.seeds])
        climbing = _upper_part(alive, stage, settings)
        if following is not None:
            climbing = _hopeful(climbing, alive, stage, following, settings.optimism)
    return open_jobs([job for jobs in reversed(due) for job in jobs], entries)


def leaders(entries: Sequence[Entry], info: TaskInfo, settings: Settings, seeds: Seeds) -> list[Entry]:
    """All proposals that completed a stage, best first: by the stage that they reached, then by their mean there.

    Not by the mean alone: with one lucky seed a loss is above those whose luck has evened out.
    """
    ranked, way = [], stages(info, settings, seeds)
    for entry in entries:
        means = [entry.mean(stage) for stage in way]
        reached = next((number for number, mean in reversed(list(enumerate(means))) if mean is not None), None)
        # A failure in the final makes no room for another finalist: who is in it was decided before.
        failed = any(entry.results.get((stage.rung, seed), 0.0) is None for stage in way for seed in stage.seeds)
        if not entry.baseline and not failed and reached is not None:
            ranked.append((-reached, -(means[reached] or 0.0), entry.candidate_id, entry))
    return [entry for *_, entry in sorted(ranked, key=lambda row: row[:3])]


def _upper_part(entries: Sequence[Entry], stage: Stage, settings: Settings) -> list[Entry]:
    """Those of a stage who are good enough to climb on, best first.

    From rung to rung baselines count as the bar to pass; the places of contenders are the proposals' alone.
    """
    rated = [(mean, e) for e in entries if (mean := e.mean(stage)) is not None]
    if stage.places is not None:
        rated = [(mean, e) for mean, e in rated if not e.baseline]
    rated.sort(key=lambda pair: (-pair[0], pair[1].candidate_id))
    return [e for _, e in rated[: places(stage, len(rated), settings)]]


def _hopeful(
    climbing: Sequence[Entry], measured: Sequence[Entry], stage: Stage, following: Stage, optimism: float
) -> list[Entry]:
    """Those whose foreseen mean at the following stage, with `optimism` deviations more, reaches the best proposal there."""
    both = [
        (e, here, there)
        for e in measured
        if (here := e.mean(stage)) is not None and (there := e.mean(following)) is not None
    ]
    proposals = [there for e, _, there in both if not e.baseline]
    if len(both) < FORESEEN_FROM or not proposals or len({here for _, here, _ in both}) < 2:
        return list(climbing)
    slope, _ = linear_regression([here for _, here, _ in both], [there for *_, there in both])
    slope = max(0.0, slope)
    level = fmean(there - slope * here for _, here, there in both)
    residual = math.sqrt(math.fsum((there - slope * here - level) ** 2 for _, here, there in both) / (len(both) - 2))
    bar = max(proposals) - level - optimism * residual
    return [e for e in climbing if slope * (e.mean(stage) or 0.0) >= bar]


def places(stage: Stage, measured: int, settings: Settings) -> int:
    """How many of those measured at a stage may climb on."""
    # A half from seeds to more seeds: the noise is large, the stage short, and whoever climbs alone has no rival there.
    return math.floor(settings.keep * measured) if stage.places is None else min(measured // 2, stage.places)


def open_jobs(jobs: Sequence[Job], entries: Sequence[Entry]) -> tuple[Job, ...]:
    """Those that have no result yet, each once."""
    done = {Job(e.candidate_id, rung, seed) for e in entries for rung, seed in e.results}
    done |= {Job(e.candidate_id, *tuned) for e in entries for tuned in e.tuned}
    return tuple(dict.fromkeys(job for job in jobs if job not in done))
