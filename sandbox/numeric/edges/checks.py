"""Check that loss and gradient are finite on every edge, near it, and at poles inside the range, and have no spike there (torch).

Random probes miss a pole, or a condition that holds at one value. They are found here as the zeros of the quantities that decide
(`sites`), by nested search along a few lines through one pair. Around every edge found, and around every two edges together, the
loss is computed at several distances, in float32 as in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sandbox.execute.evaluate import Array, Evaluation, Evaluator, Points
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.numeric.edges.inside import Inside
from sandbox.numeric.edges.sites import Kind, Site, sites
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.inputs import HIGHEST_LOGP, LINE_BETA, LOWEST_LOGP, MAX_SCALED_MARGIN, margins
from sandbox.numeric.measure.spikes import LARGEST_SPIKE
from sandbox.verdicts.verdict import Finding

_RARE = 0.02
"""If a smaller share of the random probes lies on one side of an edge, they may have missed that side."""
_LADDER = np.array([1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0])
_OFFSETS = np.concatenate([-_LADDER[::-1], [0.0], _LADDER])
"""Distances from an edge at which the loss is computed, nats."""
_GRID = np.linspace(0.0, 1.0, 33)
_ROUNDS = 9
"""Rounds of the nested search. Each divides the interval by 16, and 16^9 resolves a line as finely as float64 does."""
_MOST = 32
"""The most places that are searched. Losses of the built-in proposer have at most eight."""
_MOST_CALLS = 64
"""The most batches around edges, for a loss that compares pairs: each needs a call of its own. Each edge alone comes first."""
_NUDGE = 1e-3
_FAR = 12.0
"""Nats. Larger log-ratios are rare in training."""
_START = np.array([-120.0, -90.0, -110.0, -95.0])
"""The pair through which all lines pass. It has whole numbers, so that float32 can reach an edge such as rho = 3 exactly."""
_DIRECTIONS = np.array(
    [[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=float
)
"""Those that keep the margin come first, because along them only the outcome of the condition changes."""

Describe = Callable[[Points, int], dict[str, Any]]


_STEEP_TAIL = 15.0
"""Larger arguments lie on the flat part of a smooth step."""
_KINDS = (Kind.POLE, Kind.EQUALITY, Kind.BELOW, Kind.ABOVE, Kind.KINK, Kind.STEEP)
_CONDITIONS = (Kind.BELOW, Kind.ABOVE)


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the quantity that decides at a site."""

    site: Site
    entry: int

    @property
    def kind(self) -> Kind:
        """The kind of the site."""
        return self.site.kind


@dataclass(frozen=True, eq=False)
class _Edge:
    """An edge that was found. `shift` leads from the start to it, `direction` is that of the line."""

    place: Place
    shift: Array
    direction: Array


def check_edges(evaluator: Evaluator, points: Points, describe: Describe) -> list[Finding]:
    """A refusal if the loss (SBX304) or its gradient (SBX305) is not finite at an edge, or the gradient has a spike there (SBX313).

    `points` are pairs spread over the range. They show which sides of an edge are common. Raises CannotCompute.
    """
    if _only_smooth_steps(evaluator.graph):
        return []
    search = Search(evaluator)
    worth = _worth(search, points)
    dangerous = [place for place in worth if place.kind not in (Kind.KINK, Kind.STEEP)]
    if len(dangerous) > _MOST:
        message = (
            f"the loss could fail at single values of {len(dangerous)} divisions, roots or comparisons, {_MOST} at most"
        )
        return [numeric_finding("SBX334", message, {"places": len(dangerous)})]
    edges = [_Edge(*found) for found in search.edges(worth[:_MOST])]
    alone = [ladder for edge in edges for ladder in _ladders(edge, [])]
    inputs = alone + [ladder for edge in edges for ladder in _ladders(edge, edges, alone=False)]
    if not evaluator.pointwise:
        inputs = inputs[:_MOST_CALLS]
    if not inputs:
        return []
    probed = _as_points(inputs, LINE_BETA)
    rounded = Points(tuple(t.astype(np.float32).astype(float) for t in probed.tensors), probed.scalars, probed.sizes)
    return _judged(evaluator(rounded, torch.float32), rounded, describe)


def _only_smooth_steps(graph: VerifiedGraph) -> bool:
    """Whether the only edges are smooth steps, and no constants make them so steep that random probes miss them."""
    size = math.prod(max(abs(float(n.attrs["value"])), 1.0) for n in graph.nodes if n.op == "const")
    return size < _STEEP_TAIL and all(s.kind is Kind.STEEP for s in sites(graph) if s.kind in _KINDS)


def edge_points(evaluator: Evaluator, beta: float, points: Points) -> Points:
    """Pairs on and near every edge that the search finds, as one batch, which may be empty. Raises CannotCompute."""
    search = Search(evaluator)
    worth = [*search.spreads(points)] if search.sites else []
    worth = sorted(worth, key=lambda p: _KINDS.index(p.kind))[: 2 * _MOST]
    inputs = [ladder for found in search.edges(worth) for ladder in _ladders(_Edge(*found), [])]
    whole = np.concatenate(inputs) if inputs else np.zeros((0, 4))
    return Points(tuple(whole.T.copy()), np.full((1, len(whole)), beta), (len(whole),))


def _worth(search: Search, points: Points) -> list[Place]:
    """The places of which random probes may have missed a side, those with the most dangerous kinds first."""
    if not search.sites:
        return []
    spreads = search.spreads(points)
    meeting = _meeting(spreads, np.asarray(margins(points) * points.scalars[0]))
    worth = [p for p, v in spreads.items() if p in meeting or _worth_a_search(p, v)]
    return sorted(worth, key=lambda p: _KINDS.index(p.kind))


def _meeting(spreads: dict[Place, Array], scaled: Array) -> set[Place]:
    """Places that together can enclose a narrow region although each is wide: several comparisons, or several kinks in a
    quantity other than the margin."""
    wide = {p: v for p, v in spreads.items() if np.isfinite(v).all() and np.ptp(v) > 0}
    keyed = {
        p
        for p, v in wide.items()
        if p.kind in _CONDITIONS or (p.kind is Kind.KINK and abs(_correlation(v, scaled)) < 0.999)
    }
    return keyed if len(keyed) > 1 else set()


def _correlation(a: Array, b: Array) -> float:
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.corrcoef(a, b)[0, 1])


def _worth_a_search(place: Place, v: Array) -> bool:
    """Whether random probes may have missed a side of the edge, or the edge itself."""
    if not np.isfinite(v).all():
        return False
    match place.kind:
        case Kind.STEEP:
            return bool((np.abs(v) > _STEEP_TAIL).mean() > 0.95)
        case Kind.POLE:
            return bool(v.min() <= 0 < v.max() or np.abs(v).min() < 0.05 * np.median(np.abs(v)))
        case Kind.EQUALITY:
            return True
    return bool(min((v > 0).mean(), (v <= 0).mean()) < _RARE)


class Search:
    """Search for the zeros of the quantities that decide at the sites of a loss, along lines through the start."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.sites = [s for s in sites(evaluator.graph) if s.kind in _KINDS]
        self._inside = Inside(evaluator, {n for s in self.sites for n in (s.left, s.right) if n is not None})
        ends = [_ends(d) for d in _DIRECTIONS]
        self.low, self.high = np.array([e[0] for e in ends]), np.array([e[1] for e in ends])

    def spreads(self, points: Points) -> dict[Place, Array]:
        """The quantity of each place at each of the points. Places whose quantity is constant are left out."""
        columns = self._inside.quantities_at(self.sites, points)
        return {
            Place(site, entry): q[:, entry]
            for site, q in zip(self.sites, columns, strict=True)
            for entry in range(q.shape[1])
            if np.ptp(q[:, entry]) != 0
        }

    def quantities(self, places: Sequence[Place], inputs: Array) -> list[Array]:
        """The quantities of these places at inputs of shape (items, 4), in one batch, at LINE_BETA."""
        needed = list(dict.fromkeys(p.site for p in places))
        columns = dict(zip(needed, self._inside.quantities(needed, inputs, LINE_BETA), strict=True))
        return [columns[p.site][:, min(p.entry, columns[p.site].shape[1] - 1)] for p in places]

    def edges(self, wanted: Sequence[Place]) -> list[tuple[Place, Array, Array]]:
        """For each place whose edge was found: the place, the shift from the start to it, and the direction."""
        if not wanted:
            return []
        lines = self._lines(wanted)
        return self._zoomed([line for line in lines if line is not None])

    def _lines(self, wanted: Sequence[Place]) -> list[tuple[Place, int] | None]:
        """For each place the first direction along which its quantity changes sign, else that with the smallest size; None if
        the quantity is constant along it."""
        steps = self.low[:, None] + _GRID * (self.high - self.low)[:, None]
        inputs = _START + steps[:, :, None] * _DIRECTIONS[:, None, :]
        lines: list[tuple[Place, int] | None] = []
        for place, q in zip(wanted, self.quantities(wanted, inputs.reshape(-1, 4)), strict=True):
            v = np.nan_to_num(q).reshape(len(_DIRECTIONS), -1)
            crosses = (v <= 0).any(axis=1) & (v > 0).any(axis=1)
            moves = np.ptp(v, axis=1) > 0
            nearest = np.where(moves, np.abs(v).min(axis=1), np.inf)
            chosen = int(crosses.argmax()) if crosses.any() else int(nearest.argmin())
            lines.append((place, chosen) if moves[chosen] else None)
        return lines

    def _zoomed(self, lines: Sequence[tuple[Place, int]]) -> list[tuple[Place, Array, Array]]:
        if not lines:
            return []
        which = np.array([d for _, d in lines])
        directions = _DIRECTIONS[which]
        low, high = self.low[which], self.high[which]
        for _ in range(_ROUNDS):
            t = low[:, None] + _GRID * (high - low)[:, None]
            v = self._on_lines(lines, t)
            low, high = np.array([_bracket(*row) for row in zip(t, v, strict=True)]).T
        t = _rounded((low + high) / 2, low, high)
        v = self._on_lines(lines, t)
        found = []
        for i, (place, _) in enumerate(lines):
            best = int(np.abs(v[i]).argmin())
            if np.abs(v[i, best]) <= 1e-6 * (1 + abs(place.site.offset)) or v[i].min() <= 0 < v[i].max():
                found.append((place, t[i, best] * directions[i], directions[i]))
        return found

    def _on_lines(self, lines: Sequence[tuple[Place, int]], t: Array) -> Array:
        """Each place's quantity on its own line, at the steps t of shape (lines, steps)."""
        inputs = _START + t[:, :, None] * _DIRECTIONS[[d for _, d in lines]][:, None, :]
        values = self.quantities([p for p, _ in lines], inputs.reshape(-1, 4))
        return np.asarray(np.nan_to_num(np.stack([v.reshape(t.shape)[i] for i, v in enumerate(values)])))


def _bracket(t: Array, v: Array) -> tuple[float, float]:
    """The steps around the first change of sign, or around the smallest size if the sign does not change."""
    change = np.flatnonzero((v[:-1] <= 0) != (v[1:] <= 0))
    if change.size:
        return float(t[change[0]]), float(t[change[0] + 1])
    nearest = int(np.abs(v).argmin())
    return float(t[max(nearest - 1, 0)]), float(t[min(nearest + 1, len(t) - 1)])


def _rounded(middle: Array, low: Array, high: Array) -> Array:
    """The zero as found, its neighbours, and round numbers nearby, since authors write conditions with round numbers."""
    candidates = [middle, low, high, middle.astype(np.float32).astype(float)]
    candidates += [np.round(middle, digits) for digits in (0, 1, 2, 3, 4, 6, 8)]
    candidates += [np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)]
    return np.stack(candidates, axis=1)


def _ends(direction: Array) -> tuple[float, float]:
    """The lowest and the highest step from the start along the direction that stay within the range."""
    pc, pr, rc, rr = _START
    moved = _START[direction > 0]
    down, up = LOWEST_LOGP - moved.min(), HIGHEST_LOGP - moved.max()
    limit = MAX_SCALED_MARGIN / LINE_BETA
    for ratio, change in (
        (pc - rc, direction[0] - direction[2]),
        (pr - rr, direction[1] - direction[3]),
        (pc - pr - rc + rr, direction[0] - direction[1] - direction[2] + direction[3]),
    ):
        if change:
            bounds = sorted(((-limit - ratio) / change, (limit - ratio) / change))
            down, up = max(down, bounds[0]), min(up, bounds[1])
    return float(down), float(up)


def _ladders(edge: _Edge, edges: Sequence[_Edge], *, alone: bool = True) -> Iterator[Array]:
    """Inputs (distances, 4) around an edge `alone`, and around it while slightly beyond each of the others."""
    beside = [np.zeros(4)] if alone else []
    for other in edges:
        if (other.direction != edge.direction).any() and other.place.kind is not Kind.POLE:
            beside += [other.shift + sign * _NUDGE * other.direction for sign in (-1, 0, 1)]
    for shift in beside:
        inputs = _START + shift + edge.shift + _OFFSETS[:, None] * edge.direction
        inside = _inside(inputs)
        if inside.sum() >= 5:
            yield inputs[inside]


def _inside(inputs: Array) -> Array:
    pc, pr, rc, rr = inputs.T
    limit = MAX_SCALED_MARGIN / LINE_BETA
    ratios = np.abs(np.stack([pc - rc, pr - rr, pc - rc - pr + rr])).max(axis=0)
    return np.asarray((ratios <= limit) & (inputs.min(axis=1) >= LOWEST_LOGP) & (inputs.max(axis=1) <= HIGHEST_LOGP))


def _as_points(ladders: Sequence[Array], beta: float) -> Points:
    """Each ladder as a batch."""
    inputs = np.concatenate(ladders)
    return Points(tuple(inputs.T.copy()), np.full((1, len(inputs)), beta), tuple(map(len, ladders)))


def _judged(seen: Evaluation, points: Points, describe: Describe) -> list[Finding]:
    for code, what, values in (("SBX304", "loss", seen.loss[None]), ("SBX305", "gradient", np.stack(seen.gradients))):
        bad = ~np.isfinite(values)
        if bad.any():
            side, item = (int(i) for i in np.argwhere(bad)[0])
            example = describe(points, item)
            place = f"at rho = {shown(example['rho'])}, beta = {shown(example['beta'])}"
            message = f"the {what} is {shown(values[side, item])} {place}, at the edge of a condition or a pole"
            return [numeric_finding(code, message, {what: values[side, item], **example})]
    return _spike(np.abs(np.stack(seen.gradients)).max(axis=0), points, describe)


def _spike(size: Array, points: Points, describe: Describe) -> list[Finding]:
    """A refusal if the gradient at an edge is far larger than on most of the ladder around it, and than usual. Not where log-ratios
    are large: losses that are exponential in them have such places, between the clamps that they need."""
    usual = float(np.median(size[size > 0])) if size.any() else 0.0
    pc, pr, rc, rr = points.tensors
    size = np.where(np.maximum(np.abs(pc - rc), np.abs(pr - rr)) <= _FAR, size, 0.0)
    for ladder in points.spans:
        item = ladder.start + int(size[ladder].argmax())
        beside = max(float(np.quantile(size[ladder], 0.25)), usual)
        if size[item] > LARGEST_SPIKE * beside:
            example = describe(points, item)
            place = f"at rho = {shown(example['rho'])}, beta = {shown(example['beta'])}, at the edge of a condition or a pole"
            message = f"the gradient is {shown(size[item])} {place}, and about {shown(beside)} nearby"
            return [numeric_finding("SBX313", message, {"gradient": size[item], "beside": beside, **example})]
    return []
