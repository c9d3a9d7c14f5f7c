"""How good a run was after a given cost: the estimated advantage of its leader over the baseline, as a step function.

The best of many noisy scores is partly best by chance, so the score of a leader is no fair estimate. Each advantage is shrunken
towards the typical one, by empirical Bayes: with the variance between losses tau^2, the variance of one seed sigma^2, and n seeds,

    estimate = typical + tau^2 / (tau^2 + sigma^2 / n) * (mean difference - typical).

The leader at a time is the loss with the largest estimate from the results of that time. Its value is its estimate from all
results of the run's search, so that the curve changes only when another loss takes the lead, and a lead by chance is corrected by
later seeds. The baseline's own advantage is 0; it leads as long as no other loss does.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from analysis import stats
from analysis.compare.runs import Run
from analysis.snapshot import Arm
from archive.records import EvaluationRow, EventKind, EventRow, ProposalState, Usage
from archive.running_time import RunningTime
from archive.spending import cost_of, ends_step, most_of, of_study, possibly_paid, usage_of

LEAST_TRUE = 0.1
"""Smallest share of the variance of advantages that counts as differences between losses: that of parent selection."""

_TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


class Against(StrEnum):
    """What a curve is drawn against, summed over the search; trainings of the final do not count."""

    PROPOSALS = "proposals"
    TRAININGS = "trainings"
    TOKENS = "tokens"
    USD = "usd"
    SECONDS = "seconds"


@dataclass(frozen=True)
class Shrinkage:
    """The distribution of advantages at a rung, common to all runs of a comparison, so that all are shrunken alike."""

    typical: float
    between: float
    """Variance between losses (tau^2)."""
    noise: float
    """Variance of the difference of one seed (sigma^2)."""

    @classmethod
    def of(cls, groups: Iterable[Sequence[float]]) -> Shrinkage:
        """From the differences to the baseline of each loss, one per seed; at least one loss.

        Median and median absolute deviation, because one ruined loss would make all others look trustworthy.
        """
        groups = [list(group) for group in groups]
        means = [stats.mean(group) for group in groups]
        typical = statistics.median(means)
        total = (_TO_DEVIATION * statistics.median(abs(mean - typical) for mean in means)) ** 2
        total = total or statistics.pvariance(means)
        pooled = stats.pool(groups)
        # Without repeated seeds, half of the variance counts as noise.
        noise = pooled.deviation**2 if pooled else total / 2
        of_means = noise * statistics.fmean(1 / len(group) for group in groups)
        return cls(typical, max(total - of_means, LEAST_TRUE * total), noise)

    def estimate(self, differences: Sequence[float]) -> float:
        """The estimated advantage of a loss from its differences, at least one."""
        return self.typical + self._trust(len(differences)) * (stats.mean(differences) - self.typical)

    def error(self, seeds: int) -> float:
        """Standard deviation of the estimate from so many seeds."""
        return math.sqrt(self._trust(seeds) * self.noise / seeds)

    def _trust(self, seeds: int) -> float:
        uncertain = self.noise / seeds
        return self.between / (self.between + uncertain) if self.between + uncertain else 1.0


@dataclass(frozen=True)
class Curve:
    """The value of a run after a cost: a step function."""

    xs: tuple[float, ...]
    """Where the leader changes, increasing from 0."""
    values: tuple[float, ...]
    leaders: tuple[int, ...]
    """The leading candidate from each step on."""
    end: float
    """Cost of the whole search."""

    def at(self, x: float) -> float:
        """The value after the cost `x`, which is at least 0."""
        return self.values[max(0, bisect_right(self.xs, x) - 1)]

    def leader(self, x: float) -> int:
        """The leading candidate after the cost `x`."""
        return self.leaders[max(0, bisect_right(self.xs, x) - 1)]

    def area(self, upto: float) -> float:
        """The mean value from 0 to `upto`: the area under the curve, divided by its length. The value at 0 for a length of 0."""
        if upto <= 0:
            return self.at(0.0)
        edges = [0.0, *(x for x in self.xs if 0 < x < upto), upto]
        parts = [(right - left) * self.at(left) for left, right in pairwise(edges)]
        return math.fsum(parts) / upto


def curve_of(run: Run, rung: str, shrinkage: Shrinkage, against: Against) -> Curve:
    """The curve of a run by its results at a rung."""
    race = _Race(run, rung, shrinkage)
    xs, values, leaders = [0.0], [0.0], [race.baseline]
    end = 0.0
    for event, spent in amounts(run):
        end = spent[against]
        leader = race.after(event)
        if leader == leaders[-1]:
            continue
        if xs[-1] == end:
            xs.pop(), values.pop(), leaders.pop()
        xs.append(end)
        values.append(race.value(leader))
        leaders.append(leader)
    return Curve(tuple(xs), tuple(values), tuple(leaders), end)


def spent_by(run: Run) -> Mapping[Against, float]:
    """The cost of a run's whole search."""
    last = deque(amounts(run), maxlen=1)
    return last[0][1] if last else dict.fromkeys(Against, 0.0)


# ---- the leader ----------------------------------------------------------------------------------------------------


@dataclass
class _Race:
    """The leader of a run after each event."""

    run: Run
    rung: str
    shrinkage: Shrinkage
    scores: dict[int, dict[int, float]] = field(default_factory=dict)
    """Fitness by candidate and seed, as of the last event."""
    estimates: dict[int, float] = field(default_factory=dict)
    leading: int = -1

    def __post_init__(self) -> None:
        assert self.run.snapshot.baseline is not None
        self.baseline = self.run.snapshot.baseline.id
        self.leading = self.baseline
        self.estimates[self.baseline] = 0.0
        self._final = self.run.advantages.get(self.rung, {})
        self._finished = {row.finished_event: row for row in self.run.snapshot.evaluations if self.run.searched(row)}

    def after(self, event: EventRow) -> int:
        """The leader once `event` has happened. Events come in order."""
        row = self._finished.get(event.id)
        if (
            row is None
            or row.fitness is None
            or row.rung != self.rung
            or Arm.of(row) != Arm(row.candidate_id, row.rung)
        ):
            return self.leading
        self.scores.setdefault(row.candidate_id, {})[row.seed] = row.fitness
        for id in self.scores if row.candidate_id == self.baseline else (row.candidate_id,):
            self._estimate(id)
        # The baseline leads at equal estimates, then the older loss.
        self.leading = max(self.estimates, key=lambda id: (self.estimates[id], id == self.baseline, -id))
        return self.leading

    def _estimate(self, id: int) -> None:
        # A loss without an advantage in the end has a failed training or a caution: it never leads.
        own = self.scores.get(self.baseline, {})
        differences = [value - own[seed] for seed, value in self.scores[id].items() if seed in own]
        if id in self._final and differences:
            self.estimates[id] = self.shrinkage.estimate(differences)

    def value(self, leader: int) -> float:
        """The estimate of a leader from all results of the search."""
        return 0.0 if leader == self.baseline else self.shrinkage.estimate(list(self._final[leader].values()))


# ---- the cost ------------------------------------------------------------------------------------------------------


def amounts(run: Run) -> Iterator[tuple[EventRow, Mapping[Against, float]]]:
    """Each event of a run's search with what was spent until then. Events of the final and of other commands are left
    out."""
    return _Meter(run).events()


class _Meter:
    """The cost of a search, event by event."""

    def __init__(self, run: Run) -> None:
        snapshot = run.snapshot
        self._events = snapshot.events
        self._final = {row.id for row in snapshot.evaluations if not run.searched(row)}
        self._trained = {row.finished_event: row for row in snapshot.evaluations if row.finished_event is not None}
        self._asked = {row.received_event: row for row in snapshot.proposals.values() if row.received_event is not None}
        self._most = {e.proposal_id: most_of(e) for e in snapshot.events if e.kind == EventKind.PROPOSAL_REQUESTED}
        self._steps: set[int] = set()
        self._spent = dict.fromkeys(Against, 0.0)

    def events(self) -> Iterator[tuple[EventRow, Mapping[Against, float]]]:
        running_time = RunningTime()
        for event in self._events:
            passed = running_time.take(event)
            if not running_time.running or event.kind == EventKind.FINAL or event.evaluation_id in self._final:
                continue
            self._spent[Against.SECONDS] += passed
            self._count(event)
            yield event, dict(self._spent)

    def _count(self, event: EventRow) -> None:
        if (trained := self._trained.get(event.id)) is not None:
            self._train(trained)
        if event.id in self._asked:
            self._receive(event)
        if of_study(event):
            self._spent[Against.TRAININGS] += 1
        charge = event.payload if event.kind == EventKind.CHARGED and isinstance(event.payload, Mapping) else None
        if charge is not None and charge.get("evaluation") not in self._final:
            self._pay(usage_of(charge))

    def _train(self, row: EvaluationRow) -> None:
        self._spent[Against.TRAININGS] += 1
        if row.judged is not None:
            self._pay(row.judged)

    def _receive(self, event: EventRow) -> None:
        row = self._asked[event.id]
        if row.reply is not None or (event.kind == EventKind.PROPOSAL_FAILED and ends_step(event)):
            self._steps.add(row.step)
        self._spent[Against.PROPOSALS] = len(self._steps)
        unseen = row.state is ProposalState.LOST or (event.kind == EventKind.PROPOSAL_FAILED and possibly_paid(event))
        self._pay(cost_of(row, self._most.get(row.id), possibly_paid=unseen).usage)

    def _pay(self, usage: Usage) -> None:
        self._spent[Against.TOKENS] += usage.tokens_in + usage.tokens_out
        self._spent[Against.USD] += usage.usd or 0.0
