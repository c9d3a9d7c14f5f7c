"""Measurements of one graph on its probes, taken once and read by the numeric tests and the descriptors (torch)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sandbox.evaluate import Array, Evaluation, Evaluator
from sandbox.probes import ProbeSet


@dataclass(frozen=True, eq=False)
class Measured:
    """An evaluation over a probe set, group by group."""

    probes: ProbeSet
    evaluation: Evaluation

    def loss(self, group: str) -> Array:
        """The losses of a group's items."""
        return self.evaluation.loss[self.probes.items[group]]

    def gradient(self, group: str) -> Array:
        """The gradients of a group's items, one row per learning argument: (arguments, items, ...)."""
        return self.gradients[:, self.probes.items[group]]

    @cached_property
    def gradients(self) -> Array:
        """The gradients of all items, one row per learning argument."""
        return np.stack(self.evaluation.gradients)


@dataclass(frozen=True, eq=False)
class Measurements:
    """What the numeric tests look at: `exact` in float64 for the loss's structure and shape, `single` in float32 over the
    range in which it must be finite. `coupled`: the items were seen to influence each other; `proven`: they provably do not."""

    exact: Measured
    single: Measured
    coupled: bool
    proven: bool

    @property
    def coupling(self) -> str:
        """What is known of a loss that is not proven to look at one item at a time, in words."""
        size = len(self.exact.probes.groups["near"])
        if self.coupled:
            return f"changes with the other items of its batch (seen at {size} items)"
        return "cannot be shown not to change with the other items or the size of its batch"

    @cached_property
    def scale(self) -> float:
        """Typical size of the gradient near the start, and of the largest one where that is zero."""
        near = np.abs(self.exact.gradient("near"))
        return float(np.median(near[near > 0])) if (near > 0).any() else float(np.abs(self.exact.gradients).max())


COUPLING_ONLY = ("permuted", "mixed", "tight", "tight_mixed")
"""Groups that tell nothing of a loss which provably looks at one item at a time."""


def measure(evaluator: Evaluator, probes: ProbeSet, exact: tuple[str, ...], single: tuple[str, ...]) -> Measurements:
    """Evaluate the named groups in float64 and in float32. Raises CannotCompute."""
    if evaluator.pointwise:
        exact = tuple(n for n in exact if n not in COUPLING_ONLY)
    in_double, in_single = probes.only(exact), probes.only(single)
    double = Measured(in_double, evaluator(in_double.points))
    return Measurements(
        double,
        Measured(in_single, evaluator(in_single.points, torch.float32)),
        not evaluator.pointwise and _coupled(double),
        evaluator.pointwise,
    )


def _coupled(measured: Measured) -> bool:
    """Whether replacing half of a batch changes the gradients of the other half."""
    for whole, mixed in (("near", "mixed"), ("tight", "tight_mixed")):
        if mixed in measured.probes.items:
            before, after = measured.gradient(whole), measured.gradient(mixed)
            kept = before.shape[1] // 2
            if not same(before[:, :kept], after[:, :kept]):
                return True
    return False


def same(a: Array, b: Array, rtol: float = 1e-7) -> bool:
    """Whether two arrays of gradients agree up to rounding, relative to their typical size."""
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    a, b = a[finite], b[finite]
    size = float(np.abs(a).mean() + np.abs(b).mean()) if a.size else 0.0
    return bool(np.allclose(a, b, rtol=rtol, atol=rtol * size))
