"""When two losses are one (torch): canonical hash, fingerprint, and the comparison on fresh probes that confirms a merge.

What counts is the policy's gradient. A constant or a function of the reference added to a loss changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from sandbox import probes
from sandbox.beta_scale import natural_beta
from sandbox.canonical import canonical_hash
from sandbox.counterexamples import example as describe_pair
from sandbox.evaluate import Array, CannotCompute, Evaluator, Points, joined
from sandbox.findings import shown
from sandbox.fingerprints import fingerprint, start_points
from sandbox.graph import LossGraph
from sandbox.verdict import Fingerprint

__all__ = ["Sameness", "canonical_hash", "find_duplicate", "fingerprint", "same_loss"]

RTOL = 1e-6
ATOL = 1e-8
"""Relative to the typical gradient."""


@dataclass(frozen=True, slots=True)
class Sameness:
    """How two losses a and b compare. `same`: training cannot tell them apart.

    `up_to` says what has to be divided out: "exact" nothing, "scale" a positive factor (a = factor * b), "beta" a rescaled
    beta and perhaps a factor (a at beta = factor * b at beta_factor * beta), None where they are different functions.
    Unless exact, `counterexample` is the probe where they part most clearly and `message` says it in words.
    """

    same: bool
    up_to: Literal["exact", "scale", "beta"] | None
    factor: float = 1.0
    beta_factor: float = 1.0
    message: str = ""
    counterexample: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def same_loss(a: LossGraph, b: LossGraph, *, seed: int | None = None) -> Sameness:
    """Compare the policy's gradients of two losses on probes drawn afresh, from the operating system without a seed.

    Raises GraphError for a graph that does not verify.
    """
    if a.contract != b.contract:
        return Sameness(False, None, message=f"one is a {a.contract} loss, the other a {b.contract} loss")
    seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
    first, second = Evaluator(a), Evaluator(b)
    points = _fresh_points(a.contract, seed)
    try:
        return _compared(first, second, points)
    except CannotCompute as error:
        return Sameness(False, None, message=f"one of them cannot be computed: {error}")


def find_duplicate(fingerprint: Fingerprint, others: Sequence[Fingerprint]) -> int | None:
    """The index of the first of `others` with the same gradients up to rounding, or None. Looks at vectors, not at keys,
    so a bucket's edge cannot hide a duplicate."""
    mine = np.asarray(fingerprint.vector)
    fitting = [i for i, o in enumerate(others) if len(o.vector) == len(mine)]
    if not fitting:
        return None
    theirs = np.array([others[i].vector for i in fitting])
    close = _close(mine, theirs, _typical(mine)).all(axis=1)
    return fitting[int(close.argmax())] if close.any() else None


def _compared(first: Evaluator, second: Evaluator, points: Sequence[Points]) -> Sameness:
    a, b = _gradients(first, points), _gradients(second, points)
    if _agree(a, b):
        return Sameness(True, "exact")
    parting = _parting(a, b, points)
    factor = _factor(a, b)
    if factor is not None and _agree(a, factor * b):
        return Sameness(False, "scale", factor, **parting)
    betas = (natural_beta(first), natural_beta(second))
    if betas[0] is not None and betas[1] is not None:
        stretch = betas[1] / betas[0]
        moved = [Points(p.tensors, p.scalars * stretch, p.sizes) for p in points]
        b = _gradients(second, moved)
        factor = _factor(a, b)
        if factor is not None and _agree(a, factor * b, slack=10.0):
            return Sameness(False, "beta", _tidy(factor), _tidy(stretch), **parting)
    return Sameness(False, None, **parting)


def _fresh_points(contract: str, seed: int) -> list[Points]:
    if contract != "preference":
        groups = ("near", "wide", "odd", "pair")
        return [joined([probes.classification_probes(seed, c).groups[g] for g in groups]) for c in probes.CLASS_COUNTS]
    # Exact ties come from `start_points` alone: elsewhere the order of the arithmetic decides on which side they fall.
    set_ = probes.preference_probes(seed)
    spread = [_without_ties(set_.groups[g]) for g in ("near", "wide", "far", "sharp", "pair", "odd", "short", "long")]
    return [joined([start_points(), *spread])]


def _without_ties(points: Points) -> Points:
    apart = np.abs(probes.margins(points)) > 1e-3
    return points.take(np.flatnonzero(apart))


def _gradients(evaluator: Evaluator, points: Sequence[Points]) -> Array:
    """All gradients as one row per item, the arguments side by side; classes beyond a problem's own are zero."""
    rows = []
    for p in points:
        flat = np.concatenate([g.reshape(len(p), -1) for g in evaluator(p).gradients], axis=1)
        rows.append(np.pad(flat, ((0, 0), (0, max(0, max(probes.CLASS_COUNTS) - flat.shape[1])))))
    return np.concatenate(rows)


def _agree(a: Array, b: Array, slack: float = 1.0) -> bool:
    finite = np.isfinite(a) & np.isfinite(b)
    return bool(finite.any()) and bool(_close(a[finite], b[finite], _typical(a[finite]), slack).all())


def _close(a: Array, b: Array, typical: float, slack: float = 1.0) -> Array:
    return np.asarray(np.abs(a - b) <= slack * (RTOL * (np.abs(a) + np.abs(b)) + ATOL * typical))


def _typical(gradients: Array) -> float:
    sizes = np.abs(gradients[np.isfinite(gradients) & (gradients != 0)])
    return float(np.median(sizes)) if sizes.size else 0.0


def _factor(a: Array, b: Array) -> float | None:
    """The positive number by which b must be multiplied to give a, if there is one."""
    usable = np.isfinite(a) & np.isfinite(b) & (np.abs(b) > 1e-3 * _typical(b))
    if not usable.any():
        return None
    factor = float(np.median(a[usable] / b[usable]))
    return factor if factor > 0 and np.isfinite(factor) else None


def _parting(a: Array, b: Array, points: Sequence[Points]) -> dict[str, Any]:
    """Where the two differ most clearly, relative to their size there."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b) / (np.abs(a) + np.abs(b) + 1e-3 * (_typical(a) + _typical(b)) + 1e-300)
    item, column = np.unravel_index(int(np.nan_to_num(gap, nan=-1.0).argmax()), gap.shape)
    start = 0
    for p in points:
        if item < start + len(p):
            break
        start += len(p)
    values = float(a[item, column]), float(b[item, column])
    if len(p.tensors) == 4:
        example = describe_pair(p, int(item) - start)
        of = ("policy_chosen_logps", "policy_rejected_logps")[int(column)]
        place = f"rho = {shown(example['rho'])}, beta = {shown(example['beta'])}"
    else:
        logits, targets = p.tensors
        example = {"logits": [float(v) for v in logits[item - start]], "target": int(targets[item - start])}
        of, place = f"logits[{column}]", f"target = {example['target']}"
    message = f"the gradient of {of} is {shown(values[0])} for one and {shown(values[1])} for the other at {place}"
    plain = {name: v if np.isfinite(v) else shown(v) for name, v in zip("ab", values, strict=True)}
    return {"message": message, "counterexample": {"of": of, **plain, **example}}


def _tidy(value: float) -> float:
    return float(f"{value:.7g}")
