"""Comparison of two losses at fresh points, which confirms that they are the same (torch).

Two losses are the same if the policy's gradients agree within the tolerance of `closeness`. So a constant or a function of the
reference that is added to a loss does not count. A kink or jump may be slightly displaced: if gradients differ at a point, they
are accepted if each loss reaches the other's gradient within a thousandth of a nat of that point. This does not apply to exact
ties of log-probabilities, because every training starts at one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import torch

from sandbox.execute.evaluate import Array, CannotCompute, Evaluator, Points
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.beta_scale import natural_beta
from sandbox.identity.canonical import canonical_hash
from sandbox.identity.closeness import find_duplicates, gaps, mean_size
from sandbox.identity.fingerprints import fingerprint
from sandbox.identity.points.comparison import Comparison, Region, comparison_of
from sandbox.identity.points.fresh_points import affordable
from sandbox.identity.sameness import TOLERANCE, Sameness
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.findings import shown

__all__ = ["TOLERANCE", "Sameness", "canonical_hash", "find_duplicates", "fingerprint", "same_loss"]

BESIDE = 1e-3
"""Largest distance between the kinks of two losses, nats; or a tenth of this number divided by beta, if that is larger."""
_ITEMS_AT_ONCE = 2**15
_MOST_DOUBTFUL = 512
"""Most points at which a displaced kink is searched. Losses that differ at more points are different. A sixteenth of it if each
point needs batches of its own."""
_SQUARES_AT_ONCE = 2**18
"""Largest sum of squared batch sizes in one call, for losses that may compare all pairs of a batch."""


def same_loss(a: VerifiedGraph, b: VerifiedGraph, *, seed: int | None = None) -> Sameness:
    """Compare the policy's gradients of two losses at fresh points. Without a seed the points follow from the two losses, so that
    the result is reproducible.
    """
    if a.contract != b.contract:
        return Sameness(False, None, message=f"one is a {a.contract} loss, the other a {b.contract} loss")
    seed = _seed_of(a, b) if seed is None else seed
    first, second = Evaluator(a), Evaluator(b)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of batches that are too small for a variance
            found = comparison_of(a.contract).regions(first, second, seed)
            difference, description = _largest_difference(_Side(first), _Side(second), found)
            if not description:
                return Sameness(True, "exact", difference=difference)
            return Sameness(False, *_up_to(first, second, found), **description, difference=difference)
    except CannotCompute as error:
        return Sameness(False, None, message=f"one of them cannot be computed: {error}", difference=math.inf)


def _seed_of(a: VerifiedGraph, b: VerifiedGraph) -> int:
    hashes = "".join(sorted((canonical_hash(a), canonical_hash(b))))
    return int.from_bytes(blake2b(hashes.encode(), digest_size=4).digest(), "big")


# ---- the comparison --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Side:
    """One of two losses, times `factor` and at `stretch` times beta."""

    evaluator: Evaluator
    factor: float = 1.0
    stretch: float = 1.0

    @property
    def comparison(self) -> Comparison:
        """How losses of its contract are compared."""
        return comparison_of(self.evaluator.graph.contract)

    def __call__(self, points: Points, dtype: torch.dtype = torch.float64) -> tuple[Array, Array]:
        """Losses (items,) and gradients (items, columns), with the arguments concatenated and missing classes filled with zeros."""
        if self.stretch != 1.0:
            points = Points(points.tensors, points.scalars * self.stretch, points.sizes)
        losses, rows = [], []
        for part in self._portions(points):
            seen = self.evaluator(part, dtype)
            flat = np.concatenate([g.reshape(len(part), -1) for g in seen.gradients], axis=1)
            if flat.shape[1] < self.comparison.columns:
                flat = np.pad(flat, ((0, 0), (0, self.comparison.columns - flat.shape[1])))
            losses.append(seen.loss)
            rows.append(flat)
        with np.errstate(all="ignore"):
            return np.concatenate(losses), self.factor * np.concatenate(rows)

    def _portions(self, points: Points) -> Iterator[Points]:
        """The batches in portions that fit into memory."""
        start, cost, sizes = 0, 0, list[int]()
        for size in points.sizes:
            own, most = (size, _ITEMS_AT_ONCE) if self.evaluator.pointwise else (size * size, _SQUARES_AT_ONCE)
            if sizes and cost + own > most:
                yield points.take(slice(start, start + sum(sizes)), sizes)
                start, cost, sizes = start + sum(sizes), 0, []
            cost += own
            sizes.append(size)
        yield points.take(slice(start, start + sum(sizes)), sizes)


@dataclass(frozen=True, eq=False)
class _Seen:
    """Evaluations of both losses at some points: losses (2, items), gradients (2, items, columns), typical sizes (items,), gaps
    (items, columns)."""

    contract: str
    points: Points
    losses: Array
    gradients: Array
    typical: Array
    gaps: Array


def _largest_difference(first: _Side, second: _Side, found: Sequence[Region]) -> tuple[float, dict[str, Any]]:
    """The largest difference, and its message and counterexample if it exceeds the tolerance. Stops at the first such region."""
    difference = 0.0
    for region in found:
        seen = _seen(first, second, region.points)
        worst = np.asarray(seen.gaps.max(axis=1))
        doubtful = np.flatnonzero(worst > TOLERANCE)
        if doubtful.size and not region.exact:
            worst[doubtful[_excused(first, second, seen, doubtful)]] = 0.0
        difference = max(difference, float(worst.max()))
        if difference > TOLERANCE:
            return difference, _description(seen, int(worst.argmax()))
        if region.trained and (description := _not_finite_in_training(first, second, region.points)):
            return math.inf, description
    return difference, {}


def _seen(first: _Side, second: _Side, points: Points) -> _Seen:
    both = [side(points) for side in (first, second)]
    losses, gradients = (np.stack([b[i] for b in both]) for i in (0, 1))
    comparison = first.comparison
    typical = _typical(gradients, points, comparison.ordinary(points))
    gap = gaps(gradients[0], gradients[1], typical[:, None])
    finite = np.isfinite(losses)
    gap[finite[0] != finite[1]] = np.inf
    return _Seen(first.evaluator.graph.contract, points, losses, gradients, typical, gap)


def _typical(gradients: Array, points: Points, ordinary: Array) -> Array:
    """The typical size at each item: the mean over the `ordinary` items of its batch, for the loss with the larger mean. It is at
    least a thousandth of that of any other batch at this beta, since the gradient may be zero in a whole batch of ties."""
    near, whole = (_batch_means(gradients, points, which) for which in (ordinary, np.ones(len(points), dtype=bool)))
    sizes = np.where(near > 1e-9 * whole, near, whole)
    if len(points.scalars):
        _, beta = np.unique(points.rows[0], return_inverse=True)
        largest = np.zeros(len(sizes))
        np.maximum.at(largest, beta, sizes)
        sizes = np.maximum(sizes, 1e-3 * largest[beta])
    return np.repeat(np.maximum(sizes, 1e-12 * sizes.max()), points.sizes)


def _batch_means(gradients: Array, points: Points, which: Array) -> Array:
    """The mean absolute finite gradient of the items `which` in each batch, for the loss with the larger mean; 0 if none."""
    usable = np.isfinite(gradients) & which[:, None]
    starts = [span.start for span in points.spans]
    totals, counts = (
        np.add.reduceat(values.sum(axis=2), starts, axis=1)
        for values in (np.where(usable, np.abs(gradients), 0.0), usable.astype(float))
    )
    return np.asarray((totals / np.maximum(counts, 1)).max(axis=0))


def _not_finite_in_training(first: _Side, second: _Side, points: Points) -> dict[str, Any]:
    """Message and counterexample if one loss is finite in float32 and the other is not; empty if there is no such point."""
    both = [side(points, torch.float32) for side in (first, second)]
    losses, gradients = (np.stack([b[i] for b in both]) for i in (0, 1))
    apart = np.isfinite(gradients[0]) != np.isfinite(gradients[1])
    apart |= (np.isfinite(losses[0]) != np.isfinite(losses[1]))[:, None]
    if not apart.any():
        return {}
    contract = first.evaluator.graph.contract
    seen = _Seen(contract, points, losses, gradients, np.ones(len(points)), apart.astype(float))
    return _description(seen, int(apart.any(axis=1).argmax()), " in float32")


# ---- kinks that lie a little elsewhere -------------------------------------------------------------------------------

_STEPS = np.concatenate(
    [np.zeros((1, 4)), np.eye(4), -np.eye(4), [[1, 0, 1, 0], [0, 1, 0, 1], [-1, 0, -1, 0], [0, -1, 0, -1]]]
)
"""How a pair is moved: not at all; each log-probability alone; policy and reference together, which keeps the log-ratio."""


def _excused(first: _Side, second: _Side, seen: _Seen, doubtful: Array) -> Array:
    """Which of the doubtful items differ only because a kink or jump is slightly displaced: each loss's gradient lies within the
    range of the other's gradients close by."""
    points = seen.points
    excused = np.zeros(len(doubtful), dtype=bool)
    pointwise = first.evaluator.pointwise and second.evaluator.pointwise
    affords = 1 + affordable(first.evaluator, second.evaluator) // len(_STEPS)
    most = _MOST_DOUBTFUL if pointwise else min(_MOST_DOUBTFUL // 16, affords)
    if not first.comparison.pairs or len(doubtful) > most:
        return excused
    finite = np.isfinite(seen.gradients[:, doubtful]).all(axis=(0, 2)) & np.isfinite(seen.losses[:, doubtful]).all(
        axis=0
    )
    chosen = doubtful[finite]
    if chosen.size:
        given = seen.gradients[:, chosen]
        slack = TOLERANCE * np.maximum(np.abs(given).max(axis=0), seen.typical[chosen][:, None])
        passed = [
            (mine >= near.min(axis=1) - slack) & (mine <= near.max(axis=1) + slack)
            for mine, near in zip(given, (_around(side, points, chosen) for side in (second, first)), strict=True)
        ]
        excused[finite] = (passed[0] & passed[1]).all(axis=1)
    return excused


def _around(side: _Side, points: Points, items: Array) -> Array:
    """The gradients at the items, in their batches, moved by each of the steps: (items, steps, columns)."""
    reach = np.maximum(BESIDE, 0.1 * BESIDE / points.scalars[0, items])
    moved = [
        np.minimum(t[items, None] + reach[:, None] * move, 0.0)
        for t, move in zip(points.tensors, _STEPS.T, strict=True)
    ]
    if side.evaluator.pointwise:
        scalars = np.repeat(points.scalars[:, items], len(_STEPS), axis=1)
        alone = Points(tuple(m.ravel() for m in moved), scalars, (1,) * scalars.shape[1])
        gradients = side(alone)[1]
    else:
        gradients = np.concatenate(
            [_among_others(side, points, item, [m[i] for m in moved]) for i, item in enumerate(items)]
        )
    return np.asarray(gradients.reshape(len(items), len(_STEPS), -1))


def _among_others(side: _Side, points: Points, item: int, moved: Sequence[Array]) -> Array:
    """The gradients at one item of a batch, moved by each of the steps."""
    span = next(span for span in points.spans if span.start <= item < span.stop)
    size = span.stop - span.start
    own = item - span.start + size * np.arange(len(_STEPS))
    tensors = tuple(np.tile(t[span], len(_STEPS)) for t in points.tensors)
    for t, values in zip(tensors, moved, strict=True):
        t[own] = values
    copies = Points(tensors, np.tile(points.scalars[:, span], len(_STEPS)), (size,) * len(_STEPS))
    return np.asarray(side(copies)[1][own])


# ---- up to a factor, or another beta ---------------------------------------------------------------------------------

_UpTo = tuple[Literal["scale", "beta"] | None, float, float]


def _up_to(first: Evaluator, second: Evaluator, found: Sequence[Region]) -> _UpTo:
    """The transformation under which both are the same ("scale", "beta" or None), and its factors of loss and beta."""
    usual = found[1].points
    factor = _factor(_Side(first), _Side(second), usual)
    if factor is not None and not _largest_difference(_Side(first), _Side(second, factor), found)[1]:
        return "scale", factor, 1.0
    betas = (natural_beta(first), natural_beta(second))
    if betas[0] is None or betas[1] is None:
        return None, 1.0, 1.0
    stretch = betas[1] / betas[0]
    factor = _factor(_Side(first), _Side(second, stretch=stretch), usual)
    if factor is not None and not _largest_difference(_Side(first), _Side(second, factor, stretch), found)[1]:
        return "beta", _tidy(factor), _tidy(stretch)
    return None, 1.0, 1.0


def _factor(first: _Side, second: _Side, points: Points) -> float | None:
    """The positive factor by which the second must be multiplied to give the first; None if there is none."""
    mine, theirs = (side(points)[1][side.comparison.ordinary(points)] for side in (first, second))
    usable = np.isfinite(mine) & np.isfinite(theirs) & (np.abs(theirs) > 1e-3 * mean_size(theirs))
    if not usable.any():
        return None
    factor = float(np.median(mine[usable] / theirs[usable]))
    return factor if factor > 0 and np.isfinite(factor) else None


# ---- messages --------------------------------------------------------------------------------------------------------


def _description(seen: _Seen, item: int, precision: str = "") -> dict[str, Any]:
    """The point at which the two differ, as a message and a counterexample."""
    inputs, column = inputs_of(seen.contract), int(seen.gaps[item].argmax())
    example, of = inputs.example(seen.points, item), inputs.columns(seen.points)[column]
    values = [float(g[item, column]) for g in seen.gradients]
    what = f"the gradient of {of}"
    if bool(np.isfinite(seen.losses[0, item])) != bool(np.isfinite(seen.losses[1, item])):
        values, what, of = [float(v[item]) for v in seen.losses], "the loss", "loss"
    message = (
        f"{what} is {shown(values[0])} for one and {shown(values[1])} for the other {inputs.where(example)}{precision}"
    )
    plain = {name: v if np.isfinite(v) else shown(v) for name, v in zip("ab", values, strict=True)}
    return {"message": message, "counterexample": {"of": of, **plain, **example}}


def _tidy(value: float) -> float:
    return float(f"{value:.7g}")
