"""The verdict does not depend on the seed: status, rules and descriptors."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest
from generated_losses import sources
from random_graphs import random_graph
from written import written

from sandbox.graph.loss_graph import LossGraph
from sandbox.numeric import run
from sandbox.numeric.run import ProbeReport
from sandbox.vetting.vet import Vetter


def _traced(seed: int, count: int) -> Iterator[LossGraph]:
    with Vetter() as vetter:
        for source in sources(seed, count):
            graph = vetter.vet(source, numeric=False).graph
            if graph is not None:
                yield graph


def _random(count: int) -> Iterator[LossGraph]:
    for i in range(count):
        contract = "classification" if i % 4 == 0 else "preference"
        yield random_graph(random.Random(i), contract, operations=6 if i % 2 else 10)


def _same_for_all(graphs: Iterable[LossGraph], seeds: tuple[int, ...]) -> int:
    """The number of accepted losses; fails if two seeds give different verdicts."""
    accepted = 0
    for graph in graphs:
        first, *others = (run.run(graph, seed=seed) for seed in seeds)
        accepted += first.passed
        for other in others:
            assert _verdict(other) == _verdict(first), (graph.to_json(), first.findings, other.findings)
    return accepted


def _verdict(report: ProbeReport) -> tuple[bool, set[str], dict[str, object]]:
    return report.passed, {f.rule for f in report.findings}, dict(report.descriptors)


def test_a_hundred_losses_have_one_verdict_each() -> None:
    assert _same_for_all(_traced(1, 100), (11, 12)) > 60


def test_a_loss_that_is_exponential_in_a_log_ratio_has_one_verdict() -> None:
    """TRL's alpha divergence, with log-ratios clamped at 88: its gradient is largest at the most distant drawn pair."""
    ratios = "torch.exp((rr - pr).clamp(max=88.0)) - torch.exp((rc - pc).clamp(max=88.0))"
    reports = [run.run(written(f"-F.logsigmoid(beta * ({ratios}))"), seed=seed) for seed in range(60)]
    assert all(report.passed for report in reports)
    assert not {f.rule for report in reports for f in report.findings} & {"SBX321"}  # both sides get a gradient


def test_random_graphs_have_one_verdict_each() -> None:
    assert _same_for_all(_random(100), (11, 12)) > 2


@pytest.mark.soak
def test_two_thousand_losses_have_one_verdict_each() -> None:
    assert _same_for_all(_traced(2, 2000), (11, 12, 13)) > 1200


@pytest.mark.soak
def test_thousands_of_random_graphs_have_one_verdict_each() -> None:
    assert _same_for_all(_random(4000), (11, 12, 13)) > 100
