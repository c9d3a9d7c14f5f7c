"""Estimate of a run's remaining time: trainings and proposals left, at the speed measured on this machine.

It is a span. The least is for trainings of usual length, and a final in which no claim depends on more trainings. The most is for
trainings of mean length, the long first ones of a worker or seed included, and for all further trainings of the final.

Until a training is measured, the task's own estimate is used. A rung without a measurement, such as `held_out` before the final,
gets its estimate scaled by the ratio of measured to estimated time at the other rungs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import NamedTuple

from evo.config.budget_settings import BudgetConfig
from evo.search.budget import Spent
from evo.search.ledger import RECENT, Ledger
from fitness.schedule.planned import plan, plan_of_claims, preparation_of_seeds
from fitness.schedule.settings import LadderSettings
from fitness.task.protocol import TaskInfo

MEASURED = 4
"""Number of answered proposals from which on the number of requests follows from measured times."""
FEW = 4
"""Number of measured trainings at a rung from which on their median counts. The first ones of a worker or a seed take longer."""
MOST_REQUESTS = 4
LEAST_TRAINING = 0.1
"""Seconds of training for one proposal, at least: shorter trainings do not keep a worker busy, with however many requests."""


@dataclass
class Pace:
    """Measured durations in seconds: trainings by rung, and proposals from the request to the verdict."""

    trainings: dict[str, deque[float]] = field(default_factory=dict)
    proposals: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def trained(self, rung: str, seconds: float) -> None:
        """Add the duration of a finished training."""
        self.trainings.setdefault(rung, deque(maxlen=RECENT)).append(seconds)

    @property
    def measured(self) -> bool:
        """Whether any training was measured."""
        return bool(self.trainings)

    def training(self, rung: str, info: TaskInfo, *, slow: bool = False) -> float:
        """Seconds of a usual training at a rung. `slow`: the mean of those measured, if that is longer."""
        if rung in self.trainings:
            return self._length(rung, info, slow)
        usual = [self._length(name, info, False) for name in self.trainings]
        estimated = sum(info.rung(name).estimated_seconds for name in self.trainings)
        scaled = info.rung(rung).estimated_seconds * (sum(usual) / estimated if estimated > 0 else 1.0)
        if not (slow and usual):
            return scaled
        # Loading and preparing takes as long at every rung.
        return scaled + fmean(self._length(name, info, True) - u for name, u in zip(self.trainings, usual, strict=True))

    def _length(self, rung: str, info: TaskInfo, slow: bool) -> float:
        """The median of the trainings at a rung. Of the first few the shortest, less the share of its seed's preparation."""
        times, estimate = self.trainings[rung], info.rung(rung).estimated_seconds
        few = min(times) * (estimate / (estimate + info.seed_seconds) if estimate > 0 else 1.0)
        usual = median(times) if len(times) >= FEW else few
        return max(usual, fmean(times)) if slow else usual


class Span(NamedTuple):
    """Seconds, from the least to the most that is expected."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Workload:
    """Expected numbers of trainings and proposals."""

    search: Mapping[str, float]
    """Trainings of the search by rung, including the expected ones of future proposals."""
    final: Mapping[str, float]
    """Trainings of the final by rung."""
    proposals: float = 0.0
    """Proposals that are not requested yet."""
    claims: Mapping[str, float] = field(default_factory=dict)
    """Further trainings of the final by rung, due only if a claim depends on them; the most that there may be."""
    preparation: float = 0.0
    """Seconds by which trainings with seeds that no worker has used yet take longer, on each worker."""

    @property
    def trainings(self) -> float:
        """Trainings of search and final together, without `claims`."""
        return sum(self.search.values()) + sum(self.final.values())


def whole_run(info: TaskInfo, ladder: LadderSettings, seed_losses: int, proposals: int) -> Workload:
    """The work of a whole run in which every proposal is accepted and none is a duplicate."""
    planned = _planned(info, ladder, seed_losses, proposals)
    search = {rung: n + planned.late.get(rung, 0.0) for rung, n in planned.search.items()}
    return Workload(search, planned.final, proposals, planned.claims, preparation_of_seeds(info, ladder))


def of_seed_losses(info: TaskInfo, ladder: LadderSettings, seed_losses: int) -> Mapping[str, float]:
    """Trainings of the seed losses in the search by rung, without those that wait for the end of the proposals."""
    return _planned(info, ladder, seed_losses, 0).search


def remaining_work(
    info: TaskInfo, ladder: LadderSettings, seed_losses: int, accepted: int, answered: int, left: float
) -> Workload:
    """The work of `left` further proposals and of the final, after `answered` proposals of which `accepted` were trained.

    The share of further proposals that will be trained is estimated as (accepted + 2) / (answered + 2). The trainings that wait for
    the last proposal are counted as long as proposals come; after that they are in progress.
    """
    expected = left * (accepted + 2) / (answered + 2)
    planned = _planned(info, ladder, seed_losses, round(accepted + expected))
    without = of_seed_losses(info, ladder, seed_losses)
    part = expected / (accepted + expected) if expected else 0.0
    search = {rung: part * (n - without.get(rung, 0.0)) for rung, n in planned.search.items()}
    for rung, n in planned.late.items() if left else ():
        search[rung] = search.get(rung, 0.0) + n
    return Workload(search, planned.final, left, planned.claims)


def proposals_left(budget: BudgetConfig, used: Spent) -> float | None:
    """Number of further proposals that the budget allows at the mean cost so far; None if the budget does not limit them."""
    limits = budget.limits
    left = [limits["proposals"] - used.proposals] if "proposals" in limits else []
    for name, spent in (("tokens", used.tokens), ("usd", used.usd)):
        if name in limits and spent and used.proposals:
            left.append((limits[name] - spent) * used.proposals / spent)
    return max(0.0, min(left)) if left else None


def seconds(work: Workload, pace: Pace, info: TaskInfo, workers: int, at_once: int = 1, oldest: float = 0.0) -> Span:
    """Estimated seconds for the work on `workers` workers with `at_once` candidates in progress.

    `oldest`: age in seconds of the oldest open request, used as the duration of a proposal until one is measured.
    """
    slow = replace(
        work, final={rung: work.final.get(rung, 0) + work.claims.get(rung, 0) for rung in {**work.final, **work.claims}}
    )
    return Span(*(_seconds(w, pace, info, workers, at_once, oldest, slow=s) for w, s in ((work, False), (slow, True))))


def _seconds(
    work: Workload, pace: Pace, info: TaskInfo, workers: int, at_once: int, oldest: float, *, slow: bool
) -> float:
    first = info.search_rungs[0].name
    training = sum(n * pace.training(rung, info, slow=slow) for rung, n in work.search.items()) / workers
    # A candidate counts as in progress from its request to the end of its first training.
    proposal = fmean(pace.proposals) if pace.proposals else oldest
    asking = work.proposals * (proposal + pace.training(first, info, slow=slow)) / at_once if proposal else 0.0
    final = sum(math.ceil(n / workers) * pace.training(rung, info, slow=slow) for rung, n in work.final.items())
    return max(training, asking) + final + work.preparation


def requests_at_once(workers: int, ledger: Ledger, longest_reply: float) -> int:
    """Number of candidates in progress with which the workers have work all the time: one for each worker, one that waits, and as
    many as the workers would train in the time of one reply (Little's law).

    At most MOST_REQUESTS more for each worker, since parents are selected from older results the more of them there are. None more
    if replies take a quarter of `longest_reply`, seconds: the endpoint may answer one request after another, and more of them would
    then only wait for longer.
    """
    answered = ledger.spent(0.0).proposals
    if answered < MEASURED or not ledger.replies or (reply := median(ledger.replies)) > longest_reply / 4:
        return workers + 1
    each = max(ledger.trained / answered, LEAST_TRAINING)
    return workers + 1 + min(round(workers * reply / each), MOST_REQUESTS * workers)


class _Planned(NamedTuple):
    """Trainings by rung: of the search, of those that wait for the last proposal, of the final, and of claims."""

    search: dict[str, float]
    late: dict[str, float]
    final: dict[str, float]
    claims: dict[str, float]


def _planned(info: TaskInfo, ladder: LadderSettings, seed_losses: int, proposals: int) -> _Planned:
    found = _Planned({}, {}, {}, {})
    for part in plan(info, ladder, seed_losses, proposals):
        of = found.final if part.part == "final" else found.late if part.late else found.search
        of[part.rung] = of.get(part.rung, 0.0) + part.trainings
    if proposals and ladder.finalists and (claims := plan_of_claims(info, ladder, seed_losses)).trainings:
        found.claims[claims.rung] = claims.trainings
    return found
