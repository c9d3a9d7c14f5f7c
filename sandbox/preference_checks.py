"""The numeric tests of preference losses (torch). See `probe` for what they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sandbox import probes
from sandbox.batch_checks import check_batches
from sandbox.beta_edges import beta_edges
from sandbox.dataflow import touched
from sandbox.descriptors import LineShape, describe_preference, line_shape
from sandbox.edge_checks import check_edges
from sandbox.evaluate import Array, CannotCompute, Evaluation, Evaluator, Points, joined
from sandbox.findings import numeric_finding, shown
from sandbox.lookup.search import find_lookups
from sandbox.measure import Measured, Measurements, measure, same
from sandbox.range_checks import check_range
from sandbox.verdict import Finding, Severity

EXACT = (
    "start",
    "near",
    "wide",
    "swapped",
    "permuted",
    "mixed",
    "tight",
    "tight_mixed",
    "elsewhere",
    "resplit",
    "line",
)
SPREAD = ("near", "wide", "far", "sharp")
"""Groups that say what is common, and so which windows are narrow."""
RIGHT_WAY = 0.1
"""A loss that pushes the right way at a smaller share of the probes is turned round."""
_SIDES = ("policy_chosen_logps", "policy_rejected_logps")
_NAMES = (*_SIDES, "reference_chosen_logps", "reference_rejected_logps")


def run(evaluator: Evaluator, seed: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and descriptors of a preference loss. Raises CannotCompute."""
    set_ = probes.preference_probes(seed)
    findings = check_batches(evaluator.graph, set_.groups["wide"])
    if _refused(findings):
        return findings, {}
    measured = measure(evaluator, set_, EXACT, probes.RANGE)
    infinite = _finite(measured.single)
    if infinite:
        return infinite, {}  # and not only for a batch of one
    findings += _learns(evaluator, measured)
    if not _refused(findings):
        findings += check_range(evaluator, measured, seed, describe_pair)
    if _refused(findings):
        return findings, {}
    findings += _direction(measured)
    findings += _batch(measured)
    if _refused(findings):
        return findings, {}
    findings += find_lookups(evaluator, seed, describe_pair, beta_edges(evaluator.graph))
    if _refused(findings):
        return findings, {}
    findings += check_edges(evaluator, set_.only(SPREAD).points, describe_pair)
    if _refused(findings):
        return findings, {}
    shape = line_shape(measured)
    findings += _shape(shape)
    findings += _precision(measured)
    findings += _beyond(evaluator)
    return findings, describe_preference(measured, shape)


def describe_pair(points: Points, item: int) -> dict[str, Any]:
    """One pair in numbers, for a counterexample."""
    one = {name: float(t[item]) for name, t in zip(_NAMES, points.tensors, strict=True)}
    return {
        "rho": float(probes.margins(points)[item]),
        "beta": float(points.scalars[0, item]),
        **one,
        "batch": next(s.stop - s.start for s in points.spans if s.start <= item < s.stop),
    }


def _refused(findings: Sequence[Finding]) -> bool:
    return any(f.severity is Severity.REFUSE for f in findings)


def _where(example: dict[str, Any]) -> str:
    return f"at rho = {shown(example['rho'])}, beta = {shown(example['beta'])}"


def _scaled(points: Points) -> Array:
    return np.asarray(probes.margins(points) * points.scalars[0])


def _mildest(points: Points, offending: Array) -> int:
    """The offending item with the smallest |beta rho|, so that the example is the least far-fetched."""
    return int(np.where(offending, np.abs(_scaled(points)), np.inf).argmin())


def _finite(measured: Measured) -> list[Finding]:
    points, loss = measured.probes.points, measured.evaluation.loss
    if not np.isfinite(loss).all():
        i = _mildest(points, ~np.isfinite(loss))
        example = describe_pair(points, i)
        message = f"the loss is {shown(loss[i])} {_where(example)}"
        return [numeric_finding("SBX304", message, {"loss": loss[i], **example})]
    return _finite_gradient(measured)


def _finite_gradient(measured: Measured) -> list[Finding]:
    points, gradients = measured.probes.points, measured.gradients
    bad = ~np.isfinite(gradients)
    if not bad.any():
        return []
    i = _mildest(points, np.asarray(bad.any(axis=0)))
    side = int(bad[:, i].argmax())
    example = describe_pair(points, i)
    value = gradients[side, i]
    message = f"the gradient of {_SIDES[side]} is {shown(value)} {_where(example)}"
    return [numeric_finding("SBX305", message, {"gradient": value, "of": _SIDES[side], **example})]


def _learns(evaluator: Evaluator, measured: Measurements) -> list[Finding]:
    """Whether the policy gets a gradient at all, and on which sides."""
    graph, exact = evaluator.graph, measured.exact
    if not exact.evaluation.connected:
        reads = touched(graph)[graph.output]
        how = "what is read of it is detached, compared or rounded" if reads else "the loss does not read it"
        return [numeric_finding("SBX306", f"no gradient reaches the policy: {how}")]
    size = np.abs(exact.gradients).max(axis=1)
    if not size.max() > 1e-12:
        losses = exact.evaluation.loss
        if np.ptp(losses) <= 1e-12 * (1 + np.abs(losses).max()):
            return [numeric_finding("SBX308", f"the loss is {shown(losses[0])} at every probe", {"loss": losses[0]})]
        return [numeric_finding("SBX307", "the gradient to the policy is zero at every probe", {"probes": losses.size})]
    found = []
    idle = int(size.argmin())
    if size[idle] <= 1e-9 * size.max():
        found.append(numeric_finding("SBX321", f"no gradient reaches {_SIDES[idle]}", {"of": _SIDES[idle]}))
    if _blind(exact):
        message = "the loss trains the same when chosen and rejected change places"
        found.append(numeric_finding("SBX309", message, _two_ways(exact)))
    return found


def _blind(exact: Measured) -> bool:
    """Whether the gradients of chosen and rejected change places with them: then neither is preferred."""
    near = exact.gradient("near")
    swapped = exact.gradient("swapped")
    items = near.shape[1]
    # A preference of a thousandth of the gradient teaches none.
    return same(near[::-1], swapped[:, :items], rtol=1e-3) and same(
        exact.gradient("wide")[::-1], swapped[:, items:], rtol=1e-3
    )


def _two_ways(exact: Measured) -> dict[str, Any]:
    points = exact.probes.groups["near"]
    example = describe_pair(points, int(np.abs(_scaled(points)).argmax()))
    return {"rho": example["rho"], "and": -example["rho"], "beta": example["beta"]}


def _direction(measured: Measurements) -> list[Finding]:
    """Which way the margin is pushed, over the line and the scattered pairs."""
    exact = measured.exact
    groups = ("near", "wide", "line")
    push = np.concatenate([-np.subtract(*exact.gradient(g)) for g in groups])
    counts = np.abs(push) > 1e-9 * measured.scale
    right = float((push[counts] > 0).mean()) if counts.any() else 0.0
    if right < RIGHT_WAY:
        points = joined([exact.probes.groups[g] for g in groups])
        i = _mildest(points, push < -1e-9 * measured.scale) if counts.any() else 0
        example = describe_pair(points, i)
        message = f"the loss raises the margin at only {right:.0%} of the probes; it lowers it {_where(example)}"
        return [numeric_finding("SBX310", message, {"share": right, **example})]
    return _at_the_start(measured)


def _at_the_start(measured: Measurements) -> list[Finding]:
    start = -np.subtract(*measured.exact.gradient("start"))
    if not np.abs(measured.exact.gradient("start")).max() > 0:
        message = "the gradient is exactly zero at rho = 0, where the policy still equals its reference"
        return [numeric_finding("SBX329", message, {"rho": 0.0, "beta": probes.LINE_BETA})]
    if start.max() < -1e-9 * measured.scale:
        slope = -float(start.min()) / probes.LINE_BETA / 2
        message = f"the loss rises with the margin at rho = 0: its slope there is {shown(slope)} in beta rho"
        return [numeric_finding("SBX324", message, {"rho": 0.0, "beta": probes.LINE_BETA, "slope": slope})]
    return []


def _batch(measured: Measurements) -> list[Finding]:
    exact = measured.exact
    if "permuted" in exact.probes.items and not same(
        exact.gradient("near")[:, exact.probes.order], exact.gradient("permuted")
    ):
        gap = np.abs(exact.gradient("near")[:, exact.probes.order] - exact.gradient("permuted"))
        i = int(gap.max(axis=0).argmax())
        example = describe_pair(exact.probes.groups["permuted"], i)
        most = shown(gap[:, i].max())
        message = (
            f"the loss depends on a pair's position in the batch: the gradient of {_where(example)} changes by {most}"
        )
        return [numeric_finding("SBX311", message, {"change": gap[:, i].max(), **example})]
    if measured.proven:
        return []
    size = len(exact.probes.groups["near"])
    message = f"a pair's gradient {measured.coupling}"
    return [numeric_finding("SBX326", message, {"batch": size})]


def _shape(shape: LineShape) -> list[Finding]:
    if shape.convex:
        return []
    at = shape.concave_at
    message = f"the slope along the margin falls around beta rho = {shown(at)}: the loss is not convex there"
    return [numeric_finding("SBX325", message, {"rho": at / probes.LINE_BETA, "beta": probes.LINE_BETA})]


def _precision(measured: Measurements) -> list[Finding]:
    """Float32 against float64 at the same inputs. A few pairs on a kink are no finding."""
    for group in ("near", "wide"):
        points = measured.exact.probes.groups[group]
        exact, single = measured.exact.gradient(group), measured.single.gradient(group)
        typical = np.median(np.abs(exact), axis=1, keepdims=True)
        off = (np.abs(single - exact) > 0.05 * (np.abs(exact) + typical) + 1e-30).any(axis=0)
        far_off = (np.abs(single - exact) > 3 * (np.abs(exact) + typical) + 1e-30).any(axis=0)
        inside = np.abs(_scaled(points)) < 0.999 * probes.MAX_SCALED_MARGIN  # many losses are clamped at the round 30
        off, far_off = off & inside, far_off & inside
        if off.mean() > 0.05 or far_off.mean() > 0.02:
            i = _mildest(points, off)
            example = describe_pair(points, i)
            side = int(np.abs(single[:, i] - exact[:, i]).argmax())
            message = (
                f"the gradient of {_SIDES[side]} is {shown(single[side, i])} in float32 and {shown(exact[side, i])} in "
                f"float64 {_where(example)}"
            )
            numbers = {"float32": single[side, i], "float64": exact[side, i]}
            return [numeric_finding("SBX328", message, {"of": _SIDES[side], **numbers, **example})]
    return []


def _beyond(evaluator: Evaluator) -> list[Finding]:
    """The nearest margin beyond the range at which loss or gradient overflow in float32."""
    points = probes.beyond_points()
    try:
        seen = evaluator(points, torch.float32)
    except CannotCompute:
        return []
    bad = ~np.isfinite(np.stack([seen.loss, *seen.gradients])).all(axis=0)
    for x, batch in zip(probes.BEYOND, points.spans, strict=True):
        if bad[batch].any():
            return [_overflow(points, seen, batch.start + int(bad[batch].argmax()), x)]
    return []


def _overflow(points: Points, seen: Evaluation, item: int, x: float) -> Finding:
    what, value = next(
        (name, float(v[item]))
        for name, v in (("loss", seen.loss), ("gradient", seen.gradients[0]), ("gradient", seen.gradients[1]))
        if not np.isfinite(v[item])
    )
    example = describe_pair(points, item)
    message = f"the {what} is {shown(value)} {_where(example)}, in a batch that reaches |beta rho| = {shown(x)}"
    return numeric_finding("SBX323", message, {what: value, **example})
