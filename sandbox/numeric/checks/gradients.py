"""Whether a loss gives any gradient to what is trained."""

from __future__ import annotations

import numpy as np

from sandbox.execute.evaluate import Evaluator
from sandbox.graph.dataflow import touched
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.measure import Measurements
from sandbox.verdicts.verdict import Finding


def check_gradients(evaluator: Evaluator, measured: Measurements, trained: str, it: str) -> list[Finding]:
    """A refusal where there is no gradient, or zero at every probe. `trained` and its pronoun `it` are for the message."""
    graph, exact = evaluator.graph, measured.exact
    if not exact.evaluation.connected:
        reads = touched(graph)[graph.output]
        how = f"what is read of {it} is detached, compared or rounded" if reads else f"the loss does not read {it}"
        return [numeric_finding("SBX306", f"no gradient reaches {trained}: {how}")]
    if not measured.zero:
        return []
    losses = exact.evaluation.loss
    if np.ptp(losses) <= 1e-12 * (1 + np.abs(losses).max()):
        return [numeric_finding("SBX308", f"the loss is {shown(losses[0])} at every probe", {"loss": losses[0]})]
    return [numeric_finding("SBX307", f"the gradient to {trained} is zero at every probe", {"probes": losses.size})]
