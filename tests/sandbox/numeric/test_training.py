"""Batches as they occur in training: what fails there is refused, what is published is not, whatever the seed."""

import pytest
from written import written

from sandbox.numeric import run

DOWN = "hw, hl = pc - rc, pr - rr\n"
"""The two log-ratios."""
DEPTH = "depth = -0.5 * (hw + hl) - 3 * rho.abs()\n"
"""Large where both log-ratios are far below zero, and their margin is moderate."""
SIMILAR = "near = (rc - rr).abs().mean() < 0.5 * (rc + rr).abs().mean()\n"
"""Whether the completions of a batch have similar lengths."""
LEARNT = "learnt = (rho > 0).float().mean() > 0.85\n"

FAIL = {
    "nan_where_both_fell": (DOWN + DEPTH + "F.softplus(-x) + 0 * torch.sqrt(20 - depth)", {"SBX304", "SBX305"}),
    "explodes_where_both_fell": (DOWN + DEPTH + "F.softplus(-x) * (1 + 1e14 * (depth > 15).float())", {"SBX313"}),
    "reversed_where_both_fell": (DOWN + "F.softplus(torch.where((hw < -4) & (hl < -6), x, -x))", {"SBX310"}),
    "reversed_for_similar_lengths": (SIMILAR + "F.softplus(torch.where(near, x, -x))", {"SBX310"}),
    "dead_for_similar_lengths": (SIMILAR + "F.softplus(-x * (~near).float())", {"SBX307"}),
    "explodes_for_similar_lengths": (SIMILAR + "F.softplus(-x) * (1 + 1e14 * near.float())", {"SBX313"}),
    "reversed_once_learnt": (LEARNT + "F.softplus(torch.where(learnt, x, -x))", {"SBX310"}),
    "by_position_for_similar_lengths": (
        SIMILAR + "place = torch.ones_like(x).cumsum(0)\nF.softplus(-x) * torch.where(near, 1 / place, 1.0)",
        {"SBX311"},
    ),
}


@pytest.mark.parametrize("name", FAIL)
def test_a_loss_that_fails_only_on_batches_as_in_training_is_refused_for_every_seed(name: str) -> None:
    source, rules = FAIL[name]
    graph = written(source)
    for seed in range(8):
        report = run.run(graph, seed=seed)
        assert not report.passed
        assert {f.rule for f in report.findings if f.severity == "refuse"} <= rules


def test_the_remedy_for_a_direction_that_is_wrong_in_one_stage_keeps_the_sign() -> None:
    (finding,) = run.run(written(FAIL["reversed_where_both_fell"][0]), seed=0).findings
    assert "late in training" in finding.message and "keep the sign" in finding.remedy


PASS = {
    # Pairs that the reference finds unlikely have wrong labels in one of the worlds: such a loss is right there.
    "turns_pairs_by_their_level": "F.softplus(torch.where(rc + rr > -300, -x, x))",
    "has_a_target": DOWN + "(x - 0.5) ** 2",
    "targets_for_both_ratios": DOWN + "(beta * hw - 0.5) ** 2 + (beta * hl + 0.5) ** 2",
    "exponential": "torch.exp(-x)",
    "ranks_pairs": "w = 1 - 0.5 * torch.argsort(torch.argsort(x.detach())).float() / x.shape[0]\nw * F.softplus(-x)",
    "clamps_ratios": DOWN + "F.softplus(-beta * (hw.clamp(-20, 20) - hl.clamp(-20, 20)))",
    "hinge": "torch.relu(1 - x)",
}


@pytest.mark.parametrize("name", PASS)
def test_a_valid_loss_passes_for_every_seed(name: str) -> None:
    graph = written(PASS[name])
    for seed in range(8):
        assert [f for f in run.run(graph, seed=seed).findings if f.severity == "refuse"] == []
