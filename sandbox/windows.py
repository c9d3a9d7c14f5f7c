"""Probing where a loss changes abruptly: both sides of every edge, the edge itself, and narrow windows (torch).

Random probes find wide regions. A `torch.where` that is keyed to one value of the reference, a product of two steps, or a
pole inside the range are found by looking for the zero of the quantity that decides (`sites`): along a few lines
through one pair, by zooming in. Around every edge found, and around every two edges together, the loss is probed on a
ladder of distances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sandbox import probes
from sandbox.evaluate import Array, Evaluation, Evaluator, Points
from sandbox.findings import numeric_finding, shown
from sandbox.inside import Inside
from sandbox.sites import Kind, Site, sites
from sandbox.verdict import Finding

RARE = 0.02
"""A side or a window that takes a smaller share of the probes is narrow. Well above what a lucky draw of two hundred probes
puts into a window of one nat."""
_LADDER = np.array([1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0])
_OFFSETS = np.concatenate([-_LADDER[::-1], [0.0], _LADDER])
"""Distances from an edge at which the loss is probed, nats."""
_GRID = np.linspace(0.0, 1.0, 33)
_ROUNDS = 9
"""Zooming in by 16 each time: 16^9 resolves a line through the range as finely as float64 does."""
_MOST = 16
"""Places that are searched, the most dangerous kinds first, out of those where random probes may have missed something."""
_NUDGE = 1e-3
_START = np.array([-120.0, -90.0, -110.0, -95.0])
"""The pair through which all lines go: whole numbers, so that float32 can hit an edge such as rho = 3 exactly."""
_DIRECTIONS = np.array(
    [[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=float
)
"""First those that keep the margin, since then nothing changes along the line but what the condition decides."""

Describe = Callable[[Points, int], dict[str, Any]]


_STEEP_TAIL = 15.0
"""Arguments beyond this are on the flat part of a step."""
_KINDS = (Kind.POLE, Kind.EQUALITY, Kind.BELOW, Kind.ABOVE, Kind.KINK, Kind.STEEP)
_CONDITIONS = (Kind.BELOW, Kind.ABOVE)


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of what a site decides by."""

    site: Site
    entry: int

    @property
    def kind(self) -> Kind:
        """The kind of the site."""
        return self.site.kind


@dataclass(frozen=True, eq=False)
class _Edge:
    """`shift`: from the start to the edge; `direction`: along which it was found; `spread`: the deciding quantity at the
    usual probes."""

    place: Place
    shift: Array
    direction: Array
    spread: Array


def find_windows(evaluator: Evaluator, points: Points, describe: Describe) -> list[Finding]:
    """Findings around the edges of the evaluator's graph: SBX304 and SBX305 at an edge, SBX327 for narrow windows.

    `points`: pairs spread over the range, which say what is common. Raises CannotCompute.
    """
    search = Search(evaluator)
    if not search.sites:
        return []
    spreads = search.spreads(points)
    meeting = _meeting(spreads, np.asarray(probes.margins(points) * points.scalars[0]))
    worth = [p for p, v in spreads.items() if p in meeting or _worth_a_search(p, v)]
    worth = sorted(worth, key=lambda p: _KINDS.index(p.kind))[:_MOST]
    edges = [_Edge(place, shift, direction, spreads[place]) for place, shift, direction in search.edges(worth)]
    ladders = list(_ladders(edges))
    if not ladders:
        return []
    return _first_of_each([f for ladder in _probed(evaluator, search, ladders) for f in _judged(ladder, describe)])


def _meeting(spreads: dict[Place, Array], scaled: Array) -> set[Place]:
    """Places which can make a narrow window between them, wide as each of them is: several comparisons, or several kinks
    that turn on something else than the margin. Hinges at different margins make no window."""
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
    """Whether probing at random may have missed a side of the edge, or what happens on it."""
    if not np.isfinite(v).all():
        return False
    match place.kind:
        case Kind.STEEP:
            return bool((np.abs(v) > _STEEP_TAIL).mean() > 0.95)
        case Kind.POLE:
            return bool(v.min() <= 0 < v.max() or np.abs(v).min() < 0.05 * np.median(np.abs(v)))
        case Kind.EQUALITY:
            return True
    return bool(min((v > 0).mean(), (v <= 0).mean()) < RARE)


class Search:
    """Looks for the zeros of what decides at a loss's sites, along lines through the start."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.sites = [s for s in sites(evaluator.graph) if s.kind in _KINDS]
        self._inside = Inside(evaluator, {n for s in self.sites for n in (s.left, s.right) if n is not None})
        ends = [_ends(d) for d in _DIRECTIONS]
        self.low, self.high = np.array([e[0] for e in ends]), np.array([e[1] for e in ends])

    def spreads(self, points: Points) -> dict[Place, Array]:
        """What is zero at each place's edge, at each of the points; places that do not follow the pairs are left out."""
        columns = self._inside.quantities_at(self.sites, points)
        return {
            Place(site, entry): q[:, entry]
            for site, q in zip(self.sites, columns, strict=True)
            for entry in range(q.shape[1])
            if np.ptp(q[:, entry]) != 0
        }

    def quantities(self, places: Sequence[Place], inputs: Array) -> list[Array]:
        """The same at inputs of shape (items, 4), in one batch, at the beta of the lines."""
        needed = list(dict.fromkeys(p.site for p in places))
        columns = dict(zip(needed, self._inside.quantities(needed, inputs, probes.LINE_BETA), strict=True))
        return [columns[p.site][:, min(p.entry, columns[p.site].shape[1] - 1)] for p in places]

    def edges(self, wanted: Sequence[Place]) -> list[tuple[Place, Array, Array]]:
        """For each place whose edge was found: the place, the way from the start to it, and the direction."""
        if not wanted:
            return []
        lines = self._lines(wanted)
        return self._zoomed([line for line in lines if line is not None])

    def _lines(self, wanted: Sequence[Place]) -> list[tuple[Place, int] | None]:
        """For each place the first direction along which its quantity changes sign, else the one that comes nearest to zero."""
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
    """The steps on either side of the first change of sign, or of the smallest size."""
    change = np.flatnonzero((v[:-1] <= 0) != (v[1:] <= 0))
    if change.size:
        return float(t[change[0]]), float(t[change[0] + 1])
    nearest = int(np.abs(v).argmin())
    return float(t[max(nearest - 1, 0)]), float(t[min(nearest + 1, len(t) - 1)])


def _rounded(middle: Array, low: Array, high: Array) -> Array:
    """The zero as found, its neighbours, and the round numbers nearby: conditions are written in round numbers."""
    candidates = [middle, low, high, middle.astype(np.float32).astype(float)]
    candidates += [np.round(middle, digits) for digits in (0, 1, 2, 3, 4, 6, 8)]
    candidates += [np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)]
    return np.stack(candidates, axis=1)


def _ends(direction: Array) -> tuple[float, float]:
    """How far one can go from the start, both ways, without leaving the range."""
    pc, pr, rc, rr = _START
    moved = _START[direction > 0]
    down, up = probes.LOWEST_LOGP - moved.min(), probes.HIGHEST_LOGP - moved.max()
    limit = probes.MAX_SCALED_MARGIN / probes.LINE_BETA
    for ratio, change in (
        (pc - rc, direction[0] - direction[2]),
        (pr - rr, direction[1] - direction[3]),
        (pc - pr - rc + rr, direction[0] - direction[1] - direction[2] + direction[3]),
    ):
        if change:
            bounds = sorted(((-limit - ratio) / change, (limit - ratio) / change))
            down, up = max(down, bounds[0]), min(up, bounds[1])
    return float(down), float(up)


def _pairs(inputs: Array) -> Points:
    """Pairs from inputs of shape (..., steps, 4), one batch for each run of steps."""
    flat = inputs.reshape(-1, 4)
    sizes = (inputs.shape[-2],) * (len(flat) // inputs.shape[-2])
    return Points(tuple(flat.T.copy()), np.full((1, len(flat)), probes.LINE_BETA), sizes)


@dataclass(frozen=True, eq=False)
class _Ladder:
    """Rungs around one edge, `inputs` (rungs, 4), and what was seen on them."""

    edge: _Edge
    inputs: Array
    offsets: Array
    single: Evaluation | None = None
    exact: Evaluation | None = None
    quantity: Array | None = None


def _ladders(edges: Sequence[_Edge]) -> Iterator[_Ladder]:
    """Ladders around every edge alone, and around every edge while a little beyond another one."""
    for edge in edges:
        beside = [np.zeros(4)]
        for other in edges:
            if (other.direction != edge.direction).any() and other.place.kind is not Kind.POLE:
                beside += [other.shift + sign * _NUDGE * other.direction for sign in (-1, 0, 1)]
        for shift in beside:
            inputs = _START + shift + edge.shift + _OFFSETS[:, None] * edge.direction
            inside = _inside(inputs)
            if inside.sum() >= 5:
                yield _Ladder(edge, inputs[inside], _OFFSETS[inside])


def _inside(inputs: Array) -> Array:
    pc, pr, rc, rr = inputs.T
    limit = probes.MAX_SCALED_MARGIN / probes.LINE_BETA
    ratios = np.abs(np.stack([pc - rc, pr - rr, pc - rc - pr + rr])).max(axis=0)
    return np.asarray(
        (ratios <= limit) & (inputs.min(axis=1) >= probes.LOWEST_LOGP) & (inputs.max(axis=1) <= probes.HIGHEST_LOGP)
    )


def _probed(evaluator: Evaluator, search: Search, ladders: Sequence[_Ladder]) -> Iterator[_Ladder]:
    """The ladders with what the loss does on them."""
    if not evaluator.pointwise:
        ladders = ladders[:_MOST]  # each takes a call of its own
    inputs = np.concatenate([ladder.inputs for ladder in ladders])
    sizes = tuple(len(ladder.inputs) for ladder in ladders)
    points = Points(tuple(inputs.T.copy()), np.full((1, len(inputs)), probes.LINE_BETA), sizes)
    rounded = Points(tuple(t.astype(np.float32).astype(float) for t in points.tensors), points.scalars, sizes)
    single, exact = evaluator(rounded, torch.float32), evaluator(points)
    places = list(dict.fromkeys(ladder.edge.place for ladder in ladders))
    quantities = dict(zip(places, search.quantities(places, inputs), strict=True))
    for ladder, span in zip(ladders, points.spans, strict=True):
        yield _Ladder(
            ladder.edge,
            ladder.inputs,
            ladder.offsets,
            _part(single, span),
            _part(exact, span),
            quantities[ladder.edge.place][span],
        )


def _part(seen: Evaluation, span: slice) -> Evaluation:
    return Evaluation(seen.loss[span], tuple(g[span] for g in seen.gradients), seen.connected)


def _judged(ladder: _Ladder, describe: Describe) -> list[Finding]:
    assert ladder.single is not None
    points = _pairs(ladder.inputs)
    for code, what, values in (
        ("SBX304", "loss", ladder.single.loss[None]),
        ("SBX305", "gradient", np.stack(ladder.single.gradients)),
    ):
        bad = ~np.isfinite(values)
        if bad.any():
            side, item = (int(i) for i in np.argwhere(bad)[0])
            example = describe(points, item)
            place = f"at rho = {shown(example['rho'])}, beta = {shown(example['beta'])}"
            message = f"the {what} is {shown(values[side, item])} {place}, at the edge of a condition or a pole"
            return [numeric_finding(code, message, {what: values[side, item], **example})]
    return _window(ladder, points, describe)


def _window(ladder: _Ladder, points: Points, describe: Describe) -> list[Finding]:
    """A stretch of the ladder on which the gradient is another one than on either side, or a side that is rare."""
    assert ladder.exact is not None and ladder.quantity is not None
    gradients, spread = np.stack(ladder.exact.gradients), ladder.edge.spread
    before, after = gradients[:, 0], gradients[:, -1]
    apart = _apart(gradients)
    step = float(np.abs(before - after).max())
    typical = float(np.abs(gradients).mean())
    if apart.max() > max(0.05 * typical, step):
        within = apart > 0.5 * apart.max()
    else:
        within = _rare_side(ladder.quantity, spread)
        if not within.any() or step <= 0.05 * typical:
            return []
    low, high = float(ladder.quantity[within].min()), float(ladder.quantity[within].max())
    share = float(((spread >= low) & (spread <= high)).mean())
    if share >= RARE or within.all():
        return []
    inside, outside = (int(np.flatnonzero(w)[w.sum() // 2]) for w in (within, ~within))
    example = describe(points, inside)
    side = int(np.abs(gradients[:, inside] - gradients[:, outside]).argmax())
    name = ("policy_chosen_logps", "policy_rejected_logps")[side]
    message = (
        f"the gradient of {name} is {shown(gradients[side, inside])} in a window that fewer than {RARE:.0%} of the probes "
        f"fall into, and {shown(gradients[side, outside])} beside it"
    )
    return [
        numeric_finding(
            "SBX327", message, {"inside": gradients[side, inside], "beside": gradients[side, outside], **example}
        )
    ]


def _apart(gradients: Array) -> Array:
    """By how much each rung lies outside of what is on either end of the ladder, in one direction; a single jump between
    slopes goes both ways."""
    before, after = gradients[:, :1], gradients[:, -1:]
    out = np.stack([gradients - np.maximum(before, after), np.minimum(before, after) - gradients]).clip(min=0.0)
    most = out.max(axis=2)  # (directions, sides)
    direction, side = np.unravel_index(int(most.argmax()), most.shape)
    if most[1 - direction, side] > 0.3 * most[direction, side]:
        return np.zeros(gradients.shape[1])
    return np.asarray(out[direction, side])


def _rare_side(quantity: Array, spread: Array) -> Array:
    """Which rungs of the ladder lie on a side of the edge that the probes hardly met."""
    above = float((spread > 0).mean())
    if above < RARE:
        return np.asarray(quantity > 0)
    return np.asarray(quantity <= 0) if above > 1 - RARE else np.zeros(len(quantity), dtype=bool)


def _first_of_each(findings: Sequence[Finding]) -> list[Finding]:
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.rule, finding)
    return list(first.values())
