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
    "reversed_below_a_margin_at_large_betas": (
        "F.softplus(-torch.where((rho < 1) & (beta + 0 * rho > 0.12), -1.0, 1.0) * x)",
        {"SBX310"},
    ),
    "reversed_smoothly_at_large_betas": (
        "w = torch.sigmoid(40 * (beta + 0 * rho - 0.12)) * torch.sigmoid(5 * (1 - rho))\nF.softplus((2 * w - 1) * x)",
        {"SBX310"},
    ),
    "negative_margins_are_lowered_at_large_betas": (
        "F.softplus(torch.where((rho < -0.05) & (beta + 0 * rho > 0.12), x, -x))",
        {"SBX310"},
    ),
    "reversed_at_small_betas": ("F.softplus(torch.where((rho < 1) & (beta + 0 * rho < 0.045), x, -x))", {"SBX310"}),
    "dead_at_usual_lengths": ("torch.where(rc < -15, 0.0, 1.0) * F.softplus(-x)", {"SBX307"}),
    "hardly_any_gradient_at_usual_lengths": ("F.softplus(torch.where(rc < -15, 1e-9, 1.0) * -x)", {"SBX307"}),
    "dead_smoothly_at_usual_lengths": ("torch.sigmoid(rc + 15) * F.softplus(-x)", {"SBX307"}),
    "dead_at_usual_lengths_and_large_betas": (
        "torch.where((rc < -4) & (beta + 0 * rc > 0.12), 0.0, 1.0) * F.softplus(-x)",
        {"SBX307"},
    ),
    "reversed_once_both_begin_to_fall": (
        DOWN + "F.softplus(torch.where((hw + hl < 0) & (hw + hl > -100) & (rho.abs() < 1.9), x, -x))",
        {"SBX310"},
    ),
    "reversed_once_both_fell_a_nat": (
        DOWN + "F.softplus(torch.where((hw < -1) & (hl < -1) & (hw > -20) & (hl > -20), x, -x))",
        {"SBX310"},
    ),
    "positive_margins_are_lowered_at_usual_lengths": (
        "F.softplus(torch.where((rc < -4) & (rho > 0), x, -x))",
        {"SBX310"},
    ),
    "reversed_late_at_large_betas": (
        DOWN + "F.softplus(torch.where((hw < -7) & (hl < -7) & (beta + 0 * x > 0.12), x, -x))",
        {"SBX310"},
    ),
    "raises_both": ("F.softplus(-x) - 10 * (pc - rc + pr - rr)", {"SBX335"}),
    "lowers_both": ("F.softplus(-x) + 0.3 * (pc - rc + pr - rr)", {"SBX335"}),
    "moves_both_up_or_down_by_a_condition": (
        DOWN + "F.softplus(-x) + torch.where(rc < rr, 50.0, -50.0) * beta * (hw + hl)",
        {"SBX335"},
    ),
    "moves_both_up_or_down_smoothly": (
        DOWN + "F.softplus(-x) + 50 * torch.tanh((rc - rr) / 9) * beta * (hw + hl)",
        {"SBX335"},
    ),
    "lowers_both_of_long_ones": (
        DOWN + "F.softplus(-x) + torch.where(rc + rr < -300, 30.0, 0.0) * beta * (hw + hl)",
        {"SBX335"},
    ),
    "pushes_both_away_once_below": (DOWN + "F.softplus(-x) + 10 * (hw + hl).clamp(max=-6)", {"SBX335"}),
    "pushes_both_away_from_the_start": (
        DOWN + "F.softplus(-x) - 30 * beta * torch.sqrt((hw + hl) ** 2 + 0.01)",
        {"SBX335"},
    ),
    "only_pushes_away_late": (
        DOWN + "torch.where((hw + hl) < -24, 30 * beta * (hw + hl), F.softplus(-x))",
        {"SBX335", "SBX310", "SBX307"},
    ),
    "reversed_far_below": (DOWN + "torch.where(hl < -40, 20 * beta * hw, F.softplus(-x))", {"SBX310"}),
    "reversed_on_average_far_below": (DOWN + "F.softplus(torch.where(hw.mean() < -36, x, -x))", {"SBX310"}),
    "reversed_on_average_at_a_small_beta": (
        DOWN + "F.softplus(torch.where(hw.mean() < -1000 * beta, x, -x))",
        {"SBX310"},
    ),
    "reversed_by_a_sum_over_the_batch": (DOWN + "F.softplus(torch.where(hw.sum() < -7000, x, -x))", {"SBX310"}),
    "nan_by_a_sum_over_the_batch": (DOWN + "F.softplus(-x) + 0 * torch.exp(-0.01 * hw.sum())", {"SBX304", "SBX305"}),
    "reversed_above_a_beta": ("F.softplus(torch.where(beta + 0 * x > 2.7, x, -x))", {"SBX310"}),
    "nan_far_out_at_middling_betas": (
        "F.softplus(-x) + 1e-3 * torch.log(4 - (beta - 0.1) * (1 - beta) * rho.abs())",
        {"SBX304"},
    ),
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


BOTH = "g = (rc < -60) & (rc > -250) & (rr < -60) & (rr > -250)\n"
"""Whether both completions have a usual length: few pairs whose lengths are drawn independently have that, most real ones do."""
NOTED = {
    "reversed_for_two_usual_lengths": (BOTH + "F.softplus(torch.where(g, x, -x))", "SBX331", "-120"),
    "reversed_for_similar_lengths": ("F.softplus(torch.where((rc - rr).abs() < 0.2 * rc.abs(), x, -x))", "SBX331", ""),
    "reversed_for_a_band_of_lengths": ("F.softplus(torch.where((rc < -90) & (rc > -125), x, -x))", "SBX331", "-120"),
    "dead_for_two_usual_lengths": (BOTH + "torch.where(g, 0.0, 1.0) * F.softplus(-x)", "SBX333", "-120"),
    "dead_once_both_fell_a_nat": (
        DOWN + "torch.where((hw < -1) & (hl < -1), 0.0, 1.0) * F.softplus(-x)",
        "SBX333",
        "both log-ratios below zero",
    ),
    "reversed_at_the_start_at_other_betas": (
        "F.softplus(torch.where((x.abs() < 0.1) & (beta + 0 * rho > 0.12), x, -x))",
        "SBX324",
        "beta = 0.25",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_a_loss_does_in_a_part_of_such_batches_is_noted_for_every_seed(name: str) -> None:
    source, rule, words = NOTED[name]
    graph = written(source)
    for seed in range(4):
        report = run.run(graph, seed=seed)
        assert report.passed
        (noted,) = (f for f in report.findings if f.rule == rule)
        assert words in noted.message


@pytest.mark.parametrize("name", ["pc", "pr", "rc", "rr"])
def test_a_loss_that_turns_pairs_of_a_few_tokens_is_noted(name: str) -> None:
    for bound in (-0.2, -1.0, -3.0, -8.0):
        report = run.run(written(f"F.softplus(torch.where({name} > {bound}, x, -x))"), seed=0)
        assert report.passed and "SBX331" in {f.rule for f in report.findings}, bound
        dead = run.run(written(f"F.softplus(-x) + torch.where({name} > {bound}, 0.01, 0.0) * {name}.detach()"), seed=0)
        assert "SBX331" not in {f.rule for f in dead.findings}, bound


BY_LEVEL = {
    "leaves_out_long_ones": "torch.where(rc > -100, F.softplus(-x), 0 * x)",
    "weighs_by_length": "torch.sigmoid((rc + 100) / 2) * F.softplus(-x)",
    "weighs_by_probability": "torch.exp(rc / 10).detach() * F.softplus(-x)",
    "turns_long_ones": "F.softplus(torch.where(rc < -40, x, -x))",
    "turns_smoothly": "torch.tanh(2 + rc / 30) * F.softplus(-x)",
}


@pytest.mark.parametrize("name", BY_LEVEL)
def test_no_draw_decides_on_a_loss_that_treats_pairs_by_their_level(name: str) -> None:
    graph = written(BY_LEVEL[name])
    assert all(run.run(graph, seed=seed).passed for seed in range(20))


def test_no_draw_decides_on_a_loss_that_turns_whole_batches_of_large_margins() -> None:
    for bound in (17, 18, 19, 20):
        graph = written(f"F.softplus(torch.where(rho.mean() > {bound}, x, -x))")
        assert len({run.run(graph, seed=seed).passed for seed in range(24)}) == 1


def test_no_draw_decides_on_a_loss_that_raises_few_negative_margins() -> None:
    graph = written("torch.where(x < -0.07, (x + 0.5) ** 2, 5 * F.softplus(-x))")
    assert len({run.run(graph, seed=seed).passed for seed in range(40)}) == 1


PASS = {
    # Pairs that the reference finds unlikely have wrong labels in one of the worlds: such a loss is right there.
    "turns_pairs_by_their_level": "F.softplus(torch.where(rc + rr > -300, -x, x))",
    "has_a_target": DOWN + "(x - 0.5) ** 2",
    "targets_for_both_ratios": DOWN + "(beta * hw - 0.5) ** 2 + (beta * hl + 0.5) ** 2",
    "exponential": "torch.exp(-x)",
    "holds_back_both": DOWN + "F.softplus(-x) + 0.1 * (hw + hl) ** 2",
    "holds_back_the_rejected": DOWN + "F.softplus(-x) + 0.01 * F.relu(-hl - 10) ** 2",
    "estimates_kl_to_first_order": DOWN + "F.softplus(-x) - 0.05 * (hw + hl)",
    "estimates_kl_to_third_order": DOWN
    + "F.softplus(-x) + 0.05 * ((-hw).clamp(max=4).exp() - 1 + hw + (-hl).clamp(max=4).exp() - 1 + hl)",
    "entropy_bonus": "F.softplus(-x) + 0.01 * (pc + pr)",
    "with_a_likelihood_term": "F.softplus(-x) - 0.2 * pc",
    "ranks_pairs": "w = 1 - 0.5 * torch.argsort(torch.argsort(x.detach())).float() / x.shape[0]\nw * F.softplus(-x)",
    "clamps_ratios": DOWN + "F.softplus(-beta * (hw.clamp(-20, 20) - hl.clamp(-20, 20)))",
    "hinge": "torch.relu(1 - x)",
}


@pytest.mark.parametrize("name", PASS)
def test_a_valid_loss_passes_for_every_seed(name: str) -> None:
    graph = written(PASS[name])
    for seed in range(8):
        assert [f for f in run.run(graph, seed=seed).findings if f.severity == "refuse"] == []
