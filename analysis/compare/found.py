"""What each strategy found: distinct functions, those that no other strategy found, cells of the descriptor grid, outcomes.

Two candidates of different runs are the same function if they have the same canonical hash, or if the gradients of their recorded
fingerprints agree. Within a run, the recorded duplicate relation counts. A loss that some run started from is not found by anyone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.compare.curves import Shrinkage
from analysis.compare.runs import Run
from analysis.compare.strategies import Strategy
from analysis.lineage.moves import MoveOutcome, OperatorSummary, moves, summaries
from analysis.snapshot import CandidateStatus
from analysis.wording import full_name
from sandbox.identity.closeness import find_duplicates, readable
from sandbox.verdicts.verdict import Fingerprint

BETTER = 20
"""Number of best functions among which those of one strategy alone are listed."""

_NEAR = 0.01
"""Fingerprints whose mean sizes differ by more than this share are not within the tolerance of `find_duplicates`, which is far
smaller. Only the others are compared."""

Cell = tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """The descriptor grid of the search: the names of its axes, and the cell of a loss by its descriptors."""

    axes: tuple[str, ...]
    cell: Callable[[Mapping[str, Any]], Cell]


@dataclass(frozen=True)
class Function:
    """A distinct function that one or more proposals of these runs implement. The name is that of the first."""

    name: str
    sources: tuple[tuple[str, str, int], ...]
    """(strategy, run, candidate) of each loss that is this function."""
    advantage: float | None
    """Estimated advantage over the baseline from all runs; None if it was not measured at the rung of the comparison."""
    error: float | None
    """Standard deviation of that estimate."""
    seeds: int
    """Number of differences that the estimate is from."""

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that found it."""
        return tuple(dict.fromkeys(strategy for strategy, _, _ in self.sources))


@dataclass(frozen=True)
class Found:
    """What one strategy found, over all its runs."""

    strategy: str
    outcomes: Mapping[MoveOutcome, int]
    """Number of requests by outcome."""
    functions: int
    """Number of distinct new functions."""
    alone: int
    """How many of these no other strategy found."""
    better: int
    """How many of the best functions of the comparison (`BETTER`) it found."""
    better_alone: int
    cells: int
    """Number of cells of the grid with a proposal."""
    cells_alone: tuple[Cell, ...]
    """Those that no other strategy reached."""
    operators: tuple[OperatorSummary, ...]

    @property
    def requests(self) -> int:
        """Number of requests for a loss."""
        return sum(self.outcomes.values())

    def share(self, *outcomes: MoveOutcome) -> float | None:
        """Share of the requests with one of these outcomes; None without requests."""
        return sum(self.outcomes.get(o, 0) for o in outcomes) / self.requests if self.requests else None


@dataclass(frozen=True)
class Discoveries:
    """What all strategies found. `best` are the best functions, best first."""

    found: tuple[Found, ...]
    best: tuple[Function, ...]
    axes: tuple[str, ...]

    @property
    def of_one(self) -> tuple[Function, ...]:
        """Those of `best` that one strategy alone found."""
        return tuple(function for function in self.best if len(function.strategies) == 1)


def discoveries(strategies: Sequence[Strategy], rung: str, shrinkage: Shrinkage, grid: Grid) -> Discoveries:
    """What the runs of each strategy found."""
    functions = _functions(strategies, rung, shrinkage)
    measured = [function for function in functions if function.advantage is not None]
    best = tuple(sorted(measured, key=lambda function: -(function.advantage or 0.0))[:BETTER])
    cells = {strategy.label: _cells(strategy, grid) for strategy in strategies}
    found = []
    for strategy in strategies:
        label = strategy.label
        own = [function for function in functions if label in function.strategies]
        elsewhere = set().union(*(theirs for other, theirs in cells.items() if other != label))
        proposed = [move for run in strategy.runs.values() for move in moves(run.snapshot)]
        found.append(
            Found(
                label,
                Counter(move.outcome for move in proposed),
                len(own),
                sum(len(function.strategies) == 1 for function in own),
                sum(label in function.strategies for function in best),
                sum(function.strategies == (label,) for function in best),
                len(cells[label]),
                tuple(sorted(cells[label] - elsewhere)),
                tuple(summaries(proposed)),
            )
        )
    return Discoveries(tuple(found), best, grid.axes)


def _cells(strategy: Strategy, grid: Grid) -> set[Cell]:
    """The cells of the new, accepted losses that a strategy proposed."""
    return {
        grid.cell(verdict.descriptors or {})
        for run in strategy.runs.values()
        for id, verdict in run.snapshot.verdicts.items()
        if _is_new(run, id) and run.snapshot.is_proposal(id)
    }


def _is_new(run: Run, candidate: int) -> bool:
    return run.snapshot.status(candidate) in (CandidateStatus.SCORED, CandidateStatus.FAILED, CandidateStatus.ACCEPTED)


# ---- equal functions -----------------------------------------------------------------------------------------------


def _functions(strategies: Sequence[Strategy], rung: str, shrinkage: Shrinkage) -> list[Function]:
    """The distinct functions of all proposals, in order of strategies, runs and candidates."""
    index = _Index()
    groups: dict[int, list[tuple[Strategy, Run, int]]] = {}
    known = set()
    for strategy in strategies:
        for run in strategy.runs.values():
            for id in filter(lambda id: _is_new(run, id), run.snapshot.candidates):
                verdict = run.snapshot.verdicts[id]
                place = index.place(verdict.hash, readable(verdict.fingerprint))
                if run.snapshot.is_proposal(id):
                    groups.setdefault(place, []).append((strategy, run, id))
                else:
                    known.add(place)
    return [_function(group, rung, shrinkage) for place, group in groups.items() if place not in known]


def _function(group: Sequence[tuple[Strategy, Run, int]], rung: str, shrinkage: Shrinkage) -> Function:
    differences = [d for _, run, id in group for d in run.advantages.get(rung, {}).get(id, {}).values()]
    _, first, candidate = group[0]
    return Function(
        full_name(first.snapshot, candidate),
        tuple((strategy.label, run.name, id) for strategy, run, id in group),
        shrinkage.estimate(differences) if differences else None,
        shrinkage.error(len(differences)) if differences else None,
        len(differences),
    )


@dataclass
class _Index:
    """Numbers of distinct functions, by canonical hash and fingerprint."""

    hashes: dict[str, int] = field(default_factory=dict)
    prints: list[tuple[float, int]] = field(default_factory=list)
    """(mean size, number) of each function with a fingerprint, in order of size."""
    vectors: dict[int, Fingerprint] = field(default_factory=dict)
    count: int = 0

    def place(self, hash: str | None, fingerprint: Fingerprint | None) -> int:
        """The number of a function; a new one if no earlier function is the same."""
        found = self.hashes.get(hash) if hash else None
        if found is None and fingerprint is not None:
            found = self._alike(fingerprint)
        if found is None:
            found, self.count = self.count, self.count + 1
            if fingerprint is not None:
                insort(self.prints, (_size(fingerprint), found))
                self.vectors[found] = fingerprint
        if hash:
            self.hashes.setdefault(hash, found)
        return found

    def _alike(self, fingerprint: Fingerprint) -> int | None:
        size = _size(fingerprint)
        start = bisect_left(self.prints, (size * (1 - _NEAR), -1))
        stop = bisect_left(self.prints, (size * (1 + _NEAR), self.count))
        near = [number for _, number in self.prints[start:stop]]
        found = find_duplicates(fingerprint, [self.vectors[number] for number in near])
        return near[found[0]] if found else None


def _size(fingerprint: Fingerprint) -> float:
    """Mean absolute gradient; those that stand for infinite ones are left out."""
    sizes = [abs(value) for value in fingerprint.vector if abs(value) < 1e299]
    return math.fsum(sizes) / len(sizes) if sizes else 0.0
