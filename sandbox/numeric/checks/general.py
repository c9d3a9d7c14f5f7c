"""The numeric tests of any contract, at inputs that the contract's record draws (torch). See `numeric.run` for what they cover.

Refused: a loss that is not finite in the range of `Inputs.draw`, has no gradient, or depends on an item's position in the batch.
Not covered: properties that are specific to the contract, such as the sign of the gradient.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from sandbox.execute.evaluate import Evaluator, Points, joined
from sandbox.graph.dataflow import depends_on_trainable
from sandbox.numeric.checks.batches import check_batches
from sandbox.numeric.checks.derivatives import check_derivatives
from sandbox.numeric.checks.scale import too_large, too_large_as_drawn, too_small
from sandbox.numeric.measure.contract_inputs import Inputs, inputs_of
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.input_sets import FIXED, Sets
from sandbox.numeric.measure.inputs import ProbeSet, reordering
from sandbox.numeric.measure.measure import Measurements, Wanted, measure, same
from sandbox.verdicts.verdict import Finding, Severity

_RANGE = ("start", "near", "wide", "pair", "odd")
_FIXED = Wanted(("start", "near", "wide", "permuted", "mixed"), _RANGE)
_DRAWN = Wanted(("near", "wide"), _RANGE)
_ITEMS, _FAR = 24, 10.0
_MOST = 64
"""Items of the largest batch of `check_batches`."""


def run(evaluator: Evaluator, seed: int) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and descriptors of a loss. Raises CannotCompute and NotFinite."""
    inputs, graph = inputs_of(evaluator.graph.contract), evaluator.graph
    findings = check_derivatives(graph) or check_batches(graph, _largest(inputs), proven=evaluator.pointwise)
    if any(f.severity is Severity.REFUSE for f in findings):
        return findings, {}
    at_fixed, at_drawn = measure(evaluator, _sets(inputs, seed), _FIXED, _DRAWN)
    measured = at_fixed.checked()
    what = " or ".join(a.name for a in inputs.contract.tensors if a.learns)
    refused = without_gradient(evaluator, measured, what) or _scale(measured) or position_dependent(measured, "an item")
    findings = [*findings, *(refused or too_large_as_drawn(at_drawn.checked().single, measured.single))]
    return [*findings, *coupled(measured, "an item")], {"coupled": measured.coupled}


def without_gradient(evaluator: Evaluator, measured: Measurements, what: str) -> list[Finding]:
    """A refusal if no gradient reaches the arguments named `what`, or if the gradient is zero at every probe."""
    graph, exact = evaluator.graph, measured.exact
    if not exact.evaluation.connected:
        reads = depends_on_trainable(graph)[graph.output]
        how = "every value read from it is detached, compared or rounded" if reads else "the loss does not read it"
        return [numeric_finding("SBX306", f"no gradient reaches {what}: {how}")]
    if measured.zero:
        losses = exact.evaluation.loss
        if np.ptp(losses) <= 1e-12 * (1 + np.abs(losses).max()):
            return [numeric_finding("SBX308", f"the loss is {shown(losses[0])} at every probe", {"loss": losses[0]})]
        return [numeric_finding("SBX307", f"the gradient to {what} is zero at every probe", {"probes": losses.size})]
    return []


def position_dependent(measured: Measurements, item: str) -> list[Finding]:
    """A refusal if the gradient of an item depends on its position in the batch. `item` is its name, such as "a pair"."""
    exact = measured.exact
    if "permuted" not in exact.probes.items:
        return []
    expected, found = exact.gradient("near")[:, exact.probes.order], exact.gradient("permuted")
    if same(expected, found):
        return []
    change = float(np.abs(expected - found).max())
    message = f"the loss depends on {item}'s position in the batch: its gradient changes by {shown(change)} with it"
    return [numeric_finding("SBX311", message, {"change": change})]


def coupled(measured: Measurements, item: str) -> list[Finding]:
    """A note if it is not proved that an item's loss depends on this item only. `item` is its name, such as "a pair"."""
    if measured.proven:
        return []
    size = len(measured.exact.probes.groups["near"])
    return [numeric_finding("SBX326", f"{item}'s gradient {measured.coupling}", {"batch": size})]


def _scale(measured: Measurements) -> list[Finding]:
    return too_small(measured.single.gradient("near"), "at usual inputs", {}) or too_large(measured.single)


@lru_cache(maxsize=16)
def _sets(inputs: Inputs, seed: int) -> Sets:
    return Sets(_groups(inputs, FIXED), _groups(inputs, seed))


@lru_cache(maxsize=16)
def _groups(inputs: Inputs, seed: int) -> ProbeSet:
    rng = np.random.default_rng([seed, 7])
    near, other = (inputs.points(rng, (_ITEMS,), spread) for spread in (1.0, 2.0))
    order, half = reordering(rng, _ITEMS), _ITEMS // 2
    groups = {
        "start": inputs.points(rng, (4,), 0.0),
        "near": near,
        "wide": inputs.points(rng, (_ITEMS, _ITEMS), _FAR),
        "pair": inputs.points(rng, (2,), 2.0),
        "odd": inputs.points(rng, (7,), 2.0),
        "permuted": near.take(order),
        "mixed": joined([near.take(slice(half)), other.take(slice(half, None))]).take(slice(None)),
    }
    return ProbeSet.of(groups, order)


@lru_cache(maxsize=4)
def _largest(inputs: Inputs) -> Points:
    return inputs.points(np.random.default_rng([FIXED, 8]), (_MOST,), 1.0)
