"""The fingerprint of a loss, or a refusal if its gradients are not finite at the fingerprint's points (torch).

These points are fixed and lie within the range in which a loss must be finite. See docs/notes/numbers.md.
"""

from __future__ import annotations

import warnings

import numpy as np

from sandbox.execute.evaluate import CannotCompute, Evaluation, Evaluator, Points
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.fingerprints import fingerprint_of, fingerprint_points
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.verdicts.verdict import Finding, Fingerprint

LARGEST = float(np.finfo(np.float32).max)
"""Losses are trained in float32, in which larger values are infinite."""


def identified(graph: VerifiedGraph) -> Fingerprint | Finding:
    """The fingerprint of a verified graph, or why it has none: SBX305 with the point, SBX301 where it cannot be computed."""
    evaluator = Evaluator.of(graph)
    fixed = fingerprint_points(graph.contract)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of things that are findings here
            seen = [evaluator(points) for points in fixed]
            for points, evaluation in zip(fixed, seen, strict=True):
                if found := _not_finite(graph.contract, points, evaluation):
                    return found
            return fingerprint_of(evaluator, seen)
    except CannotCompute as error:
        return numeric_finding("SBX301", f"the loss cannot be computed: {error}")


def _not_finite(contract: str, points: Points, evaluation: Evaluation) -> Finding | None:
    """A finding on a gradient that float32 cannot hold, at the point closest to the start that has one; None if all are fine."""
    inputs = inputs_of(contract)
    names = [a.name for a in inputs.contract.tensors if a.learns]
    gradients = [g.reshape(len(points), -1) for g in evaluation.gradients]
    bad = np.stack([(~(np.abs(g) <= LARGEST)).any(axis=1) for g in gradients])  # true for NaN too
    if not bad.any():
        return None
    item = inputs.mildest(points, bad.any(axis=0))
    side = next(side for side, found in enumerate(bad) if found[item])
    value = next(float(v) for v in gradients[side][item] if not abs(v) <= LARGEST)
    said = f"{shown(value)}, which float32 cannot hold," if np.isfinite(value) else shown(value)
    one = inputs.example(points, item)
    message = f"the gradient of {names[side]} is {said} {inputs.where(one)}"
    return numeric_finding("SBX305", message, {"gradient": value, "of": names[side], **one})
