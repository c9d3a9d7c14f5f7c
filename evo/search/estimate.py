"""How long a run will take: the trainings and proposals that are left, at the speed measured here.

Before anything is measured, the task's own estimate of a training stands in. A rung that was not measured yet, such as the
held-out one of the final, takes its estimate times what the measured ones took more or less than theirs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, median

from evo.config.schema import BudgetConfig
from evo.search.budget import Spent
from fitness.schedule.planned import plan
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

RECENT = 20
"""Measurements of a kind that count: the machine's load changes."""


@dataclass
class Pace:
    """What was measured: seconds of trainings by rung, and of proposals from the request to the verdict."""

    trainings: dict[str, deque[float]] = field(default_factory=dict)
    proposals: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def trained(self, rung: str, seconds: float) -> None:
        """A training has ended."""
        self.trainings.setdefault(rung, deque(maxlen=RECENT)).append(seconds)

    @property
    def measured(self) -> bool:
        """Whether a training was measured."""
        return bool(self.trainings)

    def training(self, rung: str, info: TaskInfo) -> float:
        """Seconds of a training at a rung: the median, since the first one of a worker takes longer."""
        if rung in self.trainings:
            return median(self.trainings[rung])
        here = sum(median(times) for times in self.trainings.values())
        estimated = sum(info.rung(name).estimated_seconds for name in self.trainings)
        return info.rung(rung).estimated_seconds * (here / estimated if estimated > 0 else 1.0)


@dataclass(frozen=True, slots=True)
class Work:
    """What is left of a run."""

    search: Mapping[str, float]
    """Trainings by rung, those of proposals to come as far as they are expected."""
    final: Mapping[str, float]
    """Trainings of the final by rung."""
    proposals: float = 0.0
    """To be asked for."""

    @property
    def trainings(self) -> float:
        """Of both parts."""
        return sum(self.search.values()) + sum(self.final.values())


def whole(info: TaskInfo, ladder: LadderSettings, seed_losses: int, proposals: int) -> Work:
    """A run from its beginning, every proposal accepted and new."""
    search, final = _planned(info, ladder, seed_losses, proposals)
    return Work(search, final, proposals)


def to_come(
    info: TaskInfo, ladder: LadderSettings, seed_losses: int, accepted: int, answered: int, left: float
) -> Work:
    """What `left` further proposals will ask for, and the final, after `answered` ones of which `accepted` were trained.

    As many of them will be trained as of those before; at first, all.
    """
    expected = left * (accepted + 2) / (answered + 2)
    search, final = _planned(info, ladder, seed_losses, round(accepted + expected))
    without, _ = _planned(info, ladder, seed_losses, 0)
    part = expected / (accepted + expected) if expected else 0.0
    return Work({rung: part * (n - without.get(rung, 0.0)) for rung, n in search.items()}, final, left)


def proposals_left(budget: BudgetConfig, used: Spent) -> float | None:
    """How many more proposals the budget allows, at what one has cost so far; None where nothing tells."""
    limits = budget.limits
    left = [limits["proposals"] - used.proposals] if "proposals" in limits else []
    for name, spent in (("tokens", used.tokens), ("usd", used.usd)):
        if name in limits and spent and used.proposals:
            left.append((limits[name] - spent) * used.proposals / spent)
    return max(0.0, min(left)) if left else None


def seconds(work: Work, pace: Pace, info: TaskInfo, workers: int, at_once: int = 1, oldest: float = 0.0) -> float:
    """How long the work takes on so many workers, with so many candidates under way at once.

    `oldest` is how long the oldest request has been under way: what a proposal takes at least, before one was measured.
    """
    first = info.search_rungs[0].name
    training = sum(n * pace.training(rung, info) for rung, n in work.search.items()) / workers
    # A candidate holds its place from the request to the end of its first training.
    proposal = fmean(pace.proposals) if pace.proposals else oldest
    asking = work.proposals * (proposal + pace.training(first, info)) / at_once if proposal else 0.0
    final = sum(math.ceil(n / workers) * pace.training(rung, info) for rung, n in work.final.items())
    return max(training, asking) + final


def _planned(
    info: TaskInfo, ladder: LadderSettings, seed_losses: int, proposals: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Trainings by rung of the search and of the final."""
    search: dict[str, float] = {}
    final: dict[str, float] = {}
    for part in plan(info, ladder, seed_losses, proposals):
        of = final if part.part == "final" else search
        of[part.rung] = of.get(part.rung, 0.0) + part.trainings
    return search, final
