"""The point at which a loss was seen to misbehave, in numbers and in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from sandbox.contracts.contract import CLASSIFICATION, PREFERENCE, Contract
from sandbox.execute.evaluate import Array, Points
from sandbox.numeric.measure import inputs as probes
from sandbox.numeric.measure.findings import shown


def contract_of(points: Points) -> Contract:
    """The contract whose inputs these points are: a preference loss takes beta, a classification loss no number at all."""
    return PREFERENCE if len(points.scalars) else CLASSIFICATION


def example(points: Points, item: int) -> dict[str, Any]:
    """One item in numbers: its inputs, for a pair its margin too, and the size of its batch."""
    if contract_of(points) is PREFERENCE:
        inputs = {a.name: float(t[item]) for a, t in zip(PREFERENCE.tensors, points.tensors, strict=True)}
        one: dict[str, Any] = {
            "rho": float(probes.margins(points)[item]),
            "beta": float(points.scalars[0, item]),
            **inputs,
        }
    else:
        logits, targets = points.tensors
        one = {"logits": [float(v) for v in logits[item]], "target": int(targets[item])}
    return {**one, "batch": next(s.stop - s.start for s in points.spans if s.start <= item < s.stop)}


def where(example: dict[str, Any]) -> str:
    """The place of an example: "at rho = 3, beta = 0.1", or the logits and the target."""
    if "rho" in example:
        return f"at rho = {shown(example['rho'])}, beta = {shown(example['beta'])}"
    scores = ", ".join(shown(v) for v in example["logits"])
    return f"at logits = [{scores}], target = {example['target']}"


def distance(points: Points) -> Array:
    """How far from the start of training each item lies: |beta rho|, or its largest score."""
    if contract_of(points) is PREFERENCE:
        return np.asarray(np.abs(probes.margins(points) * points.scalars[0]))
    return np.asarray(np.abs(points.tensors[0]).max(axis=1))


def mildest(points: Points, offending: Array) -> int:
    """The offending item that is nearest to the start, so that the example is the least far-fetched."""
    return int(np.where(offending, distance(points), np.inf).argmin())
