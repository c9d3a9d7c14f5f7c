"""Measurements of one graph at its probes, made once and used by the numeric tests and the descriptors (torch)."""

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
    """An evaluation at a probe set, with access by group."""

    contract: str
    probes: ProbeSet
    evaluation: Evaluation

    def loss(self, group: str) -> Array:
        """The losses of a group's items."""
        return self.evaluation.loss[self.probes.items[group]]

    def gradient(self, group: str) -> Array:
        """The gradients of a group's items, (arguments, items, ...): one row per argument with a gradient, or one row with all
        numbers of an item if the arguments have different shapes."""
        return self.gradients[:, self.probes.items[group]]

    @cached_property
    def gradients(self) -> Array:
        """The gradients of all items, with the rows of `gradient`, converted to float64."""
        found = self.evaluation.gradients
        if len({g.shape for g in found}) > 1:
            found = (np.concatenate([g.reshape(len(g), -1) for g in found], axis=1),)
        return np.stack(found, dtype=float)


@dataclass(frozen=True, eq=False)
class Measurements:
    """The measurements that the numeric tests use, all finite: `exact` in float64 for the structure and shape of the loss,
    `single` in float32 over the range in which it must be finite. `coupled`: the items of a batch were seen to influence each
    other; `proven`: they provably do not."""

    exact: Measured
    single: Measured
    coupled: bool
    proven: bool

    @property
    def coupling(self) -> str:
        """The end of the sentence "an item's gradient ...", for a loss whose items may influence each other."""
        size = len(self.exact.probes.groups["near"])
        if self.coupled:
            return f"changes with the other items of its batch (seen at {size} items)"
        return "may change with the other items or the size of its batch: the opposite could not be proved"

    @cached_property
    def scale(self) -> float:
        """Typical size of the gradient near the start, or the largest gradient anywhere if that is zero."""
        near = np.abs(self.exact.gradient("near"))
        return float(np.median(near[near > 0])) if (near > 0).any() else float(np.abs(self.exact.gradients).max())

    @property
    def push_at_start(self) -> float:
        """How much a gradient step raises the margin where policy equals reference, for the pair that it raises most; negative if
        it lowers all."""
        return float((-np.subtract(*self.exact.gradient("start"))).max())

    @property
    def zero(self) -> bool:
        """Whether the gradient is zero at every probe, up to rounding errors, which differ between float32 and float64."""
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
    """Evaluations in float64 and in float32, finite or not, or the error if the loss could not be computed."""

    contract: str
    exact: Evaluation | CannotCompute
    single: Evaluation | CannotCompute
    probes: tuple[ProbeSet, ProbeSet]
    proven: bool

    def checked(self) -> Measurements:
        """The measurements. Raises CannotCompute, and NotFinite if a loss or gradient in one of them is not finite."""
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
"""Groups that give no information on a loss whose items provably do not influence each other."""


def measure(evaluator: Evaluator, sets: Sets, fixed: Wanted, drawn: Wanted) -> tuple[Unchecked, Unchecked]:
    """Evaluations at fixed probes and at drawn ones, with one call for each precision."""
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
    except CannotCompute as error:  # perhaps only at the drawn ones
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
