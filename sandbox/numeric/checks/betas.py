"""Check that a preference loss has a usable gradient of the right sign at the betas that people train with (torch).

These are round betas and drawn ones. Not covered: a single beta, or a range narrower than a few per cent, between the tested
ones. If the graph shows such a place (`edges.beta_edges`), `direction_at` tests it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from sandbox.execute.evaluate import Array, Evaluator, Points
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.scalars import compute
from sandbox.numeric.checks.scale import SMALLEST_GRADIENT, too_small
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.direction import CLEARLY_WRONG, RIGHT_WAY, share_right, wrong_direction
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.finite import finite
from sandbox.numeric.measure.input_sets import BETAS, FIXED, at_betas, drawn_betas
from sandbox.numeric.measure.measure import Measurements
from sandbox.verdicts.verdict import Finding

_SUSPICIOUS: Final = 0.3
"""Share of the probes that raise the margin. A beta with a smaller share is tested again with more probes."""
_CONFIRMED_BY: Final = 20
"""How many times more."""
_DRAWN_SHARE, _DRAWN_SIZE = 0.03, SMALLEST_GRADIENT / 10
"""Smallest share and gradient at drawn betas. They are well below the thresholds at the fixed betas, so that a loss which passes
there does not fail by chance."""
_MOST_DRAWN: Final = 4
"""Drawn betas that are tested again. A loss with the wrong sign at one beta has it at the neighbouring betas too."""


def check_betas(evaluator: Evaluator, measured: Measurements) -> list[Finding]:
    """A refusal if the loss cannot be trained with at one of BETAS. Raises CannotCompute and NotFinite."""
    suspicious = _suspicious(BETAS, measured.single.gradient("betas"), measured.single.probes.groups["betas"])
    return _confirmed(evaluator, suspicious, FIXED, RIGHT_WAY, SMALLEST_GRADIENT)


def check_drawn_betas(evaluator: Evaluator, drawn: Measurements, seed: int) -> list[Finding]:
    """A refusal if the loss cannot be trained with at one of the drawn betas. Raises CannotCompute and NotFinite."""
    suspicious = _suspicious(drawn_betas(seed), drawn.single.gradient("betas"), drawn.single.probes.groups["betas"])
    return _confirmed(evaluator, suspicious[:_MOST_DRAWN], seed, _DRAWN_SHARE, _DRAWN_SIZE)


def direction_at(evaluator: Evaluator, betas: Sequence[float], seed: int) -> list[Finding]:
    """A refusal if the loss cannot be trained with at one of these betas. Betas outside the range of BETAS are skipped.

    The betas come from the graph, so a result on a few probes is confirmed on many before it refuses. Raises CannotCompute and
    NotFinite.
    """
    betas = [beta for beta in betas if BETAS[0] <= beta <= BETAS[-1]]
    if not betas:
        return []
    points = at_betas(betas, seed)
    gradients = np.stack(finite(evaluator, points, torch.float32).gradients)
    return _confirmed(evaluator, _suspicious(betas, gradients, points), seed, _DRAWN_SHARE, _DRAWN_SIZE)


def _suspicious(betas: Sequence[float], gradients: Array, points: Points) -> list[float]:
    """The betas at which too few probes, or too few of those with a negative margin, raise the margin. The points are those of one
    beta after those of the other."""
    gradients = gradients.reshape(2, len(betas), -1)
    size = np.abs(gradients).max(axis=(0, 2))
    push = gradients[1] - gradients[0]
    changed = np.abs(push) > 1e-9 * size[:, None]
    negative = changed & (inputs.margins(points).reshape(len(betas), -1) < 0)
    low = [
        ((push > 0) & counted).sum(axis=1) < _SUSPICIOUS * np.maximum(counted.sum(axis=1), 1)
        for counted in (changed, negative)
    ]
    return [betas[i] for i in np.flatnonzero((size < SMALLEST_GRADIENT) | low[0] | low[1]).tolist()]


def _confirmed(evaluator: Evaluator, betas: Sequence[float], seed: int, least: float, smallest: float) -> list[Finding]:
    """A refusal if many probes at one of these betas confirm it."""
    if not betas:
        return []
    points = at_betas(betas, seed, _CONFIRMED_BY)
    gradients = np.stack(finite(evaluator, points, torch.float32).gradients)
    negative = inputs.margins(points) < 0
    parts = (np.split(whole, len(betas), axis=-1) for whole in (gradients, negative))
    for beta, there, low in zip(betas, *parts, strict=True):
        place, example = f"at beta = {shown(beta)}", {"beta": beta}
        found = (
            too_small(there, place, example, smallest)
            or wrong_direction(there, place, example, least)
            or _lowers_negative(there[:, low], place, example)
        )
        if found:
            return found
    return []


def _lowers_negative(gradients: Array, place: str, example: Mapping[str, Any]) -> list[Finding]:
    """A refusal if the margin of nearly all pairs whose margin is negative is lowered. None without a gradient there."""
    share = share_right(gradients)
    if share is None or share >= CLEARLY_WRONG:
        return []
    message = f"the loss raises the margin of only {share:.0%} of the pairs whose margin is negative {place}"
    return [numeric_finding("SBX310", message, {"share": share, **example})]


def check_numbers(graph: VerifiedGraph, seed: int) -> list[Finding]:
    """A refusal of arithmetic on beta and sizes that fails in Python: a division by zero, the root of a negative number."""
    places = [i for i, kind in enumerate(graph.types) if kind.is_number]
    if not any(graph.nodes[i].args for i in places):
        return []
    for beta in (*BETAS, *drawn_betas(seed)):
        values: dict[int, Any] = {}
        for i in places:
            node = graph.nodes[i]
            values[i] = _number(node.op, node.attrs, [values[a] for a in node.args], beta)
            if math.isnan(values[i]):
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
