"""Multi-fidelity promotion: asynchronous successive halving (Li et al. 2020) with seeds as the last resource.

A pure function from the results so far to the trainings that are due. Losses that vetting refused are never passed in.
A loss passes through *stages*, each more expensive than the one before: every search rung with one seed, cheapest first, then
the rung of highest fidelity with more and more seeds. Two conditions decide on promotion to the next stage:

- The loss ranks in the upper part of the losses that have completed the stage.
- The loss is not predicted to trail the best proposal of the next stage by more than `optimism` residual standard deviations. The
  prediction is a linear regression through the losses that have completed both stages.

So few losses are promoted where a stage predicts the next one well, and the whole upper part where it does not. All losses of a
stage are measured on the same seeds, so comparisons are paired. A loss whose training failed at any stage is out. Stages of more
than `early_seeds` seeds wait for the end of the proposals: by then most of what would have reached them is surpassed. The rule is
asynchronous: it is applied after every result, so an early loss may be promoted although later ones would have displaced it.

Seed losses are measured at every stage, whatever their fitness. The ladder only decides what is trained next: claims rest on the
final alone (`fitness.schedule.final`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Self

import numpy as np
import numpy.typing as npt

from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

Results = Mapping[tuple[str, int], float | None]
"""Fitness by (rung, seed); None for a training that failed."""

Tuned = tuple[str, int, float | None, float | None]
"""A training with other settings than the task's own: (rung, seed, beta, learning rate); None is the task's own value."""

Tuning = tuple[float | None, float | None]
"""Beta and learning rate of a training; None is the task's own value."""

OWN: Tuning = (None, None)

LEAST_FOR_PREDICTION = 6
"""Number of losses that must have completed two successive stages before the first is used to predict the second."""


@dataclass(frozen=True, slots=True)
class RaceEntry:
    """One loss of the run with its results. Seed losses take part in every stage and the final, whatever their fitness."""

    candidate_id: int
    seed_loss: bool
    results: Results = field(default_factory=dict)
    """Fitness with the task's own beta and learning rate."""
    baseline: bool = False
    """Whether it is the seed loss that claims are made against."""
    tuned: Mapping[Tuned, float | None] = field(default_factory=dict)
    """Fitness with another beta or learning rate; None for a training that failed. The ladder does not read it."""
    reads_beta: bool = True
    """Whether the loss depends on beta."""

    @property
    def failed(self) -> bool:
        """Whether any training with the task's own settings failed."""
        return None in self.results.values()

    def mean(self, stage: Stage) -> float | None:
        """Mean fitness over the stage's seeds; None until all of them are scored."""
        values = [self.results.get((stage.rung, seed)) for seed in stage.seeds]
        scored = [value for value in values if value is not None]
        return fmean(scored) if len(scored) == len(values) else None

    def arms(self, rung: str, seeds: Sequence[int]) -> dict[Tuning, tuple[float, ...]]:
        """Fitness of each tuning at a rung, in the order of `seeds`; only tunings that were scored on all of them."""
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
class Job:
    """One training: a candidate at a rung with a seed. A beta or learning rate of None is the task's own."""

    candidate_id: int
    rung: str
    seed: int
    beta: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of a run: `search` in the order of their use, `final` fresh ones that play no part in selection."""

    search: tuple[int, ...]
    final: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A rung and the seeds on which every loss that reaches it is measured."""

    rung: str
    seeds: tuple[int, ...]
    places: int | None
    """The most losses that may be promoted from it, and never more than half; None: the settings' fraction."""

    def is_early(self, settings: LadderSettings) -> bool:
        """Whether it is open while proposals come. The later ones are for the choice of the finalists alone."""
        return len(self.seeds) <= settings.early_seeds


def stages(info: TaskInfo, settings: LadderSettings, seeds: Seeds) -> tuple[Stage, ...]:
    """All stages, cheapest first. After the rungs, the seeds double from stage to stage up to `contender_seeds`."""
    rungs = [Stage(rung.name, seeds.search[:1], None) for rung in info.search_rungs]
    places, earned = settings.contenders, 1
    while earned < min(settings.contender_seeds, len(seeds.search)) and places > 0:
        earned = min(2 * earned, settings.contender_seeds, len(seeds.search))
        rungs[-1] = Stage(rungs[-1].rung, rungs[-1].seeds, places)
        rungs.append(Stage(rungs[-1].rung, seeds.search[:earned], None))
        places = max(min(places, settings.finalists), math.ceil(places / 2))
    return tuple(rungs)


def screening(
    entries: Sequence[RaceEntry], info: TaskInfo, settings: LadderSettings, seeds: Seeds, *, ending: bool = True
) -> tuple[Job, ...]:
    """Trainings due during the search, those of the highest stage first, without those that have a result.

    `ending`: no further proposals come.
    """
    alive = [e for e in entries if not e.failed]
    seed_losses = [e for e in entries if e.seed_loss]
    way = [stage for stage in stages(info, settings, seeds) if ending or stage.is_early(settings)]
    due, climbing = [], alive
    for stage, following in zip(way, [*way[1:], None], strict=True):
        due.append([Job(e.candidate_id, stage.rung, s) for e in (*seed_losses, *climbing) for s in stage.seeds])
        climbing = _upper_part(alive, stage, settings)
        if following is not None:
            climbing = _promising(climbing, alive, stage, following, settings.optimism)
    return open_jobs([job for jobs in reversed(due) for job in jobs], entries)


def leaders(entries: Sequence[RaceEntry], info: TaskInfo, settings: LadderSettings, seeds: Seeds) -> list[RaceEntry]:
    """All proposals that completed a stage, best first: by the highest stage they completed, then by their mean there.

    Not by the mean alone: the mean of one favourable seed can exceed the means of better losses over many seeds.
    """
    ranked, way = [], stages(info, settings, seeds)
    for entry in entries:
        means = [entry.mean(stage) for stage in way]
        reached = next((number for number, mean in reversed(list(enumerate(means))) if mean is not None), None)
        # A failure in the final does not admit another finalist: the finalists were chosen before.
        failed = any(entry.results.get((stage.rung, seed), 0.0) is None for stage in way for seed in stage.seeds)
        if not entry.seed_loss and not failed and reached is not None:
            ranked.append((-reached, -(means[reached] or 0.0), entry.candidate_id, entry))
    return [entry for *_, entry in sorted(ranked, key=lambda row: row[:3])]


def _upper_part(entries: Sequence[RaceEntry], stage: Stage, settings: LadderSettings) -> list[RaceEntry]:
    """The losses of a stage that rank high enough for promotion, best first.

    From rung to rung, seed losses are ranked too, as a bar to pass. From seeds to more seeds, only proposals are ranked.
    """
    rated = [(mean, e) for e in entries if (mean := e.mean(stage)) is not None]
    if stage.places is not None:
        rated = [(mean, e) for mean, e in rated if not e.seed_loss]
    rated.sort(key=lambda pair: (-pair[0], pair[1].candidate_id))
    return [e for _, e in rated[: places(stage, len(rated), settings)]]


def _promising(
    climbing: Sequence[RaceEntry], measured: Sequence[RaceEntry], stage: Stage, following: Stage, optimism: float
) -> list[RaceEntry]:
    """The losses whose predicted mean at the following stage plus `optimism` residual deviations reaches its best proposal."""
    both = [
        (e, here, there)
        for e in measured
        if (here := e.mean(stage)) is not None and (there := e.mean(following)) is not None
    ]
    proposals = [there for e, _, there in both if not e.seed_loss]
    bar = Bar.of([here for _, here, _ in both], [there for *_, there in both], proposals, optimism)
    return [e for e in climbing if bar.passed(e.mean(stage) or 0.0)]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a mean at a stage must reach so that the loss is promising at the next one: `slope * mean >= least`."""

    slope: float = 0.0
    least: float = 0.0

    @classmethod
    def of(cls, here: Sequence[float], there: Sequence[float], proposals: Sequence[float], optimism: float) -> Self:
        """The bar from the losses that have completed both stages: their means here and there, and those of proposals there.

        Every loss passes if there are too few, or nothing to predict from. The sums are exact, so the order does not matter.
        """
        n = len(here)
        if n < LEAST_FOR_PREDICTION or not proposals or min(here) == max(here):
            return cls()
        x, y = np.array(here), np.array(there)
        x_mean, y_mean = math.fsum(here) / n, math.fsum(there) / n
        slope = max(0.0, _sum((x - x_mean) * (y - y_mean)) / _sum((x - x_mean) ** 2))
        level = _sum(y - slope * x) / n
        residual = math.sqrt(_sum((y - slope * x - level) ** 2) / (n - 2))
        return cls(slope, max(proposals) - level - optimism * residual)

    def passed(self, mean: float) -> bool:
        """Whether a loss with this mean is promising. If one is, every better one is too."""
        return self.slope * mean >= self.least


def _sum(values: npt.NDArray[np.float64]) -> float:
    return math.fsum(values.tolist())


def places(stage: Stage, measured: int, settings: LadderSettings) -> int:
    """How many of the losses measured at a stage may be promoted."""
    # At most half from seeds to more seeds: the noise is large and the stage has few losses, which need rivals to compare with.
    return math.floor(settings.keep * measured) if stage.places is None else min(measured // 2, stage.places)


def open_jobs(jobs: Sequence[Job], entries: Sequence[RaceEntry]) -> tuple[Job, ...]:
    """The trainings that have no result yet, each once."""
    done = {Job(e.candidate_id, rung, seed) for e in entries for rung, seed in e.results}
    done |= {Job(e.candidate_id, *tuned) for e in entries for tuned in e.tuned}
    return tuple(dict.fromkeys(job for job in jobs if job not in done))
