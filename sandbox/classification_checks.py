"""The numeric tests of classification losses (torch). See `probe` for what they cover."""

from __future__ import annotations

from typing import Any

import numpy as np

from sandbox import probes
from sandbox.batch_checks import check_batches
from sandbox.dataflow import touched
from sandbox.descriptors import LineShape, describe_line
from sandbox.evaluate import Array, Evaluator, Points, joined
from sandbox.findings import numeric_finding, shown
from sandbox.measure import Measured, Measurements, measure, same
from sandbox.verdict import Finding, Severity

EXACT = ("start", "near", "wide", "permuted", "mixed", "relabelled")
RIGHT_WAY = 0.1


def run(evaluator: Evaluator, seed: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and descriptors of a classification loss. Raises CannotCompute."""
    findings = check_batches(evaluator.graph, _sixty_four(seed))
    taken: list[Measurements] = []
    for classes in probes.CLASS_COUNTS:
        if any(f.severity is Severity.REFUSE for f in findings):
            return findings, {}
        measured = measure(evaluator, probes.classification_probes(seed, classes), EXACT, probes.CLASSIFICATION_RANGE)
        taken.append(measured)
        new = _finite(measured.single) or _learns(evaluator, measured) or _batch(measured)
        seen = {f.rule for f in findings}
        findings += [f for f in new if f.rule not in seen]
    shape = _line(evaluator)
    if not shape.convex:
        message = f"the slope along the margin falls around {shown(shape.concave_at)}: the loss is not convex there"
        findings.append(numeric_finding("SBX325", message, {"margin": shape.concave_at}))
    if shape.at_zero() > 1e-9 * shape.scale:
        message = f"the loss rises with the label's score while all scores are equal: slope {shown(shape.at_zero())}"
        findings.append(numeric_finding("SBX324", message, {"margin": 0.0, "slope": shape.at_zero()}))
    return findings, _describe(taken, shape)


def describe_item(points: Points, item: int) -> dict[str, Any]:
    """One item in numbers, for a counterexample."""
    logits, targets = points.tensors
    return {
        "logits": [float(v) for v in logits[item]],
        "target": int(targets[item]),
        "batch": next(s.stop - s.start for s in points.spans if s.start <= item < s.stop),
    }


def _sixty_four(seed: int) -> Points:
    set_ = probes.classification_probes(seed, 3)
    joint = joined([set_.groups["near"], set_.groups["wide"]])
    return joint.take(slice(-64, None))


def _where(example: dict[str, Any]) -> str:
    scores = ", ".join(shown(v) for v in example["logits"])
    return f"at logits = [{scores}], target = {example['target']}"


def _mildest(points: Points, offending: Array) -> int:
    return int(np.where(offending, np.abs(points.tensors[0]).max(axis=1), np.inf).argmin())


def _finite(measured: Measured) -> list[Finding]:
    points, loss, gradient = measured.probes.points, measured.evaluation.loss, measured.gradients[0]
    if not np.isfinite(loss).all():
        i = _mildest(points, ~np.isfinite(loss))
        example = describe_item(points, i)
        return [
            numeric_finding("SBX304", f"the loss is {shown(loss[i])} {_where(example)}", {"loss": loss[i], **example})
        ]
    bad = ~np.isfinite(gradient)
    if not bad.any():
        return []
    i = _mildest(points, np.asarray(bad.any(axis=1)))
    example = describe_item(points, i)
    value = gradient[i][bad[i]][0]
    return [
        numeric_finding("SBX305", f"the gradient is {shown(value)} {_where(example)}", {"gradient": value, **example})
    ]


def _learns(evaluator: Evaluator, measured: Measurements) -> list[Finding]:
    graph, exact = evaluator.graph, measured.exact
    if not exact.evaluation.connected:
        reads = touched(graph)[graph.output]
        how = "what is read of them is detached, compared or rounded" if reads else "the loss does not read them"
        return [numeric_finding("SBX306", f"no gradient reaches the logits: {how}")]
    size = float(np.abs(exact.gradients).max())
    losses = exact.evaluation.loss
    if not size > 1e-12:
        if np.ptp(losses) <= 1e-12 * (1 + np.abs(losses).max()):
            return [numeric_finding("SBX308", f"the loss is {shown(losses[0])} at every probe", {"loss": losses[0]})]
        return [numeric_finding("SBX307", "the gradient to the logits is zero at every probe", {"probes": losses.size})]
    if same(exact.gradient("near"), exact.gradient("relabelled")):
        return [numeric_finding("SBX309", "the loss trains the same whatever the labels are")]
    return _direction(exact, size)


def _direction(exact: Measured, size: float) -> list[Finding]:
    push = np.concatenate([_on_label(exact, g) for g in ("near", "wide")])
    counts = np.abs(push) > 1e-9 * size
    right = float((push[counts] > 0).mean()) if counts.any() else 0.0
    if right >= RIGHT_WAY:
        return []
    message = f"the loss raises the label's score at only {right:.0%} of the probes"
    return [numeric_finding("SBX310", message, {"share": right})]


def _on_label(exact: Measured, group: str) -> Array:
    """How hard the label's score is pushed up, relative to the mean of the others."""
    gradient, targets = exact.gradient(group)[0], exact.probes.groups[group].tensors[1]
    own = np.take_along_axis(gradient, targets[:, None], axis=1)[:, 0]
    others = (gradient.sum(axis=1) - own) / (gradient.shape[1] - 1)
    return np.asarray(others - own)


def _batch(measured: Measurements) -> list[Finding]:
    exact = measured.exact
    if "permuted" in exact.probes.items:
        expected, found = exact.gradient("near")[:, exact.probes.order], exact.gradient("permuted")
        if not same(expected, found):
            change = float(np.abs(expected - found).max())
            message = (
                f"the loss depends on an item's position in the batch: its gradient changes by {shown(change)} with it"
            )
            return [numeric_finding("SBX311", message, {"change": change})]
    if measured.proven:
        return []
    size = len(exact.probes.groups["near"])
    message = f"an item's gradient {measured.coupling}"
    return [numeric_finding("SBX326", message, {"batch": size})]


def _line(evaluator: Evaluator) -> LineShape:
    """The shape along the margin between the label's score and the other of two classes."""
    margin = probes.bent(201) * probes.MAX_SCALED_MARGIN
    logits = np.stack([margin / 2, -margin / 2], axis=1)
    points = Points((logits, np.zeros(len(margin), np.int64)), np.zeros((0, len(margin))), (len(margin),))
    seen = evaluator(points)
    gradient = seen.gradients[0]
    return LineShape(margin, (gradient[:, 0] - gradient[:, 1]) / 2, seen.loss if evaluator.pointwise else None)


def _describe(taken: list[Measurements], shape: LineShape) -> dict[str, Any]:
    ten = taken[-1].exact
    gradient, targets = np.abs(ten.gradient("near")[0]), ten.probes.groups["near"].tensors[1]
    own = float(np.take_along_axis(gradient, targets[:, None], axis=1).sum())
    return {
        **describe_line(shape),
        "gradient_balance": float(f"{own / float(gradient.sum()):.5g}") if gradient.any() else 0.5,
        "coupled": any(m.coupled for m in taken),
    }
