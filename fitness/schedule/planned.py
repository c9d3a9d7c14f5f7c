"""Estimated cost of a run in trainings and seconds, before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from fitness.schedule.final import final_rung, tuning_grid
from fitness.schedule.ladder import Seeds, Stage, places, stages
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo


@dataclass(frozen=True, slots=True)
class Planned:
    """Estimated trainings of one part of a run."""

    part: str
    rung: str
    trainings: int
    seconds_each: float
    late: bool = False
    """Whether it waits for the end of the proposals."""

    @property
    def seconds(self) -> float:
        """Seconds of training on one worker."""
        return self.trainings * self.seconds_each


def plan(info: TaskInfo, settings: LadderSettings, seed_losses: int, proposals: int) -> tuple[Planned, ...]:
    """Trainings of each stage, then of the final, if every proposal is new and its training succeeds.

    An estimate, since promotion depends on the order of results (see `fitness.schedule.ladder`).
    """
    seeds = Seeds(tuple(range(settings.contender_seeds)), tuple(range(settings.finalist_seeds)))
    planned, climbing, before = [], proposals, Stage("", (), None)
    for stage in stages(info, settings, seeds):
        further = len(stage.seeds) - (len(before.seeds) if before.rung == stage.rung else 0)
        part = "search" if further == len(stage.seeds) else f"search, {len(stage.seeds)} seeds"
        seconds = info.rung(stage.rung).estimated_seconds
        late = not stage.is_early(settings)
        planned.append(Planned(part, stage.rung, further * (seed_losses + climbing), seconds, late))
        bar = seed_losses if stage.places is None else 0
        climbing = min(climbing, places(stage, bar + climbing, settings))
        before = stage
    arms = seed_losses + min(settings.finalists, proposals) + len(tuning_grid(info, settings))
    rung = info.rung(final_rung(info))
    planned.append(Planned("final", rung.name, settings.finalist_seeds * arms, rung.estimated_seconds))
    return tuple(planned)


def preparation_of_seeds(info: TaskInfo, settings: LadderSettings) -> float:
    """Seconds by which the first trainings with each seed take longer, on each worker, if all seeds of the plan are used."""
    return info.seed_seconds * (settings.contender_seeds + settings.finalist_seeds)


def plan_of_claims(info: TaskInfo, settings: LadderSettings, seed_losses: int) -> Planned:
    """The most further trainings of the final, due only if a finalist is ahead of all seed losses.

    The best other seed loss over the grid, both grids widened to the limit, and an arm for each finalist that is nearly equal to
    a seed loss at another beta.
    """
    grid = len(tuning_grid(info, settings))
    rivals = min(2, seed_losses) if grid else 0
    arms = grid * (rivals == 2) + settings.baseline_widenings * rivals + settings.finalists * (info.beta is not None)
    rung = info.rung(final_rung(info))
    return Planned("final, if a claim depends on it", rung.name, settings.finalist_seeds * arms, rung.estimated_seconds)
