"""The ladder's state, kept result by result: the same trainings as `ladder.screening`, without a look at all losses.

A result changes the place of one loss at the stages that it has completed. What is asked for afterwards is bounded by the trainings
that are due: the losses that wait at a stage are kept in the order of their means, and only those above the bar are looked at.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from fitness.schedule.ladder import Bar, Job, RaceEntry, Seeds, Stage, places, stages
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

Place = tuple[float, int]
"""Minus the mean, and the candidate's id: the smaller, the better."""


class Screening:
    """Which trainings of the search are due. `take` gets an entry when it enters the race, and after each of its results."""

    def __init__(self, info: TaskInfo, settings: LadderSettings, seeds: Seeds) -> None:
        self._settings = settings
        way = stages(info, settings, seeds)
        self._steps = [_Step(stage, settings.optimism) for stage in way]
        self._entries: dict[int, RaceEntry] = {}
        self._means: dict[int, list[float | None]] = {}
        """Means of each entry at all stages, as taken last; None for a failed one."""
        self._seed_losses: list[int] = []
        self._entering: list[int] = []
        """Ids of the proposals that have not completed the first stage, in order."""

    def take(self, entry: RaceEntry) -> None:
        """Take in the present results of an entry."""
        number = entry.candidate_id
        if number not in self._entries:
            self._means[number] = [None] * len(self._steps)
            insort(self._seed_losses if entry.seed_loss else self._entering, number)
        self._entries[number] = entry
        before, failed = self._means[number], entry.failed
        now = [None if failed else entry.mean(step.stage) for step in self._steps]
        if not entry.seed_loss and (failed or now[0] is not None):
            _remove(self._entering, number)
        for step, following, here, there, was_here, was_there in zip(
            self._steps, [*self._steps[1:], None], now, [*now[1:], None], before, [*before[1:], None], strict=True
        ):
            if (here, there) != (was_here, was_there):
                if was_here is not None:
                    step.remove(entry, was_here)
                if here is not None:
                    step.add(entry, here, there, last=following is None)
        self._means[number] = now

    def due(self, *, ending: bool = True) -> tuple[Job, ...]:
        """Trainings due during the search, those of the highest stage first, without those that have a result.

        `ending`: no further proposals come.
        """
        jobs: list[Job] = []
        open_steps = [step for step in self._steps if ending or step.stage.is_early(self._settings)]
        for before, step in zip([None, *open_steps], open_steps, strict=False):
            climbing = self._entering if before is None else before.promoted(self._settings)
            jobs[:0] = [job for number in (*self._seed_losses, *climbing) for job in self._open(number, step.stage)]
        return tuple(dict.fromkeys(jobs))

    def _open(self, number: int, stage: Stage) -> Iterator[Job]:
        results = self._entries[number].results
        return (Job(number, stage.rung, seed) for seed in stage.seeds if (stage.rung, seed) not in results)


class _Step:
    """The losses that have completed a stage."""

    def __init__(self, stage: Stage, optimism: float) -> None:
        self.stage = stage
        self._optimism = optimism
        self._ranked: list[Place] = []
        """All that are ranked for promotion, best first."""
        self._waiting: list[Place] = []
        """The proposals among them that have not completed the next stage."""
        self._both: dict[int, tuple[float, float, bool]] = {}
        """The losses that have completed the next stage too: their means here and there, and whether it is a proposal."""
        self._bar: Bar | None = None

    def add(self, entry: RaceEntry, here: float, there: float | None, *, last: bool) -> None:
        place = (-here, entry.candidate_id)
        if self._is_ranked(entry):
            insort(self._ranked, place)
        if there is not None:
            self._both[entry.candidate_id] = (here, there, not entry.seed_loss)
            self._bar = None
        elif not entry.seed_loss and not last:
            insort(self._waiting, place)

    def remove(self, entry: RaceEntry, here: float) -> None:
        place = (-here, entry.candidate_id)
        _remove(self._ranked, place)
        _remove(self._waiting, place)
        if self._both.pop(entry.candidate_id, None) is not None:
            self._bar = None

    def promoted(self, settings: LadderSettings) -> list[int]:
        """Ids of the proposals to train at the next stage, best first, without those that have completed it."""
        most = places(self.stage, len(self._ranked), settings)
        if not most or not self._waiting:
            return []
        last, bar = self._ranked[most - 1], self._present_bar()
        above = takewhile(lambda place: place <= last and bar.passed(-place[0]), self._waiting)
        return [number for _, number in above]

    def _present_bar(self) -> Bar:
        if self._bar is None:
            here, there = ([both[k] for both in self._both.values()] for k in (0, 1))
            proposals = [mean for _, mean, proposal in self._both.values() if proposal]
            self._bar = Bar.of(here, there, proposals, self._optimism)
        return self._bar

    def _is_ranked(self, entry: RaceEntry) -> bool:
        return self.stage.places is None or not entry.seed_loss


def _remove(ordered: list[Any], item: Any) -> None:
    """Remove an item of a sorted list if it is there."""
    at = bisect_left(ordered, item)
    if at < len(ordered) and ordered[at] == item:
        del ordered[at]
