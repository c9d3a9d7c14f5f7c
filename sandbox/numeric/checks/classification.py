"""The numeric tests of classification losses (torch). See `numeric.run` for what they cover."""

from __future__ import annotations

from typing import Any

import numpy as np

from sandbox.execute.evaluate import Array, Evaluator, Points, joined
from sandbox.numeric.checks.batches import check_batches
from sandbox.numeric.checks.class_sizes import check_directions, push_on_label
from sandbox.numeric.checks.derivatives import check_derivatives
from sandbox.numeric.checks.general import coupled, position_dependent, without_gradient
from sandbox.numeric.checks.scale import NO_SLOPE, SMALLEST_GRADIENT, too_large, too_large_as_drawn, too_small
from sandbox.numeric.measure import input_sets, inputs
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.descriptors import LineShape, describe_line, moving_item
from sandbox.numeric.measure.direction import CLEARLY_WRONG, RIGHT_WAY, rounding
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.finite import finite
from sandbox.numeric.measure.input_sets import FIXED
from sandbox.numeric.measure.measure import Measured, Measurements, Wanted, measure, same
from sandbox.verdicts.verdict import Finding, Severity

FIXED_GROUPS = Wanted(("start", "near", "wide", "permuted", "mixed", "relabelled"), inputs.CLASSIFICATION_RANGE)
DRAWN_GROUPS = Wanted(("near", "wide", "relabelled"), inputs.CLASSIFICATION_RANGE)
_SCORES = inputs_of("classification")


def run(evaluator: Evaluator, seed: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and descriptors of a classification loss. Raises CannotCompute and NotFinite."""
    findings = check_derivatives(evaluator.graph) or check_batches(
        evaluator.graph, _sixty_four(), proven=evaluator.pointwise
    )
    taken: list[Measurements] = []
    for classes in inputs.CLASS_COUNTS:
        if any(f.severity is Severity.REFUSE for f in findings):
            return findings, {}
        at_fixed, at_drawn = measure(evaluator, input_sets.scores(seed, classes), FIXED_GROUPS, DRAWN_GROUPS)
        measured = at_fixed.checked()
        taken.append(measured)
        new = _learns(evaluator, measured) or _scale(measured) or _at_the_start(measured)
        new = new or position_dependent(measured, "an item") or coupled(measured, "an item")
        if not any(f.severity is Severity.REFUSE for f in new):
            new = [*new, *_on_drawn(at_drawn.checked(), measured)]
        seen = {f.rule for f in findings}
        findings += [f for f in new if f.rule not in seen]
    if not any(f.severity is Severity.REFUSE for f in findings):
        seen = {f.rule for f in findings}
        findings += [f for f in check_directions(evaluator) if f.rule not in seen]
    if any(f.severity is Severity.REFUSE for f in findings):
        return findings, {}
    shape = _line(evaluator)
    if not shape.convex:
        message = f"the slope along the margin falls around {shown(shape.concave_at)}: the loss is not convex there"
        findings.append(numeric_finding("SBX325", message, {"margin": shape.concave_at}))
    if shape.at_zero() > 1e-9 * shape.scale:
        message = f"the loss rises with the label's score while all scores are equal: slope {shown(shape.at_zero())}"
        findings.append(numeric_finding("SBX324", message, {"margin": 0.0, "slope": shape.at_zero()}))
    return findings, _describe(taken, shape)


def _sixty_four() -> Points:
    set_ = inputs.classification_probes(FIXED, 3)
    joint = joined([set_.groups["near"], set_.groups["wide"]])
    return joint.take(slice(-64, None))


def _learns(evaluator: Evaluator, measured: Measurements) -> list[Finding]:
    found = without_gradient(evaluator, measured, "the logits")
    return found or _blind(measured.exact) or _direction(measured.exact, RIGHT_WAY)


def _on_drawn(drawn: Measurements, fixed: Measurements) -> list[Finding]:
    """A refusal of a loss that passes on the fixed probes, which are public, and fails on drawn ones."""
    if not drawn.exact.gradient("near").any():
        return []  # a loss with a gradient at few items may have none at these
    return (
        _blind(drawn.exact) or _direction(drawn.exact, CLEARLY_WRONG) or too_large_as_drawn(drawn.single, fixed.single)
    )


def _blind(exact: Measured) -> list[Finding]:
    if not same(exact.gradient("near"), exact.gradient("relabelled")):
        return []
    return [numeric_finding("SBX309", "the loss has the same gradients whatever the labels are")]


def _scale(measured: Measurements) -> list[Finding]:
    """Whether an optimiser can use gradients of this size."""
    return too_small(measured.single.gradient("near"), "at usual scores", {}) or too_large(measured.single)


def _at_the_start(measured: Measurements) -> list[Finding]:
    """A refusal if there is no gradient at equal scores, where a network with a last layer of zeros starts."""
    size = float(np.abs(measured.exact.gradient("start")).max())
    if size > max(SMALLEST_GRADIENT, NO_SLOPE * measured.scale):
        return []
    one = _SCORES.example(measured.exact.probes.groups["start"], 0)
    how = "zero" if size == 0 else f"at most {shown(size)}"
    message = f"the gradient is {how} {_SCORES.where(one)}, where all scores are equal"
    return [numeric_finding("SBX329", message, {"gradient": size, **one})]


def _direction(exact: Measured, least: float) -> list[Finding]:
    groups = ("near", "wide")
    push = np.concatenate([_on_label(exact, g) for g in groups])
    counts = np.abs(push) > rounding(exact.gradient("near"))
    if not counts.any():
        return [
            numeric_finding(
                "SBX310",
                "the loss changes the logits of the label and the other classes in the same way",
                {"share": 0.0},
            )
        ]
    right = float((push[counts] > 0).mean())
    if right >= least:
        return []
    points = joined([exact.probes.groups[g] for g in groups])
    one = _SCORES.example(points, _SCORES.mildest(points, counts & (push < 0)))
    message = f"the loss raises the label's score at only {right:.0%} of the probes; it lowers it {_SCORES.where(one)}"
    return [numeric_finding("SBX310", message, {"share": right, **one})]


def _on_label(exact: Measured, group: str) -> Array:
    return push_on_label(exact.gradient(group)[0], exact.probes.groups[group].tensors[1])


def _line(evaluator: Evaluator) -> LineShape:
    """The shape of the loss along the margin: the label's score minus that of the other of two classes."""
    margin = inputs.bent(201) * inputs.MAX_SCALED_MARGIN
    logits = np.stack([margin / 2, -margin / 2], axis=1)
    points = Points((logits, np.zeros(len(margin), np.int64)), np.zeros((0, len(margin))), (len(margin),))
    seen = finite(evaluator, points)
    slope = _slope(np.stack(seen.gradients))
    if evaluator.pointwise:
        return LineShape(margin, slope, seen.loss)
    return LineShape(margin, slope, ends=moving_item(evaluator, _moving(), _slope))


def _slope(gradients: Array) -> Array:
    """dL/dx of each item of two classes, the first its label, from the gradients, shape (1, items, 2)."""
    return np.asarray((gradients[0, :, 0] - gradients[0, :, 1]) / 2)


def _moving() -> Points:
    margins = inputs.moving_margins()
    x = margins.ravel()
    logits = np.stack([x / 2, -x / 2], axis=1)
    return Points((logits, np.zeros(x.size, np.int64)), np.zeros((0, x.size)), (margins.shape[1],) * len(margins))


def _describe(taken: list[Measurements], shape: LineShape) -> dict[str, Any]:
    ten = taken[-1].exact
    gradient, targets = np.abs(ten.gradient("near")[0]), ten.probes.groups["near"].tensors[1]
    own = float(np.take_along_axis(gradient, targets[:, None], axis=1).sum())
    return {
        **describe_line(shape),
        "gradient_balance": float(f"{own / float(gradient.sum()):.5g}") if gradient.any() else 0.5,
        "coupled": any(m.coupled for m in taken),
    }
