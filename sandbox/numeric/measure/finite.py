"""The check that a measurement is finite, made before any number is used as a slope, a sign or a zero (torch)."""

from __future__ import annotations

import numpy as np
import torch

from sandbox.execute.evaluate import Array, Evaluation, Evaluator, Points
from sandbox.numeric.measure.contract_inputs import Inputs, inputs_of
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.verdicts.verdict import Finding


class NotFinite(Exception):
    """A loss or gradient is NaN or infinite where it must be finite. `finding` has the value and the inputs."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def finite(evaluator: Evaluator, points: Points, dtype: torch.dtype = torch.float64) -> Evaluation:
    """Loss and gradients at `points`, all of them finite. Raises NotFinite and CannotCompute."""
    seen = evaluator(points, dtype)
    require_finite(evaluator.graph.contract, points, seen, dtype)
    return seen


def require_finite(contract: str, points: Points, seen: Evaluation, dtype: torch.dtype) -> None:
    """Raise NotFinite unless the loss and all gradients in `seen`, an evaluation at `points`, are finite."""
    if not all(np.isfinite(values).all() for values in (seen.loss, *seen.gradients)):
        raise NotFinite(_finding(inputs_of(contract), points, seen, " in float64" if dtype is torch.float64 else ""))


def _finding(inputs: Inputs, points: Points, seen: Evaluation, precision: str) -> Finding:
    bad = ~np.isfinite(seen.loss)
    if bad.any():
        item = inputs.mildest(points, bad)
        one, value = inputs.example(points, item), seen.loss[item]
        message = f"the loss is {shown(value)}{precision} {inputs.where(one)}"
        return numeric_finding("SBX304", message, {"loss": value, **one})
    rows = [_per_item(gradient) for gradient in seen.gradients]
    item = inputs.mildest(points, ~np.isfinite(np.concatenate(rows, axis=1)).all(axis=1))
    names = [a.name for a in inputs.contract.tensors if a.learns]
    name, row = next((n, r[item]) for n, r in zip(names, rows, strict=True) if not np.isfinite(r[item]).all())
    one, value = inputs.example(points, item), row[~np.isfinite(row)][0]
    message = f"the gradient of {name} is {shown(value)}{precision} {inputs.where(one)}"
    return numeric_finding("SBX305", message, {"gradient": value, "of": name, **one})


def _per_item(gradient: Array) -> Array:
    return gradient.reshape(len(gradient), -1)
