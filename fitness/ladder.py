"""Who earns how much training: a pure function from the results so far to the trainings that are due.

Three rules, from cheap to dear. *Screen*: every new loss is trained once at the cheapest rung, the baselines at every rung.
*Race*: at each rung the upper part of those measured there climbs to the next, and at the dearest search rung the leaders
earn further seeds (asynchronous successive halving, Li et al. 2020). *Final*: once no more proposals come, the leaders and
the baselines are measured on fresh seeds, at the held-out rung where the task has one. The race decides who is looked at
again; it infers nothing. Claims rest on the final alone, since its seeds chose nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from fitness.task import TaskInfo

Results = Mapping[tuple[str, int], float | None]
"""Fitness by (rung, seed); None for a training that failed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One loss in the race. Baselines run every rung and the final, whatever their fitness."""

    candidate_id: int
    baseline: bool
    results: Results = field(default_factory=dict)

    def mean(self, rung: str, seeds: Sequence[int]) -> float | None:
        """Mean fitness at a rung over those of `seeds` that are scored, or None; a failed one makes it None too."""
        values = [self.results[rung, s] for s in seeds if (rung, s) in self.results]
        scored = [v for v in values if v is not None]
        return fmean(scored) if scored and len(scored) == len(values) else None


@dataclass(frozen=True, slots=True)
class Settings:
    """How generous the race is."""

    keep: float = 0.5
    """Fraction of those measured at a rung that climbs to the next."""
    contenders: int = 6
    """Leaders that earn further seeds at the dearest search rung."""
    contender_seeds: int = 3
    """Seeds that a contender may earn."""
    finalists: int = 3
    """Leaders measured in the final, beside the baselines."""
    finalist_seeds: int = 4
    """Fresh seeds of the final."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training that is due: a candidate, at a rung, with a seed."""

    candidate_id: int
    rung: str
    seed: int


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of a run: `search` in the order in which they are earned, `final` fresh ones that select nobody."""

    search: tuple[int, ...]
    final: tuple[int, ...]


def screening(entries: Sequence[Entry], info: TaskInfo, settings: Settings, seeds: Seeds) -> tuple[Job, ...]:
    """Trainings due while the search goes on, in order of urgency, those that have a result left out."""
    rungs = [r.name for r in info.search_rungs]
    first = seeds.search[:1]
    jobs = []
    for entry in entries:
        reached = 1 + sum(_climbs(entry, entries, rung, settings, first) for rung in rungs[:-1])
        for rung in rungs if entry.baseline else rungs[:reached]:
            jobs.append(Job(entry.candidate_id, rung, seeds.search[0]))
    top = rungs[-1]
    earned = seeds.search[: settings.contender_seeds]
    for entry in _leaders(entries, top, seeds.search, settings.contenders):
        jobs += [Job(entry.candidate_id, top, s) for s in earned]
    jobs += [Job(e.candidate_id, top, s) for e in entries if e.baseline for s in earned]
    return _open(jobs, entries)


def final(entries: Sequence[Entry], info: TaskInfo, settings: Settings, seeds: Seeds) -> tuple[Job, ...]:
    """Trainings due once the search is over: leaders and baselines on fresh seeds."""
    top = info.search_rungs[-1].name
    held_out = [r.name for r in info.rungs.values() if r.held_out]
    rung = held_out[-1] if held_out else top
    chosen = [
        *(e for e in entries if e.baseline),
        *(e for e in _leaders(entries, top, seeds.search, settings.finalists)),
    ]
    fresh = seeds.final[: settings.finalist_seeds]
    return _open([Job(e.candidate_id, rung, s) for s in fresh for e in chosen], entries)


def _climbs(entry: Entry, entries: Sequence[Entry], rung: str, settings: Settings, seeds: Sequence[int]) -> bool:
    own = entry.mean(rung, seeds)
    if own is None:
        return False
    measured = sorted((m for e in entries if (m := e.mean(rung, seeds)) is not None), reverse=True)
    places = max(1, math.ceil(settings.keep * len(measured)))
    return own >= measured[places - 1]


def _leaders(entries: Sequence[Entry], rung: str, seeds: Sequence[int], count: int) -> list[Entry]:
    ranked = [(m, e) for e in entries if not e.baseline and (m := e.mean(rung, seeds)) is not None]
    ranked.sort(key=lambda pair: (-pair[0], pair[1].candidate_id))
    return [e for _, e in ranked[:count]]


def _open(jobs: Sequence[Job], entries: Sequence[Entry]) -> tuple[Job, ...]:
    done = {e.candidate_id: e.results for e in entries}
    return tuple(dict.fromkeys(j for j in jobs if (j.rung, j.seed) not in done[j.candidate_id]))
