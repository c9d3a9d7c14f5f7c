"""What a campaign may still spend: the budget, less what is recorded, in progress and reserved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from archive.query import Reader
from evo.campaign.stop_rules import why_stopped
from evo.config.schema import Config
from evo.search.budget import NO_COST, Cost, Spent, exceeded_limit
from evo.search.budget_split import Reserve
from evo.search.population import Population
from fitness.schedule.ladder import Job


class Trainings(NamedTuple):
    """The trainings of this session."""

    begun: int
    running: Sequence[str]
    """The rung of each that has not ended."""


@dataclass
class Allowance:
    """Decides whether a request or a training may start. Amounts in progress count with their maximum."""

    config: Config
    population: Population
    reader: Reader
    trainings: Callable[[], Trainings]
    stopped: Callable[[], str | None]
    """Why nothing may start any more, for another reason than the budget; None if there is none."""
    reserve: Reserve = field(default_factory=Reserve)
    """What proposals leave to later trainings."""
    largest_call: Cost = field(default_factory=lambda: Cost(proposals=1))
    """Largest maximum cost of any request of this session."""
    began: float = field(default_factory=time.monotonic)
    spent_before: Spent = field(default_factory=Spent)
    """What earlier sessions spent."""
    _calls: dict[int, Cost] = field(default_factory=dict)
    """Maximum cost of each request in progress, by step."""
    _reserved_trainings: int = 0
    """Number of candidates in progress whose first training has not started; one training is reserved for each."""

    def begin(self) -> None:
        """Start of the session. The population has seen what earlier sessions recorded."""
        self.began = time.monotonic()
        self.spent_before = self.population.spent(self.population.recorded_seconds)
        self.reserve = Reserve.of(self.config, self.population)

    @property
    def seconds(self) -> float:
        """Running time of the campaign over all sessions, seconds."""
        return self.spent_before.seconds + time.monotonic() - self.began

    @property
    def used(self) -> Spent:
        """Recorded spending of the run."""
        return self.population.advance(self.reader).spent(self.seconds)

    # ---- what may start ------------------------------------------------------------------------------------------

    def blocked(self, wanted: Cost, reserved: Cost = NO_COST, *, but_step: int | None = None) -> str | None:
        """Why work that costs `wanted` may not start while `reserved` is kept free; None if it may. `but_step`: the step whose
        request in progress does not count, because it is the one to be repeated."""
        used = self.used
        return self.stopped() or exceeded_limit(
            self.config.budget, used, self._in_progress(used, but_step) + reserved, wanted
        )

    def request_blocked(self, cost: Cost) -> str | None:
        """Why a request with this maximum cost may not be sent; None if it may."""
        self.largest_call = max(self.largest_call, cost, key=lambda c: (c.tokens, c.usd))
        return self.blocked(cost, self.reserve.whole)

    def limit(self) -> str | None:
        """Why no further proposal may be requested; None if one may. A proposal needs budget for its first training too."""
        blocked = self.blocked(self.largest_call + self.first_cost, self.reserve.whole)
        return blocked or why_stopped(self.config.budget, self.population.advance(self.reader))

    def repeat_blocked(self, step: int) -> str | None:
        """Why the request of a step may not be sent again; None if it may."""
        return self.blocked(self._calls[step], self.reserve.whole, but_step=step)

    def affordable(self, jobs: Iterable[Job], reserve: Cost = NO_COST) -> list[Job]:
        """Those of `jobs` that the budget allows, one after the other. Only first trainings may use the `reserve`."""
        due, taken = [], NO_COST
        for job in jobs:
            first = job == self.first_training(job.candidate_id)
            if not self.blocked(self.cost(job), taken if first else taken + reserve):
                due.append(job)
                taken += self.cost(job)
        return due

    def proposal_reserve(self, at_once: int) -> Cost:
        """Cost of the first trainings of proposals that may still be requested, `at_once` at most."""
        if self.limit():
            return NO_COST
        wanted = self.config.budget.proposals
        left = at_once if wanted is None else wanted - self.used.proposals - len(self._calls)
        return self.first_cost.times(max(0, min(at_once - self._reserved_trainings, left)))

    # ---- what is in progress -------------------------------------------------------------------------------------

    @contextmanager
    def call(self, step: int, cost: Cost) -> Iterator[None]:
        """Count the maximum cost of a step's request until it ends."""
        self._calls[step] = cost
        try:
            yield
        finally:
            del self._calls[step]

    @contextmanager
    def first_training_reserved(self) -> Iterator[None]:
        """Reserve one training for a candidate until the training starts or the candidate needs none."""
        self._reserved_trainings += 1
        try:
            yield
        finally:
            self._reserved_trainings -= 1

    def _in_progress(self, used: Spent, but_step: int | None) -> Cost:
        """Maximum cost of the requests and trainings in progress and of the reserved first trainings. `used`: recorded spending."""
        begun, running = self.trainings()
        unrecorded = Cost(evaluations=self.spent_before.evaluations + begun - used.evaluations)
        calls = (cost for step, cost in self._calls.items() if step != but_step)
        return sum((unrecorded, *map(self._judging, running), *calls), self.first_cost.times(self._reserved_trainings))

    # ---- costs ---------------------------------------------------------------------------------------------------

    def first_training(self, candidate_id: int) -> Job:
        """The first training of a candidate: at the cheapest rung, with the first seed."""
        return Job(candidate_id, self.population.rungs[0], self.population.seeds.search[0])

    @property
    def first_cost(self) -> Cost:
        """Maximum cost of a first training."""
        return self.cost(self.first_training(0))

    def cost(self, job: Job) -> Cost:
        """Maximum cost of a training."""
        return Cost(evaluations=1) + self._judging(job.rung)

    def _judging(self, rung: str) -> Cost:
        usage = self.population.info.judging(rung)
        return Cost(tokens=usage.tokens, usd=usage.usd or 0.0)
