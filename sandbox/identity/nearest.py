"""The known loss that a loss equals, or is closest to, at usual inputs of training (torch).

The comparison uses the policy's gradients at fixed pairs with usual margins, in batches of several sizes, at the beta of the run,
and in float32 as in training.
The known loss may be taken at any multiple of beta between 1/32 and 32 and times any positive factor, because neither makes a
loss new. The result is information for readers. It is not safe against an author who knows these points; `compare.same_loss`
confirms duplicates at fresh points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import torch

from sandbox import known
from sandbox.execute.evaluate import Array, CannotCompute, Evaluator, Points
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.points.comparison import comparison_of
from sandbox.identity.relation import NEAR_WITHIN, SAME_WITHIN, Kind, Part, Relation
from sandbox.numeric.measure import inputs

_MULTIPLES = np.geomspace(1 / 32, 32, 41)
_ZOOMS = 3
_WORTH_A_ZOOM = 0.35
"""A known loss with a larger distance at the best multiple of the grid is not searched at multiples in between."""
_FLAT = 0.02
"""Share of the typical gradient. Smaller gradients count as this large, so that tails near zero do not dominate."""
_LEAST_SHARE = 0.02
"""Smallest share of a part in a blend's gradient."""


@dataclass(frozen=True, slots=True)
class _Fit:
    name: str
    factor: float
    multiple: float
    distance: float


@dataclass(frozen=True, eq=False)
class _Published:
    """A published loss and its gradients at every multiple of beta, one row each."""

    name: str
    evaluator: Evaluator
    multiples: Array
    gradients: Array


def nearest_known(graph: VerifiedGraph, beta: float | None = None) -> Relation | None:
    """Compare a loss with every published loss of its contract, at the task's `beta` (None: 0.1).

    None if nothing can be compared: the loss cannot be computed at the points or has no gradient, or no known loss can be fitted.
    """
    points = _points(graph.contract, beta or inputs.LINE_BETA)
    try:
        ours = _gradients(Evaluator(graph), points)
    except CannotCompute:
        return None
    typical = float(np.abs(ours[np.isfinite(ours)]).mean()) if np.isfinite(ours).any() else 0.0
    if typical == 0.0:
        return None
    published = _published(graph.contract, beta or inputs.LINE_BETA)
    fits = [fit for other in published if (fit := _fitted(other, ours, points, typical))]
    # A known loss that is another one at another beta is named as itself.
    best = min(
        fits,
        key=lambda f: (f.distance > SAME_WITHIN or (f.multiple, f.factor) != (1.0, 1.0), f.distance, f.name),
        default=None,
    )
    if best is not None and best.distance <= SAME_WITHIN:
        return Relation(_exactly(best), (Part(best.name, best.factor, best.multiple),), best.distance)
    blend = _blended(published, ours, typical)
    if blend is not None:
        return blend
    if best is None:
        return None
    kind = Kind.NEAR if best.distance <= NEAR_WITHIN else Kind.NEW
    return Relation(kind, (Part(best.name, best.factor, best.multiple),), best.distance)


def _exactly(fit: _Fit) -> Kind:
    if fit.multiple != 1.0:
        return Kind.REBETA
    return Kind.SAME if fit.factor == 1.0 else Kind.SCALED


def _fitted(other: _Published, ours: Array, points: Sequence[Points], typical: float) -> _Fit | None:
    """The known loss at the multiple of beta and with the factor that give the smallest distance."""
    name, multiples, theirs = other.name, other.multiples, other.gradients
    best: _Fit | None = None
    for zoom in range(1 + _ZOOMS):
        found = [
            _Fit(name, factor, float(multiple), gap)
            for multiple, gradients in zip(multiples, theirs, strict=True)
            if (factor := _factor(ours, gradients, typical)) is not None
            and (gap := _gap(ours, factor * gradients, typical)) is not None
        ]
        closest = _closest(found)
        if closest is not None and (best is None or closest.distance <= best.distance):
            best = closest
        if best is None or best.distance > _WORTH_A_ZOOM or len(multiples) == 1 or zoom == _ZOOMS:
            break
        step = float(multiples[1] / multiples[0])
        multiples = np.geomspace(best.multiple / step, best.multiple * step, len(_MULTIPLES))
        theirs = _at_multiples(other.evaluator, points, multiples)
    if best is not None and abs(best.multiple - 1) < 2e-3:
        best = _Fit(name, best.factor, 1.0, best.distance)
    if best is not None and abs(best.factor - 1) < 1e-3:
        best = _Fit(name, 1.0, best.multiple, best.distance)
    return best and _Fit(name, _tidy(best.factor), _tidy(best.multiple), best.distance)


def _closest(fits: Sequence[_Fit]) -> _Fit | None:
    """The fit with the smallest distance. Of equal ones that at the task's beta, else the middle one (a range of multiples has the
    same distance if a kink lies between two pairs)."""
    least = min((fit.distance for fit in fits), default=0.0)
    equal = sorted((fit for fit in fits if fit.distance <= least + 1e-9), key=lambda fit: fit.multiple)
    return next((fit for fit in equal if fit.multiple == 1.0), equal[len(equal) // 2] if equal else None)


def _blended(published: Sequence[_Published], ours: Array, typical: float) -> Relation | None:
    """The relation of a loss that is a sum of two known losses; None if it is not. Of several sums, that of the two least similar
    losses."""
    columns = {}
    for other in published:
        own = other.gradients[int(np.argmin(np.abs(np.log(other.multiples))))]
        if np.isfinite(own).all():
            columns[other.name] = own
    usable = np.isfinite(ours)
    weight = 1 / np.maximum(np.abs(ours[usable]), _FLAT * typical)
    best: tuple[float, Relation] | None = None
    for pair in combinations(sorted(columns), 2):
        basis = np.stack([columns[name][usable] for name in pair], axis=1) * weight[:, None]
        factors, *_ = np.linalg.lstsq(basis, ours[usable] * weight, rcond=None)
        sizes = np.abs(basis * factors).mean(axis=0)
        if factors.min() <= 0 or sizes.min() < _LEAST_SHARE * sizes.sum():
            continue
        made = sum(f * columns[name] for f, name in zip(factors, pair, strict=True))
        gap = _gap(ours, np.asarray(made), typical)
        alike = float(basis[:, 0] @ basis[:, 1] / np.linalg.norm(basis, axis=0).prod())
        if gap is not None and gap <= SAME_WITHIN and (best is None or alike < best[0]):
            parts = tuple(Part(name, _tidy(float(f))) for f, name in zip(factors, pair, strict=True))
            best = alike, Relation(Kind.BLEND, parts, gap)
    return best[1] if best else None


def _gap(ours: Array, theirs: Array, typical: float) -> float | None:
    """Mean over pairs and arguments of the gradients' difference, relative to the larger of the two. None if fewer than 90 % are
    finite."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    if both.mean() < 0.9:
        return None
    a, b = ours[both], theirs[both]
    return float((np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), _FLAT * typical)).mean())


def _factor(ours: Array, theirs: Array, typical: float) -> float | None:
    """The positive factor that brings `theirs` closest to `ours`; None if there is none."""
    usable = np.isfinite(ours) & np.isfinite(theirs) & (np.abs(ours) > _FLAT * typical) & (theirs != 0)
    if not usable.any():
        return None
    with np.errstate(all="ignore"):
        factor = float(np.median(ours[usable] / theirs[usable]))
    return factor if np.isfinite(factor) and factor > 0 else None


def _gradients(evaluator: Evaluator, points: Sequence[Points]) -> Array:
    return np.concatenate(
        [gradient.ravel() for p in points for gradient in evaluator(p, torch.float32).gradients]
    ).astype(float)


def _at_multiples(evaluator: Evaluator, points: Sequence[Points], multiples: Array) -> Array:
    """The gradients at every multiple of beta, one row each, computed in one call per entry of `points`."""
    if len(multiples) == 1:
        return _gradients(evaluator, points)[None]
    count, parts = len(multiples), []
    for p in points:
        tensors = tuple(np.tile(t, (count, *(1,) * (t.ndim - 1))) for t in p.tensors)
        scalars = np.concatenate([p.scalars * m for m in multiples], axis=1)
        found = evaluator(Points(tensors, scalars, p.sizes * count), torch.float32).gradients
        parts.append(np.concatenate([g.reshape(count, -1) for g in found], axis=1))
    return np.concatenate(parts, axis=1).astype(float)


@lru_cache(maxsize=4)
def _published(contract: str, beta: float) -> tuple[_Published, ...]:
    """All known losses of a contract at the fixed points, computed once for all losses of a run."""
    found, stretched = [], comparison_of(contract).pairs
    for name in known.names(contract):
        evaluator = Evaluator(known.graph(name))
        multiples = _MULTIPLES if stretched and "beta" in evaluator.graph.inputs else np.ones(1)
        found.append(
            _Published(name, evaluator, multiples, _at_multiples(evaluator, _points(contract, beta), multiples))
        )
    return tuple(found)


@lru_cache(maxsize=4)
def _points(contract: str, beta: float) -> tuple[Points, ...]:
    """Fixed points with usual inputs of training; each entry can be evaluated in one call."""
    return comparison_of(contract).published(beta)


def _tidy(value: float) -> float:
    return float(f"{value:.4g}")
