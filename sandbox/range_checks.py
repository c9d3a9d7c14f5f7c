"""What probes of one beta, in float64, at batches of one size cannot tell of a preference loss (torch).

Each check answers a way of looking fine where one is tested: another sign at another beta, in float32, from the hundredth item
on, where the policy has lost its pair; arithmetic on beta that Python refuses; gradients too large to be squared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch

from sandbox import probes
from sandbox.batch_checks import check_finite
from sandbox.equivariance import is_equivariant
from sandbox.evaluate import Array, Evaluator, Points, joined
from sandbox.findings import numeric_finding, shown
from sandbox.graph import LossGraph
from sandbox.measure import Measurements, same
from sandbox.scalars import compute
from sandbox.verdict import Finding, Severity

BETAS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
"""What people train with: the values of the papers' sweeps and between."""
RIGHT_WAY: Final = 0.1
"""A loss that pushes the right way at a smaller share of the probes is turned round."""
LARGEST_GRADIENT: Final = 1e15
"""Optimisers square gradients, and clipping sums their squares: far enough from float32's 3e38."""
_LOST_SHARE: Final = 0.05
"""Share of clearly lost pairs that may be pushed further down without a note."""
_SCALED = np.tile([-6.0, -2.5, -1.0, -0.4, 0.4, 1.0, 2.5, 6.0], 3)

Describe = Callable[[Points, int], dict[str, Any]]


def check_range(evaluator: Evaluator, measured: Measurements, seed: int, describe: Describe) -> list[Finding]:
    """Findings of all checks here, up to the first that refuses. Raises CannotCompute."""
    findings = _numbers(evaluator.graph)
    if not findings and not evaluator.pointwise:
        findings = check_finite(evaluator.graph, measured.single.probes.groups["wide"])
    for check in (_betas, _single, _sizes, _places, _magnitude, _lost_pairs):
        if any(f.severity is Severity.REFUSE for f in findings):
            break
        findings += check(evaluator, measured, seed, describe)
    return findings


def _numbers(graph: LossGraph) -> list[Finding]:
    """Arithmetic on beta and sizes that Python refuses: a division by zero, the root of a negative number."""
    if not any(n.op == "input" and t.is_number for n, t in zip(graph.nodes, graph.types, strict=True)):
        return []
    for beta in BETAS:
        values: list[Any] = []
        for node, kind in zip(graph.nodes, graph.types, strict=True):
            values.append(
                _number(node.op, node.attrs, [values[a] for a in node.args], beta) if kind.is_number else None
            )
            if values[-1] is not None and np.isnan(values[-1]):
                message = f"{node.op} on numbers has no result at beta = {shown(beta)}"
                return [numeric_finding("SBX301", message, {"beta": beta})]
    return []


def _number(op: str, attrs: Any, args: list[Any], beta: float) -> Any:
    match op:
        case "input":
            return beta
        case "size":
            return 64
        case "const":
            return attrs["value"]
    return compute(op, *args)


def _betas(evaluator: Evaluator, measured: Measurements, seed: int, describe: Describe) -> list[Finding]:
    """Finite, and pushing the right way, at every beta that people use."""
    points = _beta_points(seed)
    exact, single = evaluator(points), evaluator(points, torch.float32)
    bad = ~np.isfinite(np.stack([single.loss, *single.gradients])).all(axis=0)
    if bad.any():
        i = int(bad.argmax())
        example = describe(points, i)
        what = "loss" if not np.isfinite(single.loss[i]) else "gradient"
        message = f"the {what} is not finite at beta = {shown(example['beta'])}, rho = {shown(example['rho'])}"
        return [numeric_finding("SBX304" if what == "loss" else "SBX305", message, example)]
    for beta, batch in zip(BETAS, points.spans, strict=True):
        for seen, precision in ((exact, "float64"), (single, "float32")):
            push = -np.subtract(*(g[batch] for g in seen.gradients))
            turned = _turned(push, f"at beta = {shown(beta)} in {precision}", {"beta": beta})
            if turned:
                return turned
    return []


@lru_cache(maxsize=16)
def _beta_points(seed: int) -> Points:
    rng = np.random.default_rng([seed, 3])
    parts = []
    for beta in BETAS:
        x = _SCALED * np.exp(rng.normal(0, 0.1, len(_SCALED)))
        chosen, rejected = probes.split(x / beta, rng.normal(0.5, 0.7, len(x)), beta)
        levels = np.exp(rng.uniform(0, np.log(1000.0), (2, len(x))))
        parts.append(probes.margin_points(chosen, rejected, levels, beta))
    return joined(parts)


def _turned(push: Array, where: str, example: dict[str, Any]) -> list[Finding]:
    """A refusal where the margin is pushed down nearly everywhere, or nowhere pushed at all."""
    counts = np.abs(push) > 1e-9 * np.abs(push).max()
    if not counts.any():
        return [numeric_finding("SBX307", f"the gradient to the policy is zero {where}", example)]
    right = float((push[counts] > 0).mean())
    if right >= RIGHT_WAY:
        return []
    message = f"the loss raises the margin at only {right:.0%} of the probes {where}"
    return [numeric_finding("SBX310", message, {"share": right, **example})]


def _single(evaluator: Evaluator, measured: Measurements, seed: int, describe: Describe) -> list[Finding]:
    """The direction again in float32, which is what trains."""
    push = np.concatenate([-np.subtract(*measured.single.gradient(g)) for g in ("near", "wide")])
    return _turned(push, "in float32", {"precision": "float32"})


def _sizes(evaluator: Evaluator, measured: Measurements, seed: int, describe: Describe) -> list[Finding]:
    """The direction in batches of each size, where the size may matter."""
    if evaluator.pointwise:
        return []
    for group in ("near", "wide", "line"):
        push = -np.subtract(*measured.exact.gradient(group))
        turned = _turned(push, f"in a batch of {len(push)}", {"batch": len(push)})
        if turned:
            return turned
    return []


def _places(evaluator: Evaluator, measured: Measurements, seed: int, describe: Describe) -> list[Finding]:
    """Where nothing proves that an item's place is of no account: a batch of two hundred, reordered."""
    if evaluator.pointwise or is_equivariant(evaluator.graph):
        return []
    points = measured.exact.probes.groups["line"]
    order = probes.reordering(np.random.default_rng([seed, 4]), len(points))
    moved = points.take(order)
    expected, found = measured.exact.gradient("line")[:, order], np.stack(evaluator(moved).gradients)
    if not same(expected, found):
        gap = np.abs(expected - found).max(axis=0)
        i = int(gap.argmax())
        batch = f"in a batch of {len(points)} its gradient changes by {shown(gap[i])}"
        message = f"the loss depends on a pair's position in the batch: {batch}"
        return [numeric_finding("SBX311", message, {"change": gap[i], **describe(moved, i)})]
    message = (
        f"nothing shows that a pair's place is of no account, although batches of up to {len(points)} can be reordered"
    )
    return [numeric_finding("SBX330", message, {"batch": len(points)})]


def _magnitude(evaluator: Evaluator, measured: Measurements, seed: int, describe: Describe) -> list[Finding]:
    size = np.abs(measured.single.gradient("near")).max(axis=0)
    i = int(size.argmax())
    if size[i] <= LARGEST_GRADIENT:
        return []
    points = measured.single.probes.groups["near"]
    example = describe(points, i)
    message = (
        f"the gradient is {shown(size[i])} at rho = {shown(example['rho'])}, beta = {shown(example['beta'])}: its square "
        "overflows, so no optimiser can use it"
    )
    return [numeric_finding("SBX305", message, {"gradient": size[i], **example})]


def _lost_pairs(evaluator: Evaluator, measured: Measurements, seed: int, describe: Describe) -> list[Finding]:
    """Pairs that the policy gets wrong, and that the loss pushes further down."""
    groups = [measured.exact.probes.groups[g] for g in ("near", "wide")]
    points = joined(groups)
    push = np.concatenate([-np.subtract(*measured.exact.gradient(g)) for g in ("near", "wide")])
    lost = probes.margins(points) * points.scalars[0] < -0.2
    wrong = lost & (push < -1e-9 * measured.scale)
    share = float(wrong.sum() / max(lost.sum(), 1))
    if share <= _LOST_SHARE:
        return []
    i = int(np.where(wrong, np.abs(probes.margins(points) * points.scalars[0]), np.inf).argmin())
    example = describe(points, i)
    message = (
        f"the loss lowers the margin of {share:.0%} of the pairs whose margin is negative already, such as at "
        f"rho = {shown(example['rho'])}, beta = {shown(example['beta'])}"
    )
    return [numeric_finding("SBX331", message, {"share": share, **example})]
