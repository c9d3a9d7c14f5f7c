"""Simulation of the ladder on a table of measured results, to see what it would cost and find.

For comparing settings, for tests of the ladder, and for the null experiment. Nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from fitness.schedule.ladder import Job, RaceEntry, Seeds, leaders, screening
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

Measure = Callable[[Job], tuple[float | None, float]]
"""Fitness (None: the training failed) and seconds of a training."""


@dataclass(frozen=True, slots=True)
class Step:
    """One training of a simulated race."""

    job: Job
    seconds: float
    """Training time from the start of the race to the end of this training."""
    leader: int | None
    """The loss that ranks first after this training."""


@dataclass
class Race:
    """A simulated race and its results."""

    entries: list[RaceEntry]
    steps: list[Step] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Training time of the whole race."""
        return self.steps[-1].seconds if self.steps else 0.0

    def found(self, good: Collection[int]) -> float | None:
        """Training time after which the leader was always one of `good`, in seconds; None if it is not at the end."""
        since = None
        for step in self.steps:
            if step.leader not in good:
                since = None
            elif since is None:
                since = step.seconds
        return since


def run_race(
    arrivals: Sequence[int], measure: Measure, info: TaskInfo, settings: LadderSettings, seeds: Seeds,
    seed_losses: Sequence[int] = (),
) -> Race:  # fmt: skip
    """Simulate the ladder with one worker; a loss arrives whenever no training is due. The first seed loss is the baseline."""
    results: dict[int, dict[tuple[str, int], float | None]] = {}
    race = Race([])
    waiting = iter(arrivals)
    while (job := _next(race.entries, info, settings, seeds, waiting, results, seed_losses)) is not None:
        fitness, seconds = measure(job)
        results[job.candidate_id][job.rung, job.seed] = fitness
        leading = leaders(race.entries, info, settings, seeds)
        race.steps.append(Step(job, race.seconds + seconds, leading[0].candidate_id if leading else None))
    return race


def run_unraced(
    arrivals: Sequence[int], measure: Measure, info: TaskInfo, settings: LadderSettings, seeds: Seeds
) -> Race:
    """The same without the ladder: every loss is trained at the rung of highest fidelity with `contender_seeds` seeds."""
    rung = info.search_rungs[-1].name
    race = Race([])
    best: tuple[float, int] | None = None
    for arrival in arrivals:
        values = []
        for seed in seeds.search[: settings.contender_seeds]:
            fitness, seconds = measure(Job(arrival, rung, seed))
            values.append(fitness)
            scored = [v for v in values if v is not None]
            if len(scored) == settings.contender_seeds:
                mean = sum(scored) / len(scored)
                best = (mean, arrival) if best is None else max(best, (mean, arrival), key=lambda pair: pair[0])
            race.steps.append(Step(Job(arrival, rung, seed), race.seconds + seconds, best[1] if best else None))
    return race


def _next(
    entries: list[RaceEntry], info: TaskInfo, settings: LadderSettings, seeds: Seeds, waiting: Iterator[int],
    results: dict[int, dict[tuple[str, int], float | None]], seed_losses: Sequence[int],
) -> Job | None:  # fmt: skip
    """The first training that is due, admitting new losses until one is; None when no loss is left."""
    while not (due := screening(entries, info, settings, seeds, ending=False)):
        arrival = next(waiting, None)
        if arrival is None:
            return next(iter(screening(entries, info, settings, seeds)), None)
        results[arrival] = {}
        entries.append(RaceEntry(arrival, arrival in seed_losses, results[arrival], arrival in seed_losses[:1]))
    return due[0]
