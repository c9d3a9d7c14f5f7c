"""The numeric tests of preference losses (torch). See `numeric.run` for what they cover."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from sandbox.execute.evaluate import CannotCompute, Evaluation, Evaluator, Points, joined
from sandbox.numeric.checks.batches import check_batches
from sandbox.numeric.checks.betas import check_betas, check_drawn_betas, check_numbers, direction_at
from sandbox.numeric.checks.derivatives import check_derivatives
from sandbox.numeric.checks.general import without_gradient
from sandbox.numeric.checks.scale import NO_SLOPE, SMALLEST_GRADIENT, check_scale, too_large_as_drawn
from sandbox.numeric.checks.sizes import check_drawn_sizes, check_sizes
from sandbox.numeric.checks.slips import with_slips
from sandbox.numeric.checks.training import check_training
from sandbox.numeric.edges.beta_edges import beta_edges
from sandbox.numeric.edges.checks import check_edges
from sandbox.numeric.edges.lookup.search import find_lookups
from sandbox.numeric.measure import input_sets, inputs
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.descriptors import LineShape, describe_preference, line_shape
from sandbox.numeric.measure.direction import CLEARLY_WRONG, RIGHT_WAY, rounding, share_right, wrong_direction
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.measure import Measured, Measurements, Wanted, measure, same
from sandbox.verdicts.verdict import Finding, Severity

FIXED_GROUPS = Wanted(
    (
        *("start", "starts", "near", "wide", "ties", "line", "swapped", "elsewhere", "resplit"),
        *("permuted", "mixed", "tight", "tight_mixed"),
    ),
    (*inputs.RANGE, "betas", "beside_ties"),
)
DRAWN_GROUPS = Wanted(("near", "wide", "swapped"), (*inputs.RANGE, "betas"))
_PAIRS = inputs_of("preference")
_SIDES = ("policy_chosen_logps", "policy_rejected_logps")
_LOST_SHARE = 0.05
"""Share of the pairs with a clearly negative margin whose margin the loss may lower without a note."""


def run(evaluator: Evaluator, seed: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and descriptors of a preference loss. Raises CannotCompute and NotFinite."""
    sets, graph = input_sets.pairs(seed), evaluator.graph
    findings = (
        check_derivatives(graph)
        or check_numbers(graph, seed)
        or check_batches(graph, sets.fixed.groups["wide"], proven=evaluator.pointwise)
    )
    if _refused(findings):
        return with_slips(findings, graph), {}
    at_fixed, at_drawn = measure(evaluator, sets, FIXED_GROUPS, DRAWN_GROUPS)
    measured = at_fixed.checked()
    edges = beta_edges(evaluator)
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: _learns(evaluator, measured),
        lambda: _direction(measured),
        lambda: check_scale(measured),
        lambda: _at_the_start(measured),
        lambda: check_betas(evaluator, measured),
        lambda: direction_at(evaluator, edges, seed),
        lambda: check_sizes(evaluator, measured),
        lambda: _batch(measured),
        lambda: find_lookups(evaluator, seed, _PAIRS.example, edges),
        lambda: check_training(evaluator, measured, seed),
        lambda: check_edges(evaluator, sets.fixed.only(inputs.SPREAD).points, _PAIRS.example),
        lambda: _on_drawn(evaluator, at_drawn.checked(), measured, seed),
    )
    for check in checks:
        findings = _with_new(findings, check())
        if _refused(findings):
            return with_slips(findings, graph), {}
    shape = line_shape(evaluator, measured)
    for notes in (_lost_pairs(measured), _shape(shape), _precision(measured), _beyond(evaluator)):
        findings = _with_new(findings, notes)
    return findings, describe_preference(measured, shape)


def _with_new(findings: list[Finding], more: Sequence[Finding]) -> list[Finding]:
    """The findings, and those of `more` whose rule is not among them."""
    known = {f.rule for f in findings}
    return [*findings, *(f for f in more if f.rule not in known)]


def _on_drawn(evaluator: Evaluator, drawn: Measurements, fixed: Measurements, seed: int) -> list[Finding]:
    """A refusal of a loss that passes on the fixed probes, which are public, and fails on drawn ones."""
    single = np.concatenate([drawn.single.gradient(g) for g in ("near", "wide")], axis=1)
    if single.any():  # a loss with a gradient at few pairs may have none at these
        found = wrong_direction(single, "that were drawn, in float32", {"precision": "float32"}, CLEARLY_WRONG)
        if found:
            return found
    return (
        _blind(drawn.exact, 1e-5)
        or too_large_as_drawn(drawn.single, fixed.single)
        or check_drawn_betas(evaluator, drawn, seed)
        or check_drawn_sizes(evaluator, seed)
    )


def _refused(findings: Sequence[Finding]) -> bool:
    return any(f.severity is Severity.REFUSE for f in findings)


def _learns(evaluator: Evaluator, measured: Measurements) -> list[Finding]:
    """A refusal if the policy gets no gradient, and a note if only one completion gets one."""
    exact = measured.exact
    if missing := without_gradient(evaluator, measured, "the policy"):
        return missing
    found = []
    size = np.abs(exact.gradients)
    idle = int(size.max(axis=1).argmin())
    if (size[idle] <= 1e-9 * size[1 - idle]).all():  # pair by pair: a gradient may be huge at a few
        found.append(numeric_finding("SBX321", f"no gradient reaches {_SIDES[idle]}", {"of": _SIDES[idle]}))
    return found + _blind(exact, 1e-3)  # a difference of a thousandth of the gradient is no usable preference


def _blind(exact: Measured, tolerance: float) -> list[Finding]:
    """A refusal if exchanging chosen and rejected only exchanges their gradients: then neither is preferred."""
    near, wide, swapped = (exact.gradient(group) for group in ("near", "wide", "swapped"))
    items = near.shape[1]
    if not near.any() or not (
        same(near[::-1], swapped[:, :items], tolerance) and same(wide[::-1], swapped[:, items:], tolerance)
    ):
        return []
    points = exact.probes.groups["near"]
    one = _PAIRS.example(points, int(_PAIRS.distance(points).argmax()))
    message = "the loss has the same gradients when chosen and rejected are exchanged"
    return [numeric_finding("SBX309", message, {"rho": one["rho"], "and": -one["rho"], "beta": one["beta"]})]


def _direction(measured: Measurements) -> list[Finding]:
    """A refusal if the gradient lowers the margin nearly everywhere: on the line and the scattered pairs, also in float32."""
    exact = measured.exact
    groups = ("near", "wide", "line")
    gradients = np.concatenate([exact.gradient(g) for g in groups], axis=1)
    share = share_right(gradients)
    if share is not None and share < RIGHT_WAY:
        points = joined([exact.probes.groups[g] for g in groups])
        push = gradients[1] - gradients[0]
        one = _PAIRS.example(points, _PAIRS.mildest(points, push < -rounding(gradients)))
        message = f"the loss raises the margin at only {share:.0%} of the probes; it lowers it {_PAIRS.where(one)}{_slopes(exact)}"
        return [numeric_finding("SBX310", message, {"share": share, **one})]
    if share is None:
        return wrong_direction(gradients, "at every probe", {})
    single = np.concatenate([measured.single.gradient(g) for g in ("near", "wide")], axis=1)
    return wrong_direction(single, "in float32", {"precision": "float32"})


def _slopes(exact: Measured) -> str:
    """The slopes of the loss by x = beta * rho at three places, for the message of a wrong direction."""
    x = inputs.margins(exact.probes.groups["line"]) * inputs.LINE_BETA
    slope = np.subtract(*exact.gradient("line")) / 2 / inputs.LINE_BETA
    at = [f"{np.interp(place, x, slope):+.3g} at {place}" for place in (-2, 0, 2)]
    return f"; its slope by beta rho is {', '.join(at)}, and should be negative"


def _at_the_start(measured: Measurements) -> list[Finding]:
    """A refusal if there is no gradient where the policy equals its reference, at any tested beta; a note on a wrong sign."""
    exact = measured.exact
    none = max(SMALLEST_GRADIENT, NO_SLOPE * measured.scale)
    rising: list[Finding] = []
    for group in ("start", "starts"):
        points, gradients = exact.probes.groups[group], exact.gradient(group)
        for batch in points.spans:
            size, rise = float(np.abs(gradients[:, batch]).max()), np.subtract(*gradients[:, batch])
            if size <= none:
                return [_no_start(points, batch.start, size)]
            if rise.min() > 1e-9 * measured.scale:
                rising.append(_rising(float(points.scalars[0, batch.start]), float(rise.max())))
    return rising[:1]


def _rising(beta: float, rise: float) -> Finding:
    slope = rise / beta / 2
    message = f"the loss rises with the margin at rho = 0 and beta = {shown(beta)}: its slope there is {shown(slope)} in beta rho"
    return numeric_finding("SBX324", message, {"rho": 0.0, "beta": beta, "slope": slope})


def _no_start(points: Points, item: int, size: float) -> Finding:
    one = _PAIRS.example(points, item)
    how = "zero" if size == 0 else f"at most {shown(size)}"
    message = f"the gradient is {how} {_PAIRS.where(one)}, where the policy still equals its reference"
    return numeric_finding("SBX329", message, {"gradient": size, "rho": 0.0, "beta": one["beta"]})


def _batch(measured: Measurements) -> list[Finding]:
    exact = measured.exact
    if "permuted" in exact.probes.items and not same(
        exact.gradient("near")[:, exact.probes.order], exact.gradient("permuted")
    ):
        gap = np.abs(exact.gradient("near")[:, exact.probes.order] - exact.gradient("permuted"))
        i = int(gap.max(axis=0).argmax())
        one = _PAIRS.example(exact.probes.groups["permuted"], i)
        most = shown(gap[:, i].max())
        message = (
            f"the loss depends on a pair's position in the batch: the gradient {_PAIRS.where(one)} changes by {most}"
        )
        return [numeric_finding("SBX311", message, {"change": gap[:, i].max(), **one})]
    if measured.proven:
        return []
    size = len(exact.probes.groups["near"])
    message = f"a pair's gradient {measured.coupling}"
    return [numeric_finding("SBX326", message, {"batch": size})]


def _lost_pairs(measured: Measurements) -> list[Finding]:
    """A note if the loss lowers the margin of many pairs whose margin is clearly negative."""
    points = joined([measured.exact.probes.groups[g] for g in ("near", "wide")])
    push = np.concatenate([-np.subtract(*measured.exact.gradient(g)) for g in ("near", "wide")])
    lost = inputs.margins(points) * points.scalars[0] < -0.2
    wrong = lost & (push < -1e-9 * measured.scale)
    share = float(wrong.sum() / max(lost.sum(), 1))
    if share <= _LOST_SHARE:
        return []
    one = _PAIRS.example(points, _PAIRS.mildest(points, wrong))
    such = f"such as {_PAIRS.where(one)}"
    message = f"the loss lowers the margin of {share:.0%} of the pairs whose margin is negative already, {such}"
    return [numeric_finding("SBX331", message, {"share": share, **one})]


def _shape(shape: LineShape) -> list[Finding]:
    if shape.convex:
        return []
    at = shape.concave_at
    message = f"the slope along the margin falls around beta rho = {shown(at)}: the loss is not convex there"
    return [numeric_finding("SBX325", message, {"rho": at / inputs.LINE_BETA, "beta": inputs.LINE_BETA})]


def _precision(measured: Measurements) -> list[Finding]:
    """A note if float32 and float64 gradients differ at the same inputs. A few pairs at a kink are no finding."""
    for group in ("near", "wide"):
        points = measured.exact.probes.groups[group]
        exact, single = measured.exact.gradient(group), measured.single.gradient(group)
        typical = np.median(np.abs(exact), axis=1, keepdims=True)
        off = (np.abs(single - exact) > 0.05 * (np.abs(exact) + typical) + 1e-30).any(axis=0)
        far_off = (np.abs(single - exact) > 3 * (np.abs(exact) + typical) + 1e-30).any(axis=0)
        inside = _PAIRS.distance(points) < 0.999 * inputs.MAX_SCALED_MARGIN  # many losses are clamped at 30
        off, far_off = off & inside, far_off & inside
        if off.mean() > 0.05 or far_off.mean() > 0.02:
            i = _PAIRS.mildest(points, off)
            one = _PAIRS.example(points, i)
            side = int(np.abs(single[:, i] - exact[:, i]).argmax())
            message = (
                f"the gradient of {_SIDES[side]} is {shown(single[side, i])} in float32 and {shown(exact[side, i])} in "
                f"float64 {_PAIRS.where(one)}"
            )
            numbers = {"float32": single[side, i], "float64": exact[side, i]}
            return [numeric_finding("SBX328", message, {"of": _SIDES[side], **numbers, **one})]
    return []


def _beyond(evaluator: Evaluator) -> list[Finding]:
    """Notes on the smallest margin, or else the highest level of log-probabilities, beyond the range or near its end, at which the
    loss or its gradient is not finite in float32, and at which the loss lowers negative margins."""
    points = inputs.beyond_points()
    try:
        seen = evaluator(points, torch.float32)
    except CannotCompute:
        return []
    bad = ~np.isfinite(np.stack([seen.loss, *seen.gradients])).all(axis=0)
    push, margins = np.subtract(*seen.gradients[::-1]), inputs.margins(points)
    places = [f"in a batch that reaches |beta rho| = {shown(x)}" for x in inputs.BEYOND]
    places += [f"at log-probabilities around {shown(level)}" for level in inputs.LEVELS_BEYOND + inputs.SHORT_LEVELS]
    places += [f"where a completion's log-probability is {shown(certain)}" for certain in inputs.CERTAIN]
    found: dict[str, Finding] = {}
    for place, batch in zip(places, points.spans, strict=True):
        item = batch.start + int(margins[batch].argmin())
        if bad[batch].any():
            found.setdefault("SBX323", _overflow(points, seen, batch.start + int(bad[batch].argmax()), place))
        elif push[item] < 0 and margins[item] < 0:
            one = _PAIRS.example(points, item)
            message = f"the loss lowers the margin of pairs whose margin is negative already {place}, such as {_PAIRS.where(one)}"
            found.setdefault("SBX331", numeric_finding("SBX331", message, {"push": float(push[item]), **one}))
    return list(found.values())


def _overflow(points: Points, seen: Evaluation, item: int, place: str) -> Finding:
    what, value = next(
        (name, float(v[item]))
        for name, v in (("loss", seen.loss), ("gradient", seen.gradients[0]), ("gradient", seen.gradients[1]))
        if not np.isfinite(v[item])
    )
    one = _PAIRS.example(points, item)
    message = f"the {what} is {shown(value)} {_PAIRS.where(one)}, {place}"
    return numeric_finding("SBX323", message, {what: value, **one})
