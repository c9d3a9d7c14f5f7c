"""Measurements of one graph on its probes, taken once and read by the numeric tests and the descriptors (torch)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sandbox.execute.evaluate import Array, CannotCompute, Evaluation, Evaluator, Points
from sandbox.numeric.measure.finite import require_finite
from sandbox.numeric.measure.input_sets import Names, Sets
from sandbox.numeric.measure.inputs import ProbeSet


@dataclass(frozen=True, eq=False)
class Measured:
    """An evaluation over a probe set, group by group."""

    contract: str
    probes: ProbeSet
    evaluation: Evaluation

    def loss(self, group: str) -> Array:
        """The losses of a group's items."""
        return self.evaluation.loss[self.probes.items[group]]

    def gradient(self, group: str) -> Array:
        """The gradients of a group's items, (arguments, items, ...): one row per learning argument, or one row with all numbers
        of an item where the arguments' shapes differ."""
        return self.gradients[:, self.probes.items[group]]

    @cached_property
    def gradients(self) -> Array:
        """The gradients of all items, in rows as of `gradient`, in float64 whatever they were computed in."""
        found = self.evaluation.gradients
        if len({g.shape for g in found}) > 1:
            found = (np.concatenate([g.reshape(len(g), -1) for g in found], axis=1),)
        return np.stack(found, dtype=float)


@dataclass(frozen=True, eq=False)
class Measurements:
    """What the numeric tests look at, all of it finite: `exact` in float64 for the loss's structure and shape, `single` in
    float32 over the range in which it must be finite. `coupled`: the items were seen to influence each other; `proven`: they
    provably do not."""

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

    @property
    def zero(self) -> bool:
        """Whether the gradient is zero at every probe, or but for rounding: then it is not the same in float32."""
        most = float(np.abs(self.exact.gradients).max())
        if most >= 1e-12:
            return False
        exact, single = (float(np.abs(m.gradient("near")).max()) for m in (self.exact, self.single))
        return most == 0 or not 0.1 * exact < single < 10 * exact


@dataclass(frozen=True, slots=True)
class Wanted:
    """The names of the groups to measure in float64 and in float32."""

    exact: Names
    single: Names


@dataclass(frozen=True, eq=False)
class Unchecked:
    """What was seen in float64 and in float32, finite or not; an error where it could not be computed."""

    contract: str
    exact: Evaluation | CannotCompute
    single: Evaluation | CannotCompute
    probes: tuple[ProbeSet, ProbeSet]
    proven: bool

    def checked(self) -> Measurements:
        """The measurements. Raises CannotCompute, and NotFinite for a loss or gradient that is not finite in any of them."""
        exact, single = self.exact, self.single
        if isinstance(single, CannotCompute):
            raise single
        require_finite(self.contract, self.probes[1].points, single, torch.float32)
        if isinstance(exact, CannotCompute):
            raise exact
        require_finite(self.contract, self.probes[0].points, exact, torch.float64)
        doubles, floats = (
            Measured(self.contract, chosen, seen) for chosen, seen in zip(self.probes, (exact, single), strict=True)
        )
        return Measurements(doubles, floats, not self.proven and _coupled(doubles), self.proven)


COUPLING_ONLY = ("permuted", "mixed", "tight", "tight_mixed")
"""Groups that tell nothing of a loss which provably looks at one item at a time."""


def measure(evaluator: Evaluator, sets: Sets, fixed: Wanted, drawn: Wanted) -> tuple[Unchecked, Unchecked]:
    """What is seen on fixed probes and on drawn ones, in one call for each precision."""
    proven = evaluator.pointwise
    exact = tuple(n for n in fixed.exact if n not in COUPLING_ONLY) if proven else fixed.exact
    doubles = _seen(evaluator, sets, exact, drawn.exact, torch.float64)
    floats = _seen(evaluator, sets, fixed.single, drawn.single, torch.float32)
    names = (exact, fixed.single), (drawn.exact, drawn.single)
    at_fixed, at_drawn = (
        (chosen.only(in_double), chosen.only(in_single))
        for chosen, (in_double, in_single) in zip((sets.fixed, sets.drawn), names, strict=True)
    )
    contract = evaluator.graph.contract
    return (
        Unchecked(contract, doubles[0], floats[0], at_fixed, proven),
        Unchecked(contract, doubles[1], floats[1], at_drawn, proven),
    )


Seen = Evaluation | CannotCompute


def _seen(evaluator: Evaluator, sets: Sets, fixed: Names, drawn: Names, dtype: torch.dtype) -> tuple[Seen, Seen]:
    try:
        seen = evaluator(sets.points(fixed, drawn), dtype)
    except CannotCompute as error:  # the drawn ones may be to blame
        return _alone(evaluator, sets.fixed.only(fixed).points, dtype), error
    items = len(sets.fixed.only(fixed).points)
    return seen.part(slice(items)), seen.part(slice(items, None))


def _alone(evaluator: Evaluator, points: Points, dtype: torch.dtype) -> Seen:
    try:
        return evaluator(points, dtype)
    except CannotCompute as error:
        return error


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
    """Whether two arrays of finite gradients agree up to rounding, relative to their typical size."""
    size = float(np.abs(a).mean() + np.abs(b).mean()) if a.size else 0.0
    return bool(np.allclose(a, b, rtol=rtol, atol=rtol * size))
