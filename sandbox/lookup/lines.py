"""What a loss does along the shifts of a few pairs: where curved quantities have their edges, narrow excursions, roughness.

A line moves policy and reference of one completion together through all log-probabilities, so log-ratios stay what they
are. Every value inside the loss that follows the items is looked at, and the policy's gradient: a window shows in the
value that makes it, whatever becomes of it later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch

from sandbox.evaluate import Array, Evaluator, Points
from sandbox.inside import Inside, end_to_end
from sandbox.lookup.edges import MOST_EDGES, is_edge, narrow
from sandbox.lookup.screen import Keyed
from sandbox.lookup.shifts import HIGHEST, LOWEST, SHIFTS, pairs
from sandbox.sites import Site

LINES: Final = 4
"""Half of them shift the chosen completion, half the rejected one."""
_STEPS: Final = 72
_ROUGH_RANGE: Final = 500.0
"""Nats below the top in which most pairs lie."""
_NEAR_STEP: Final = 2.0**-6
MOST_TURNS: Final = 10.0
"""Total change along a line over the span of the values: one for a value that only rises, two for a bump."""
_ROUNDS: Final = 8
_GRID: Final = np.linspace(0.0, 1.0, 17)
_MOST_ROWS: Final = 96
_LADDER = np.array([1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0])
_OFFSETS = np.concatenate([-_LADDER[::-1], [0.0], _LADDER])
_SAME: Final = 1e-7
_SPIKE: Final = 0.35
"""Of the width of a narrow window: smooth weights such as 1 / sqrt(0.5 + |gap|) have peaks too."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place, inputs of shape (4,), at which a loss singles values out, and how."""

    what: str
    inputs: Array
    width: float
    inside: float
    beside: float


@dataclass(frozen=True, eq=False)
class Spot:
    """Where a site's quantity is zero on a line, or nearest to it: `way` from the line's start, the `inputs` there, shape (4,),
    `slope` per nat, whether the sign changes."""

    site: Site
    line: int
    way: float
    inputs: Array
    crosses: bool
    slope: float


@dataclass(frozen=True, slots=True)
class _Row:
    """A stretch of a line that holds a spot: indices of site, line and entry, ends, and whether the sign changes within."""

    site: int
    line: int
    entry: int
    low: float
    high: float
    crosses: bool


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines through pairs: `start` (lines, 4), `shift` (lines,), which of SHIFTS, `low` and `high` ends, nats from the start."""

    start: Array
    shift: Array
    low: Array
    high: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Lines:
        """Through pairs as they are when training starts, so that policy and reference both get everywhere."""
        start, shift = pairs(rng, LINES, 1.0), np.arange(LINES) % 2
        moved = start[np.arange(LINES)[:, None], np.stack([shift, shift + 2], axis=1)]
        return cls(start, shift, LOWEST - moved.min(axis=1), HIGHEST - moved.max(axis=1))

    def at(self, which: Array, t: Array) -> Array:
        """Inputs (rows, steps, 4) at the ways t (rows, steps) along the lines `which` (rows,)."""
        return np.asarray(self.start[which][:, None, :] + t[:, :, None] * SHIFTS[self.shift[which]][:, None, :])


class Along:
    """One loss along lines at one beta. `follows`: the nodes whose values change along such lines."""

    def __init__(
        self, evaluator: Evaluator, inside: Inside, follows: Set[int], beta: float, rng: np.random.Generator
    ) -> None:
        self.evaluator, self.inside, self.beta = evaluator, inside, beta
        nodes = inside.graph.nodes
        self.looked_at = {i for i in inside.nodes if i in follows or any(a in follows for a in nodes[i].args)}
        self.lines = Lines.drawn(rng)
        everywhere = rng.uniform(self.lines.low[:, None], self.lines.high[:, None], (LINES, _STEPS // 3))
        usual = np.maximum(self.lines.low, self.lines.high - _ROUGH_RANGE)[:, None]
        common = rng.uniform(usual, self.lines.high[:, None], (LINES, _STEPS - _STEPS // 3))
        self.grid = np.sort(np.concatenate([everywhere, common], axis=1), axis=1)

    def rough(self, dtype: torch.dtype = torch.float64) -> Found | None:
        """A value, or a gradient, that goes back and forth along a line more often than a formula does."""
        inputs = np.stack([self.lines.at(np.arange(LINES), self.grid + d) for d in (0.0, -_NEAR_STEP)])
        worst: tuple[float, Found] | None = None
        for rows, noise in self._all(inputs.reshape(-1, 4), dtype):
            value = rows.reshape(2, LINES, _STEPS, -1)
            if not value.size:
                continue
            with np.errstate(all="ignore"):
                span = np.ptp(value[0], axis=1)
                change = _without_largest(np.abs(value[1] - value[0])) / _NEAR_STEP * _ROUGH_RANGE
                turns = np.where(span > noise, change / span, 0.0)
            turns = np.where(np.isfinite(turns), turns, 0.0)
            line, entry = np.unravel_index(int(turns.argmax()), turns.shape)
            most = float(turns[line, entry])
            if most > MOST_TURNS and (worst is None or most > worst[0]):
                step = int(np.abs(value[1] - value[0])[line, :, entry].argmax())
                pair = value[:, line, step, entry]
                worst = most, Found("rough", inputs[0, line, step], _NEAR_STEP, float(pair[0]), float(pair[1]))
        return worst[1] if worst else None

    def spots(self, keyed: Sequence[Keyed]) -> list[Spot]:
        """The zeros of the sites' quantities along the lines, and where they come nearest to zero."""
        sites = [k.site for k in keyed]
        coarse = self.inside.quantities(sites, self.lines.at(np.arange(LINES), self.grid).reshape(-1, 4), self.beta)
        rows = list(self._brackets(coarse))[:_MOST_ROWS]
        if not rows:
            return []
        which = np.array([r.line for r in rows])
        low, high = np.array([r.low for r in rows]), np.array([r.high for r in rows])
        for _ in range(_ROUNDS):
            t = low[:, None] + _GRID * (high - low)[:, None]
            q = self._own(rows, self.lines.at(which, t), sites)
            low, high = np.array([_closer(*row) for row in zip(t, q, strict=True)]).T
        way = (low + high) / 2
        sides = self._own(rows, self.lines.at(which, way[:, None] + _NEAR_STEP * np.array([-1.0, 1.0])), sites)
        slopes = np.abs(sides[:, 1] - sides[:, 0]) / (2 * _NEAR_STEP)
        places = self._settled(rows, self.lines.at(which, way[:, None])[:, 0], sites)
        return [
            Spot(sites[r.site], r.line, float(way[i]), places[i], r.crosses, float(slopes[i]))
            for i, r in enumerate(rows)
        ]

    def _settled(self, rows: Sequence[_Row], places: Array, sites: Sequence[Site]) -> Array:
        """The places, or round numbers in place of what moved there, if the quantity is nearer to zero then: conditions are
        written in round numbers, and equality holds nowhere else."""
        moves = SHIFTS[self.lines.shift[[r.line for r in rows]]] > 0
        rounded = (np.where(moves, np.round(places, digits), places) for digits in range(5))
        candidates = np.stack([places, *rounded], axis=1)
        best = np.abs(np.nan_to_num(self._own(rows, candidates, sites), nan=np.inf)).argmin(axis=1)
        return np.asarray(candidates[np.arange(len(rows)), best])

    def _brackets(self, coarse: Sequence[Array]) -> Iterator[_Row]:
        for site, q in enumerate(coarse):
            table = q.reshape(LINES, _STEPS, -1)
            for line in range(LINES):
                for entry in range(table.shape[2]):
                    for a, b, crosses in _turns(table[line, :, entry]):
                        yield _Row(site, line, entry, float(self.grid[line, a]), float(self.grid[line, b]), crosses)

    def _own(self, rows: Sequence[_Row], inputs: Array, sites: Sequence[Site]) -> Array:
        """Each row's own quantity on its own steps."""
        count, steps = inputs.shape[:2]
        quantities = self.inside.quantities(sites, inputs.reshape(-1, 4), self.beta)
        tables = [q.reshape(count, steps, -1) for q in quantities]
        return np.stack([tables[r.site][i, :, r.entry] for i, r in enumerate(rows)])

    def crowded(self, spots: Sequence[Spot], curved: Set[Site]) -> Found | None:
        """Two edges that are narrow, one of them `curved`, on more than one line: straight ones were measured before."""
        near: dict[tuple[Site, Site], list[Found]] = {}
        for line in range(LINES):
            edges = [s for s in spots if s.line == line and s.crosses and is_edge(s.site.kind, s.slope)]
            for a, b in pairwise(sorted(edges, key=lambda s: s.way)):
                if _SAME < b.way - a.way < narrow(self.beta) and {a.site, b.site} & curved:
                    found = Found("edges", (a.inputs + b.inputs) / 2, b.way - a.way, np.nan, np.nan)
                    near.setdefault((a.site, b.site), []).append(found)
        return next((found[0] for found in near.values() if len(found) > 1), None)

    def count(self, spots: Sequence[Spot]) -> int:
        """The most places on one line."""
        return max((len({round(s.way, 3) for s in spots if s.line == line}) for line in range(LINES)), default=0)

    def excursion(self, spots: Sequence[Spot]) -> Found | None:
        """A value or a gradient that leaves, beside one of the spots, what it is on either side, and comes back."""
        if not spots:
            return None
        chosen = list({(s.line, round(s.way, 3)): s for s in spots}.values())
        shifts = SHIFTS[self.lines.shift[[s.line for s in chosen]]]
        inputs = np.stack([s.inputs for s in chosen])[:, None, :] + _OFFSETS[:, None] * shifts[:, None, :]
        steps = _inside(inputs)
        inputs = np.take_along_axis(inputs, steps[:, :, None], axis=1)
        best: _Excursion | None = None
        for rows, noise in self._all(inputs.reshape(-1, 4)):
            found = _excursion(rows.reshape(*steps.shape, -1), _OFFSETS[steps], _SPIKE * narrow(self.beta), noise)
            if found is not None and (best is None or found.width < best.width):
                best = found
        if best is None:
            return None
        return Found("excursion", inputs[best.row, best.step], best.width, best.inside, best.beside)

    def _all(self, inputs: Array, dtype: torch.dtype = torch.float64) -> Iterator[tuple[Array, float]]:
        """Every value that follows the items at `inputs`, and the gradients to the policy, as (items, entries) each, and the
        size below which a difference is rounding: a small share of what the value is computed from."""
        share = _NOISE[dtype]
        parts = [
            self.inside.rows(values, part.stop - part.start) for part, values in self.inside(inputs, self.beta, dtype)
        ]
        rows = {n: end_to_end([p[n] for p in parts]) for n in parts[0] if all(n in p for p in parts)}
        sizes = {n: _largest(v) for n, v in rows.items()}
        for node, value in rows.items():
            if node not in self.looked_at:
                continue
            operands = [sizes.get(a, 0.0) for a in self.inside.graph.nodes[node].args]
            yield value, share * max(sizes[node], *operands, 1e-3)
        if not self.evaluator.pointwise:
            return  # pairs of one line resemble each other: what compares them turns round with rounding
        step = self.inside.most or len(inputs)
        batches = tuple(min(step, len(inputs) - i) for i in range(0, len(inputs), step))
        points = Points(tuple(inputs.T.copy()), np.full((1, len(inputs)), self.beta), batches)
        for gradient in self.evaluator(points, dtype).gradients:
            yield gradient.astype(float)[:, None], share * max(_largest(gradient), 1e-3)


_NOISE: Final = {torch.float64: 1e-10, torch.float32: 1e-4}


def _largest(value: Array) -> float:
    return float(np.abs(np.where(np.isfinite(value), value, 0.0)).max(initial=0.0))


def _without_largest(change: Array) -> Array:
    """Mean over the steps, shape (lines, steps, entries), of all but the largest: an edge or a pole has its own search."""
    return np.asarray(np.sort(change, axis=1)[:, : -_STEPS // 12].mean(axis=1))


def _turns(q: Array) -> list[tuple[int, int, bool]]:
    """Steps between which a quantity changes sign (True), and around which its size is least without that (False)."""
    changes = np.flatnonzero((q[:-1] <= 0) != (q[1:] <= 0))
    size = np.abs(np.nan_to_num(q, nan=np.inf))
    dips = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:])) + 1
    dips = dips[~np.isin(dips, changes) & ~np.isin(dips - 1, changes)]
    least = dips[np.argsort(size[dips], kind="stable")][:2]
    turns = [(int(i), int(i) + 1, True) for i in changes] + [(int(i) - 1, int(i) + 1, False) for i in least]
    return turns[: MOST_EDGES + 1]


def _closer(t: Array, q: Array) -> tuple[float, float]:
    """The steps on either side of the first change of sign, or of the smallest size."""
    change = np.flatnonzero((q[:-1] <= 0) != (q[1:] <= 0))
    if change.size:
        return float(t[change[0]]), float(t[change[0] + 1])
    nearest = int(np.nan_to_num(np.abs(q), nan=np.inf).argmin())
    return float(t[max(nearest - 1, 0)]), float(t[min(nearest + 1, len(t) - 1)])


def _inside(inputs: Array) -> Array:
    """For each step of each ladder, inputs (rows, steps, 4), the nearest step whose log-probabilities exist."""
    within: Array = np.all((inputs >= LOWEST) & (inputs < 0.0), axis=2)
    steps = np.arange(inputs.shape[1])
    first, last = within.argmax(axis=1), len(steps) - 1 - within[:, ::-1].argmax(axis=1)
    return np.asarray(np.clip(steps, first[:, None], last[:, None]))


@dataclass(frozen=True, slots=True)
class _Excursion:
    width: float
    inside: float
    beside: float
    row: int
    step: int


def _excursion(value: Array, offsets: Array, most: float, noise: float) -> _Excursion | None:
    """The narrowest excursion of the entries, (rows, steps, entries), at offsets (rows, steps)."""
    value = np.where(np.isfinite(value).all(axis=1, keepdims=True), value, 0.0)
    ends = value[:, [0, -1]]
    low, high = ends.min(axis=1, keepdims=True), ends.max(axis=1, keepdims=True)
    beyond = np.stack([value - high, low - value]).clip(min=0.0)  # (direction, rows, steps, entries)
    size = beyond.max(axis=2)
    best: _Excursion | None = None
    for direction, row, entry in np.argwhere(size > np.maximum(0.2 * np.ptp(value, axis=1), noise)):
        part = beyond[direction, row, :, entry]
        within = offsets[row][part > 0.5 * size[direction, row, entry]]
        width = float(within.max() - within.min())
        if width < most and (best is None or width < best.width):
            step = int(part.argmax())
            inside, beside = float(value[row, step, entry]), float(value[row, 0, entry])
            best = _Excursion(width, inside, beside, int(row), step)
    return best
