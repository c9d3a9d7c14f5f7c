"""Fingerprints of losses: the policy's gradients at fixed points, which do not depend on how a loss is written (torch).

The gradients are computed in float64 at several betas and batch sizes, with tails up to |beta rho| = 28, and at the start, where
the policy equals its reference. The points are part of the format: `VERSION` changes with them. An author can know these points,
so equal fingerprints only propose that two losses are the same, and `compare.same_loss` confirms it at fresh points.

Keys are buckets. Gradients are divided by their typical size, compressed, projected on fixed random directions, and rounded. The
rounding steps are far above rounding errors (1e-9 between softplus and log1p(exp)) and far below any relevant difference (label
smoothing of 1 % changes the projections by 1e-3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b

import numpy as np

from sandbox.execute.evaluate import Array, Evaluation, Evaluator, Points, joined
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.beta_scale import natural_beta
from sandbox.identity.points.comparison import comparison_of
from sandbox.numeric.measure import inputs
from sandbox.verdicts.verdict import Fingerprint

VERSION = "f1"
STEP = 2e-5
BETA_STEP = 2e-4
"""Coarser, because the natural beta has an error of about 1e-9."""
_DIRECTIONS = 8
_LARGEST = 1e300


def fingerprint(graph: VerifiedGraph) -> Fingerprint:
    """The fingerprint of a verified graph. Raises GraphError, and CannotCompute where an operation fails."""
    return fingerprint_of(Evaluator.of(graph))


def fingerprint_of(evaluator: Evaluator, seen: Sequence[Evaluation] = ()) -> Fingerprint:
    """The fingerprint of the evaluator's graph; `seen` are its evaluations at `fingerprint_points`, if there are any already.

    Raises CannotCompute.
    """
    contract = evaluator.graph.contract
    comparison, points = comparison_of(contract), fingerprint_points(contract)
    gradients = _vector(seen or [evaluator(p) for p in points])
    size = _size(gradients, np.concatenate([comparison.distances(p) for p in points]))
    shape = _buckets(_relative(gradients, size), STEP)
    return Fingerprint(
        key=_digest(contract, "k", [_bucket(math.log(size), STEP), *shape]),
        scale_key=_digest(contract, "s", shape),
        beta_key=_beta_key(evaluator, shape),
        vector=tuple(float(f"{g:.10g}") for g in gradients),
    )


def gradient_vector(evaluator: Evaluator, points: Sequence[Points]) -> Array:
    """All gradients to the policy at all points, in one vector. NaN becomes 0, and values are clipped to +-1e300."""
    return _vector([evaluator(p) for p in points])


def _vector(seen: Sequence[Evaluation]) -> Array:
    parts = [gradient.ravel() for evaluation in seen for gradient in evaluation.gradients]
    return np.asarray(np.clip(np.nan_to_num(np.concatenate(parts), nan=0.0), -_LARGEST, _LARGEST))


@cache
def fingerprint_points(contract: str) -> tuple[Points, ...]:
    """The fixed points of a contract; each entry can be evaluated in one call."""
    return comparison_of(contract).fingerprinted()


def _beta_key(evaluator: Evaluator, shape: list[int]) -> str:
    """The key from gradients at multiples of the natural beta, or from `shape` if the loss has no natural beta."""
    contract = evaluator.graph.contract
    beta = natural_beta(evaluator)
    if beta is None:
        return _digest(contract, "b", shape)
    points = _natural_points().at(beta * np.array([[0.2, 1.0, 5.0]]))
    gradients = gradient_vector(evaluator, [points])
    # Distances in units of the natural beta, at which DPO's |beta rho| is 1.5 for the widest margins.
    distance = comparison_of(contract).distances(points) / beta * 0.02
    return _digest(contract, "b", _buckets(_relative(gradients, _size(gradients, distance)), BETA_STEP))


@cache
def _natural_points() -> Points:
    """Three batches, for three multiples of a natural beta."""
    rng = np.random.default_rng(20240613)
    parts = []
    for _ in range(3):
        rho = rng.normal(0, 20, 6)
        chosen, rejected = rho * 0.5 + rng.normal(0, 5, 6), -rho * 0.5
        parts.append(inputs.margin_points(chosen, rejected, np.full((2, 6), 100.0), 1.0))
    return joined(parts)


def _size(gradients: Array, distance: Array) -> float:
    """Typical size of the gradient near the start, or further out if the loss is flat there.

    It is a mean over fixed points, because a median of the nonzero gradients would change with rounding errors in the tails.
    """
    near = (gradients[distance <= reach] for reach in (3.0, 8.0, np.inf))
    sizes = [float(np.abs(part).mean()) if part.size else 0.0 for part in near]
    if sizes[0] > 1e-9 * sizes[1]:
        return sizes[0]
    return sizes[1] or sizes[2] or 1.0


def _relative(gradients: Array, size: float) -> Array:
    with np.errstate(over="ignore"):  # a quotient by a tiny size overflows
        return np.asarray(np.clip(gradients / size, -_LARGEST, _LARGEST))


@cache
def _directions(length: int) -> Array:
    return np.random.default_rng(20240614).normal(0, length**-0.5, (_DIRECTIONS, length))


def _buckets(gradients: Array, step: float) -> list[int]:
    compressed = np.arcsinh(gradients)
    return [_bucket(float(s), step) for s in _directions(len(gradients)) @ compressed]


def _bucket(value: float, step: float) -> int:
    # The offset keeps round values, which losses such as the hinge have, away from the edges of buckets.
    return math.floor(value / step + 0.3819660113)


def _digest(contract: str, kind: str, buckets: Sequence[int]) -> str:
    text = ",".join(map(str, (contract, kind, *buckets)))
    return f"{VERSION}:{blake2b(text.encode(), digest_size=12).hexdigest()}"
