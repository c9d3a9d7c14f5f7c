"""Search along lines: curved edges, narrow excursions and roughness while policy and reference of one pair are shifted (torch).

A line moves one pair through all log-probabilities of one completion, policy and reference together, so that log-ratios are
constant. If the items of a batch influence each other, the other pairs do not move. The search reads every value inside the loss
that may change along the line, and the policy's gradient: a window is visible in the value that makes it, even if later
operations hide it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
import torch

from sandbox.execute.evaluate import Array, Evaluator, Points
from sandbox.numeric.edges.lookup.edges import LEAST_TIE, TIE, is_edge, narrow
from sandbox.numeric.edges.lookup.excursions import OFFSETS, Excursion, narrowest_excursion, nearest_inside
from sandbox.numeric.edges.lookup.forms import Forms
from sandbox.numeric.edges.lookup.shifts import HIGHEST, LOWEST, SHIFTS, starting_pairs
from sandbox.numeric.edges.lookup.stretches import Stretch, closer, stretches
from sandbox.numeric.edges.sites import Site

LINES: Final = 6
"""Half of them shift the chosen completion, half the rejected one; half start where policy equals reference."""
_OTHERS: Final = 7
"""Pairs of the batch that do not move."""
_STEPS: Final = 72
_ROUGH_RANGE: Final = 500.0
"""Most pairs lie within so many nats of the largest log-probability."""
_NEAR_STEP: Final = 2.0**-6
MOST_TURNS: Final = 10.0
"""Largest ratio of the total change along a line to the span of the values. It is one for a monotonic value, two for a bump."""
_ROUNDS: Final = 6
_GRID: Final = np.linspace(0.0, 1.0, 17)
MOST_ROWS: Final = 160
"""Places that are followed. A loss with more of them is a look-up table."""
_MOST_ENTRIES: Final = 64
_DESCENTS: Final = 12
"""How often the search alternates between the completions, for windows on both."""
_SAME: Final = 1e-7
_SPIKE: Final = 0.35
"""Share of the width of a narrow window. It is below one because smooth weights such as 1 / sqrt(0.5 + |gap|) have peaks too."""
_NOISE: Final = {torch.float64: 1e-10, torch.float32: 1e-4}
"""Differences below this share of a value's operands count as rounding errors."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place at which a loss singles out values: how (`what`), the `inputs`, shape (4,), and the window's numbers."""

    what: str
    inputs: Array
    width: float
    inside: float
    beside: float


@dataclass(frozen=True, eq=False)
class Spot:
    """A zero of a site's quantity on a line, or the point nearest to zero: the line, the item, the index in SHIFTS, the `way` from
    the line's start in nats, the `inputs` there, shape (4,), the quantity's `size`, whether its sign changes, and its `slope` per
    nat."""

    site: Site
    line: int
    item: int
    shift: int
    way: float
    inputs: Array
    size: float
    crosses: bool
    slope: float


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines through pairs: `start` (lines, 4), `shift` (lines,) as indices in SHIFTS, and the ends `low` and `high` in nats from
    the start."""

    start: Array
    shift: Array
    low: Array
    high: Array

    @classmethod
    def through(cls, start: Array, shift: Array) -> Lines:
        """Lines through these pairs."""
        moved = start[np.arange(len(start))[:, None], np.stack([shift, shift + 2], axis=1)]
        return cls(start, shift, LOWEST - moved.min(axis=1), HIGHEST - moved.max(axis=1))

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Lines:
        """Lines through random pairs, half of them as at the start of training, half of them a little later."""
        pairs = [starting_pairs(rng, LINES // 2), starting_pairs(rng, LINES // 2, spread=1.5)]
        return cls.through(np.concatenate(pairs), np.arange(LINES) % 2)

    def __len__(self) -> int:
        return len(self.start)

    def at(self, which: Array, t: Array) -> Array:
        """Inputs (rows, steps, 4) at the ways t (rows, steps) along the lines `which` (rows,)."""
        return np.asarray(self.start[which][:, None, :] + t[:, :, None] * SHIFTS[self.shift[which]][:, None, :])

    def steps(self, rng: np.random.Generator) -> Array:
        """The first steps along each line, (lines, steps), in nats from the start, sorted."""
        count = len(self)
        everywhere = rng.uniform(self.low[:, None], self.high[:, None], (count, _STEPS // 3))
        usual = np.maximum(self.low, self.high - _ROUGH_RANGE)[:, None]
        common = rng.uniform(usual, self.high[:, None], (count, _STEPS - _STEPS // 3))
        return np.sort(np.concatenate([everywhere, common], axis=1), axis=1)


class Along:
    """The search along lines in one loss at one beta."""

    def __init__(self, evaluator: Evaluator, forms: Forms, beta: float, rng: np.random.Generator) -> None:
        self.evaluator, self.graph, self.beta = evaluator, forms.graph, beta
        nodes = self.graph.nodes
        self._followed = [i for i, n in enumerate(nodes) if n.args and any(forms.follows[a] for a in n.args)]
        self._rng = rng
        self._bent: Set[Site] = set()
        self._lines = Lines.drawn(rng)
        self._grid = self._lines.steps(rng)
        self._others = starting_pairs(rng, 0 if evaluator.pointwise else _OTHERS, spread=1.5)

    # ---- values ------------------------------------------------------------------------------------------------------

    def _batches(self, inputs: Array) -> list[Array]:
        """One batch for each of the inputs (n, 4): the pair that moves, then the other pairs."""
        others = np.broadcast_to(self._others, (len(inputs), *self._others.shape))
        rows = np.concatenate([inputs[:, None, :], others], axis=1)
        return [np.ascontiguousarray(rows[:, :, i]) for i in range(4)]

    def _values(self, inputs: Array, nodes: Sequence[int], dtype: torch.dtype = torch.float64) -> dict[int, Array]:
        found = self.evaluator.inside(self._batches(inputs), [self.beta], nodes, dtype)
        return dict(zip(nodes, found, strict=True))

    def _quantities(self, sites: Sequence[Site], inputs: Array) -> list[Array]:
        """The quantity that decides at each site, (n, entries)."""
        values = self._values(inputs, sorted({n for s in sites for n in (s.left, s.right) if n is not None}))
        return [q.reshape(len(q), -1)[:, :_MOST_ENTRIES] for q in (_quantity(s, values) for s in sites)]

    def _everything(self, inputs: Array, dtype: torch.dtype = torch.float64) -> Iterator[tuple[Array, float]]:
        """Every value at `inputs` (n, 4) that may change along lines, as (n, entries), then the policy's gradients for the pair
        that moves; each with the size below which a difference is a rounding error."""
        share, nodes = _NOISE[dtype], self.graph.nodes
        watch = sorted({*self._followed, *(a for i in self._followed for a in nodes[i].args)})
        values = {n: _moving(v.astype(float)) for n, v in self._values(inputs, watch, dtype).items()}
        sizes = {n: _largest(v) for n, v in values.items()}
        for node in self._followed:
            yield values[node], share * max(sizes[node], *(sizes[a] for a in nodes[node].args), 1e-3)
        batches = self._batches(inputs)
        count, size = batches[0].shape
        flat = tuple(t.reshape(-1) for t in batches)
        split = (count,) if self.evaluator.pointwise else (size,) * count
        for gradient in self.evaluator(Points(flat, np.full((1, count * size), self.beta), split), dtype).gradients:
            own = gradient[::size].astype(float)
            yield own[:, None], share * max(_largest(own), 1e-3)

    # ---- the three searches -------------------------------------------------------------------------------------------

    def rough(self, dtype: torch.dtype = torch.float64) -> Found | None:
        """A value or gradient that goes back and forth along a line more often than a formula of the margin would; else None."""
        lines = len(self._lines)
        inputs = np.stack([self._lines.at(np.arange(lines), self._grid + d) for d in (0.0, -_NEAR_STEP)])
        worst: tuple[float, Found] | None = None
        for rows, noise in self._everything(inputs.reshape(-1, 4), dtype):
            value = rows.reshape(2, lines, _STEPS, -1)
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

    def spots(self, sites: Sequence[Site], bent: Set[Site]) -> list[Spot]:
        """The zeros of the sites' quantities along the lines, and the points nearest to zero. The latter are followed through
        both completions in turn as long as they get nearer. `bent`: the sites whose quantity is not linear."""
        self._bent = bent
        found = self._on(self._lines, self._grid, sites)
        dips = [s for s in found if not s.crosses]
        for turn in range(1, _DESCENTS + 1):
            if not dips or len(found) > MOST_ROWS:
                break
            lines = Lines.through(np.stack([s.inputs for s in dips]), np.array([1 - s.shift for s in dips]))
            best: dict[int, Spot] = {}
            for spot in self._on(lines, lines.steps(self._rng), sites):
                before = best.get(spot.line, dips[spot.line])
                if spot.site == before.site and (spot.crosses or spot.size < 0.99 * before.size):
                    best[spot.line] = spot
            moved = [replace(spot, line=1000 * turn + spot.line) for spot in best.values()]
            found += moved
            dips = [s for s in moved if not s.crosses]
        return found

    def _on(self, lines: Lines, grid: Array, sites: Sequence[Site]) -> list[Spot]:
        coarse = self._quantities(sites, lines.at(np.arange(len(lines)), grid).reshape(-1, 4))
        rows = stretches(coarse, grid, [s not in self._bent for s in sites])[: MOST_ROWS + 1]
        if not rows:
            return []
        way = self._zoomed(rows, lines, sites)
        rows = self._split(rows, lines, way, sites)[: MOST_ROWS + 1]
        way = self._zoomed(rows, lines, sites)
        which = np.array([r.line for r in rows])
        sides = self._own(rows, lines.at(which, way[:, None] + _NEAR_STEP * np.array([-1.0, 1.0])), sites)
        slopes = np.abs(sides[:, 1] - sides[:, 0]) / (2 * _NEAR_STEP)
        places, sizes = self._settled(rows, lines, way, sites)
        return [
            Spot(
                sites[r.site],
                r.line,
                self._item(r),
                int(lines.shift[r.line]),
                float(w),
                place,
                float(size),
                r.crosses,
                float(slope),
            )
            for r, w, place, size, slope in zip(rows, way, places, sizes, slopes, strict=True)
        ]

    def _item(self, row: Stretch) -> int:
        """The item that a row belongs to: its entry if there are other pairs in the batch, else 0."""
        return row.entry if len(self._others) else 0

    def _zoomed(self, rows: Sequence[Stretch], lines: Lines, sites: Sequence[Site]) -> Array:
        """The way to each row's zero, or to its point nearest to zero."""
        which = np.array([r.line for r in rows])
        low, high = np.array([r.low for r in rows]), np.array([r.high for r in rows])
        for _ in range(_ROUNDS):
            t = low[:, None] + _GRID * (high - low)[:, None]
            low, high = closer(t, self._own(rows, lines.at(which, t), sites))
        return np.asarray((low + high) / 2)

    def _split(self, rows: Sequence[Stretch], lines: Lines, way: Array, sites: Sequence[Site]) -> list[Stretch]:
        """The rows, where a row in which the sign changes and changes back is replaced by two: the search found one of the two
        edges, or a point between them."""
        which, ends = np.array([r.line for r in rows]), np.array([[r.low, r.high] for r in rows])
        t = np.concatenate([ends[:, :1], way[:, None] + np.array([-_NEAR_STEP, 0.0, _NEAR_STEP]), ends[:, 1:]], axis=1)
        signs = self._own(rows, lines.at(which, t), sites) <= 0
        found: list[Stretch] = []
        for row, steps, sign in zip(rows, t, signs, strict=True):
            inner = steps[1:-1][sign[1:-1] != sign[0]]
            if row.crosses or sign[0] != sign[-1] or not inner.size:
                found.append(row)
                continue
            found += [
                replace(row, high=float(inner[0]), crosses=True),
                replace(row, low=float(inner[-1]), crosses=True),
            ]
        return found

    def _settled(self, rows: Sequence[Stretch], lines: Lines, way: Array, sites: Sequence[Site]) -> tuple[Array, Array]:
        """The places, and the quantity's size there. A coordinate that moved is rounded if the quantity then is nearer to zero,
        since authors write conditions with round numbers, and equality holds nowhere else."""
        which = np.array([r.line for r in rows])
        places = lines.at(which, way[:, None])[:, 0]
        moves = SHIFTS[lines.shift[which]] > 0
        rounded = (np.where(moves, np.round(places, digits), places) for digits in range(5))
        candidates = np.stack([places, *rounded], axis=1)
        size = np.nan_to_num(np.abs(self._own(rows, candidates, sites)), nan=np.inf)
        best = size.argmin(axis=1)
        every = np.arange(len(rows))
        return candidates[every, best], size[every, best]

    def _own(self, rows: Sequence[Stretch], inputs: Array, sites: Sequence[Site]) -> Array:
        """Each row's own quantity at its own steps."""
        count, steps = inputs.shape[:2]
        tables = [q.reshape(count, steps, -1) for q in self._quantities(sites, inputs.reshape(-1, 4))]
        return np.stack([tables[r.site][i, :, r.entry] for i, r in enumerate(rows)])

    def crowded(self, spots: Sequence[Spot]) -> Found | None:
        """Two edges close to each other: on more than one line, or very close on one; None if there are none."""
        near: dict[tuple[Site, Site], list[Found]] = {}
        for line, item in {(s.line, s.item) for s in spots}:
            on_line = [s for s in spots if (s.line, s.item) == (line, item)]
            edges = [s for s in on_line if s.crosses and is_edge(s.site, s.slope)]
            for a, b in pairwise(sorted(edges, key=lambda s: s.way)):
                if _SAME < b.way - a.way < (LEAST_TIE if _tied(a.inputs) else narrow(self.beta)):
                    found = Found("edges", (a.inputs + b.inputs) / 2, b.way - a.way, np.nan, np.nan)
                    near.setdefault((a.site, b.site), []).append(found)
        sure = (f for found in near.values() for f in found if len(found) > 1 or f.width < _SPIKE * narrow(self.beta))
        return next(sure, None)

    def count(self, spots: Sequence[Spot]) -> int:
        """The largest number of places on one line; the number of all spots if it exceeds MOST_ROWS."""
        if len(spots) > MOST_ROWS:
            return len(spots)
        places: dict[tuple[int, int], set[float]] = {}
        for s in spots:
            places.setdefault((s.line, s.item), set()).add(round(s.way, 3))
        return max(map(len, places.values()), default=0)

    def excursion(self, spots: Sequence[Spot]) -> Found | None:
        """The narrowest excursion of a value or gradient at one of the spots; None if there is none."""
        if not spots:
            return None
        chosen = list({(s.shift, *np.round(s.inputs, 3).tolist()): s for s in spots}.values())[:MOST_ROWS]
        shifts = SHIFTS[[s.shift for s in chosen]]
        inputs = np.stack([s.inputs for s in chosen])[:, None, :] + OFFSETS[:, None] * shifts[:, None, :]
        most = np.array(
            [min(LEAST_TIE, narrow(self.beta)) if _tied(s.inputs) else _SPIKE * narrow(self.beta) for s in chosen]
        )
        steps = nearest_inside(inputs)
        inputs = np.take_along_axis(inputs, steps[:, :, None], axis=1)
        best: Excursion | None = None
        for rows, noise in self._everything(inputs.reshape(-1, 4)):
            found = narrowest_excursion(rows.reshape(*steps.shape, -1), OFFSETS[steps], most, noise)
            if found is not None and (best is None or found.width < best.width):
                best = found
        if best is None:
            return None
        return Found("excursion", inputs[best.row, best.step], best.width, best.inside, best.beside)


def _tied(inputs: Array) -> bool:
    """Whether both completions are nearly equally likely under policy or reference. A condition there selects near-ties, not
    single pairs."""
    return bool(min(abs(inputs[0] - inputs[1]), abs(inputs[2] - inputs[3])) < TIE)


def _quantity(site: Site, values: Mapping[int, Array]) -> Array:
    """The quantity of a site: left - right - offset, or the differences along an axis. The batches are the first axis."""
    left = values[site.left].astype(float)
    with np.errstate(all="ignore"):
        if site.axis is not None:
            first, second = np.triu_indices(left.shape[site.axis + 1], 1)
            return np.asarray(np.take(left, first, site.axis + 1) - np.take(left, second, site.axis + 1))
        if site.right is None:
            return left - site.offset
        right = values[site.right].astype(float)
        rank = max(left.ndim, right.ndim)
        left, right = (v.reshape(len(v), *(1,) * (rank - v.ndim), *v.shape[1:]) for v in (left, right))
        return np.asarray(left - right - site.offset)


def _moving(value: Array) -> Array:
    """The entries of a value, (batches, entries), that are not the same in all batches; the first entry if all are."""
    flat = value.reshape(len(value), -1)
    with np.errstate(all="ignore"):
        moving = flat[:, (flat != flat[:1]).any(axis=0)]
    return moving[:, :_MOST_ENTRIES] if moving.shape[1] else flat[:, :1]


def _largest(value: Array) -> float:
    return float(np.abs(np.where(np.isfinite(value), value, 0.0)).max(initial=0.0))


def _without_largest(change: Array) -> Array:
    """Mean over the steps, shape (lines, steps, entries), without the largest ones: edges and poles have another search."""
    return np.asarray(np.sort(change, axis=1)[:, : -_STEPS // 12].mean(axis=1))
