"""Poles inside the range are found even if random probes almost never meet them; wide conditions are not noted."""

import pytest
from written import written

from sandbox import known
from sandbox.numeric import run

POLES = {
    "simple": ("SBX304", "F.softplus(-x) + 1e-3 / (rho - 3)"),
    "double": ("SBX304", "F.softplus(-x) + 1e-3 / (rho - 3) ** 2"),
    "logarithm": ("SBX304", "F.softplus(-x) + 1e-3 * torch.log((rho - 5).abs())"),
    "slope": ("SBX305", "F.softplus(-x) + 0.01 * (rho - 7).abs().sqrt()"),
    "of_the_policy": ("SBX304", "F.softplus(-x) + 1e-3 / (pc + 100)"),
    "spike_beside_a_log_ratio": ("SBX313", "F.softplus(-x) + 1e8 * torch.exp(-((1e3 * (pc - rc + 3.14159)) ** 2))"),
    "step_of_the_margin": ("SBX313", "F.softplus(-x) + 1e6 * torch.tanh(1e4 * (rho - 3.14159))"),
    "in_a_column": ("SBX304", "F.softplus(-x) + 1e-3 / (rho - 3).unsqueeze(1).squeeze(1)"),
    "in_a_stack": (
        "SBX304",
        "F.softplus(-x) + 1e-3 / torch.stack([rho - 3, rho + 500], 1).sum(1) + torch.stack([1 / (rho - 5), x], 1)[:, 0]",
    ),
    "behind_decoys": (
        "SBX304",
        "d = sum([F.relu(rho - 7.0 * k) for k in range(17)])\nF.softplus(-x) + 1e-9 * d + 1e-3 / (rho - 3)",
    ),
    "behind_poles_that_do_no_harm": (
        "SBX305",
        "d = sum([torch.atan(1 / (rho - (40.5 + 3 * k))).detach() for k in range(20)])\n"
        "F.softplus(-x) + 1e-12 * d + 1e-3 * torch.sqrt((rho - 7) ** 2)",
    ),
}


@pytest.mark.parametrize("name", POLES)
def test_a_pole_inside_the_range_is_refused(name):
    code, expression = POLES[name]
    for seed in (0, 1, 2):
        assert code in {f.rule for f in run.run(written(expression), seed=seed).findings}


def test_a_loss_with_more_places_than_are_searched_is_refused():
    decoys = "d = sum([torch.atan(1 / (rho - (40.5 + 3 * k))).detach() for k in range(33)])\nF.softplus(-x) + 1e-12 * d"
    (finding,) = run.run(written(decoys), seed=0).findings
    assert finding.rule == "SBX334" and "33" in finding.message


WIDE = {
    "one_side_of_zero": "torch.where(rho < 0, 0.5, 1.0) * F.softplus(-x)",
    "a_wide_interval": "torch.where(x.abs() < 1, 2 * F.softplus(-x), F.softplus(-x))",
    "several_hinges": "torch.relu(1 - x) + torch.relu(0.5 - x) + torch.relu(2 - x)",
    "a_clamp_never_reached": "F.softplus(-x).clamp(max=50)",
    "a_clamped_margin": "F.softplus(-x.clamp(-30, 30))",
    "policy_against_policy": "torch.where(pc > pr, F.softplus(-x), 2 * torch.relu(1 - x))",
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_conditions_are_not_noted(name):
    for seed in (0, 1, 2):
        assert "SBX327" not in {f.rule for f in run.run(written(WIDE[name]), seed=seed).findings}


def test_published_losses_have_no_narrow_window():
    for name in known.names("preference"):
        for seed in (0, 1, 2):
            assert "SBX327" not in {f.rule for f in run.run(known.graph(name), seed=seed).findings}
