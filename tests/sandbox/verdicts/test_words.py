"""A refusal states the observed value: NaN, infinity or zero, whichever measurement has it.

The tests overwrite one group of probes after the other in an evaluation: losses or gradients, in float64 or float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from sandbox import known
from sandbox.execute import evaluate
from sandbox.execute.evaluate import Evaluation, Evaluator, Points
from sandbox.graph.loss_graph import LossGraph
from sandbox.numeric import run
from sandbox.numeric.measure.findings import shown
from sandbox.numeric.run import ProbeReport
from sandbox.verdicts.verdict import Severity

SEED = 3
NOT_FINITE = {"SBX304", "SBX305", "SBX322", "SBX323"}
OF_ZERO = {"SBX307", "SBX308", "SBX321", "SBX329"}
LOSSES = ("dpo", "kto_pair", "focal")


@dataclass
class Fault:
    """A value that overwrites some items of one evaluation."""

    call: int
    items: slice
    value: float
    of: str

    def __str__(self) -> str:
        return f"{self.of}-{self.value}-{self.call}-{self.items.start}"


class Faulty(Evaluator):
    """An evaluator that returns a fault; without a fault it records the points that it is called with."""

    def __init__(self, graph: LossGraph, fault: Fault | None) -> None:
        super().__init__(graph)
        self.fault = fault
        self.asked: list[Points] = []

    def __call__(self, points: Points, dtype: torch.dtype = torch.float64) -> Evaluation:
        seen = super().__call__(points, dtype)
        self.asked.append(points)
        fault = self.fault
        if fault is None or len(self.asked) - 1 != fault.call:
            return seen
        loss, gradients = seen.loss.copy(), tuple(g.copy() for g in seen.gradients)
        for values in (loss,) if fault.of == "loss" else gradients:
            values[fault.items] = fault.value
        return Evaluation(loss, gradients, seen.connected)


def _run(graph: LossGraph, fault: Fault | None, monkeypatch: pytest.MonkeyPatch) -> tuple[ProbeReport, list[Points]]:
    evaluator = Faulty(graph, fault)
    monkeypatch.setattr(evaluate, "_latest", evaluator)
    return run.run(graph, seed=SEED), evaluator.asked


def _stretches(points: Points) -> Iterator[slice]:
    """Runs of batches of one size, cut where beta changes: groups of probes, or finer."""
    start = 0
    betas = points.scalars[0] if len(points.scalars) else np.zeros(len(points))
    for before, after in zip(points.spans, [*points.spans[1:], None], strict=True):
        ends = after is None or after.stop - after.start != before.stop - before.start
        if ends or betas[after.start] != betas[before.start]:
            yield slice(start, before.stop)
            start = before.stop


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0])
@pytest.mark.parametrize("name", LOSSES)
def test_every_refusal_states_the_observed_value(name: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = known.graph(name)
    healthy, asked = _run(graph, None, monkeypatch)
    assert healthy.passed
    for call, points in enumerate(asked):
        stretches = list(_stretches(points))
        for items in stretches[:: max(1, len(stretches) // 10)]:
            for of in ("loss", "gradient"):
                fault = Fault(call, items, value, of)
                report, _ = _run(graph, fault, monkeypatch)
                _well_told(report, healthy, fault)


def _well_told(report: ProbeReport, healthy: ProbeReport, fault: Fault) -> None:
    usual = {f.rule for f in healthy.findings}
    new = [f for f in report.findings if f.rule not in usual]
    if fault.value == 0:
        refusals = [f for f in new if f.severity is Severity.REFUSE]
        assert all("zero" in f.message or f.rule == "SBX311" for f in refusals), (str(fault), refusals)
        assert not {f.rule for f in new} & NOT_FINITE, (str(fault), new)
        return
    told = [f for f in new if f.rule in NOT_FINITE]
    assert all(f.rule in NOT_FINITE or f.severity is Severity.NOTE for f in new), (str(fault), new)
    assert not {f.rule for f in new} & OF_ZERO, (str(fault), new)
    for finding in told:
        number: Any = finding.counterexample[fault.of]
        assert number == shown(fault.value) and shown(fault.value) in finding.message.split(), (str(fault), finding)


def test_a_value_that_is_not_finite_is_found_in_every_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = known.graph("kto_pair")
    _, asked = _run(graph, None, monkeypatch)
    for call, points in enumerate(asked):
        report, _ = _run(graph, Fault(call, slice(0, len(points)), math.nan, "gradient"), monkeypatch)
        assert {f.rule for f in report.findings} & NOT_FINITE, (call, len(points))
