"""Generated losses through all of vetting: no crash, a reproducible verdict, and printed code that is vetted as the same loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from generated_losses import sources

from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import PREFERENCE
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.printers.python import to_python
from sandbox.identity.canonical import canonical_hash
from sandbox.verdicts.verdict import Verdict, VerdictStatus
from sandbox.vetting.vet import Vetter

CRASHES = {"SBX240", "SBX241", "SBX242", "SBX243", "SBX245", "SBX246", "SBX247"}
SOURCE_RULES = {"SBX1", "SBX2"}


@pytest.fixture(scope="module")
def vetter() -> Iterator[Vetter]:
    with Vetter() as vetter:
        yield vetter


def _said(verdict: Verdict) -> dict[str, Any]:
    """The content of a verdict without its duration."""
    said = verdict.to_json()
    said.pop("milliseconds")
    json.dumps(said, allow_nan=False)
    return said


def _vets_back(graph: LossGraph) -> None:
    answer = trace(to_python(graph), PREFERENCE)
    assert answer.graph is not None, (answer.violations, to_python(graph))
    assert canonical_hash(LossGraph.from_json(answer.graph)) == canonical_hash(graph), to_python(graph)


def _check(vetter: Vetter, source: str) -> bool:
    """Whether the loss was accepted."""
    verdict = vetter.vet(source)
    assert _said(vetter.vet(source)) == _said(verdict), source
    assert not {f.rule for f in verdict.findings} & CRASHES, source
    assert verdict.graph is not None, (
        source,
        verdict.findings,
    )  # natural text: what is wrong with it, the numbers tell
    assert not [f for f in verdict.refusals if f.rule[:4] in SOURCE_RULES], source
    assert verdict.hash == canonical_hash(verdict.graph)
    assert LossGraph.from_json(verdict.graph.to_json()) == verdict.graph
    _vets_back(verdict.graph)
    assert (verdict.fingerprint is None) == bool(verdict.refusals)
    return verdict.status is VerdictStatus.ACCEPTED


def test_generated_losses_get_one_verdict(vetter: Vetter) -> None:
    accepted = [_check(vetter, source) for source in sources(20, 40)]
    assert 10 <= sum(accepted) < len(accepted)


@pytest.mark.soak
def test_generated_losses_get_one_verdict_for_long(vetter: Vetter) -> None:
    for source in sources(21, 2000):
        _check(vetter, source)


def test_generated_losses_are_varied() -> None:
    graphs = {canonical_hash(LossGraph.from_json(trace(s, PREFERENCE).graph or "")) for s in sources(22, 200)}
    assert len(graphs) > 190
