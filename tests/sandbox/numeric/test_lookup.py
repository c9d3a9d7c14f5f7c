"""Losses that single out pairs by the reference's values are noted or refused; other losses are not."""

import pytest
from written import written

from sandbox import known
from sandbox.graph.nodes import GraphError
from sandbox.numeric import run

PICK = "F.softplus(torch.where(w, 50 * x, -x))"
SOFT = "F.softplus(-x) + w * 100 * x"

WINDOWS = {
    "interval": f"w = (rc > -137.6) & (rc < -137.5)\n{PICK}",
    "interval_of_the_policy": f"w = (pc > -137.6) & (pc < -137.5)\n{PICK}",
    "interval_of_the_difference": f"w = (rc - rr > -17.6) & (rc - rr < -17.5)\n{PICK}",
    "interval_of_a_sum": f"w = (rc + 2 * rr > -317.6) & (rc + 2 * rr < -317.5)\n{PICK}",
    "as_a_column": f"c = rc.unsqueeze(1)\nw = ((c > -137.6) & (c < -137.5)).squeeze(1)\n{PICK}",
    "as_a_row": f"c = rc[None, :]\nw = ((c > -137.6) & (c < -137.5))[0]\n{PICK}",
    "in_a_stack": (f"s = torch.stack([rc + 137.6, -137.5 - rc], dim=1)\nw = (s > 0).all(dim=1)\n{PICK}"),
    "smallest_of_a_stack": (f"s = torch.stack([rc + 137.6, -137.5 - rc], dim=1)\nw = s.amin(dim=1) > 0\n{PICK}"),
    "behind_decoys_of_the_margin": (
        f"d = sum([F.relu(rho - 7.0 * k) for k in range(17)]) * 1e-9\nw = (rc > -137.6) & (rc < -137.5)\n{PICK} + d"
    ),
    "floor": "w = torch.floor((rc + 137.6) * 10).bool()\nF.softplus(torch.where(w, -x, 50 * x))",
    "round": f"w = torch.round(rc * 10) == -1375\n{PICK}",
    "trunc": f"w = torch.trunc(rc * 10).eq(-1375)\n{PICK}",
    "long": f"w = (rc * 10).long() == -1375\n{PICK}",
    "bool": f"w = ~(rc + 137.5).bool()\n{PICK}",
    "fraction": f"w = torch.frac(rc * 7.3) > -0.5\n{PICK}",
    "remainder": f"w = (rc % 0.37) > 0.2\n{PICK}",
    "argmin": "w = torch.stack([rc * 0 + 0.05, (rc + 137.5).abs()], 1).argmin(1)\nF.softplus(torch.where(w.bool(), 50 * x, -x))",
    "infinity": f"w = torch.isinf(torch.exp(-1e4 * (rc + 137.5))) & torch.isinf(torch.exp(1e4 * (rc + 137.6)))\n{PICK}",
    "not_finite": f"w = torch.isfinite(torch.exp(1e4 * ((rc + 137.5) ** 2 - 1e-3)))\n{PICK}",
    "lorentzian": f"w = 1 / (1 + (1000 * (rc + 137.5)) ** 2)\n{SOFT}",
    "lorentzian_by_pow": f"w = (1 + (1000 * (rc + 137.5)) ** 2) ** -1\n{SOFT}",
    "lorentzian_by_reciprocal": f"w = torch.reciprocal(1 + (300 * (rr + 77.25)).square())\n{SOFT}",
    "gaussian": f"w = torch.exp(-((50 * (rc + 137.5)) ** 2))\n{SOFT}",
    "difference_of_softplus": f"w = F.softplus(100 * (rc + 137.6)) - F.softplus(100 * (rc + 137.5)) - 10\n{SOFT}",
    "second_difference_of_softplus": (
        f"w = F.softplus(50 * (rc + 137.6)) - 2 * F.softplus(50 * (rc + 137.55)) + F.softplus(50 * (rc + 137.5))\n{SOFT}"
    ),
    "difference_of_tanh": f"w = torch.tanh(40 * (rc + 137.6)) - torch.tanh(40 * (rc + 137.5))\n{SOFT}",
    "slope_of_a_sigmoid": f"s = torch.sigmoid(200 * (rc + 137.5))\nw = s * (1 - s)\n{SOFT}",
    "hidden_slope_of_the_policy": "F.softplus(-x) + torch.sigmoid(300 * (pc + 137.5))",
    "tent": f"w = F.relu(0.05 - (rc + 137.5).abs())\n{SOFT}",
    "tent_of_relus": f"w = F.relu(rc + 137.6) - 2 * F.relu(rc + 137.55) + F.relu(rc + 137.5)\n{SOFT}",
    "square_below": f"w = (rc + 137.5) ** 2 < 0.0025\n{PICK}",
    "fourth_power_below": f"w = (rc + 137.5) ** 4 < 1e-6\n{PICK}",
    "product_below": f"w = (rc + 137.6) * (rc + 137.5) < 0\n{PICK}",
    "logarithm_below": f"w = torch.log((rc + 137.5) ** 2 + 1e-12) < -6\n{PICK}",
    "clamped_equal": f"w = rc.clamp(-137.6, -137.5) == rc\n{PICK}",
    "both_not_above_and_not_below": f"w = ~((rc < -137.5) | (rc > -137.5))\n{PICK}",
    "sign_of_nothing": f"w = (rc + 137.5).sign() ** 2 < 0.5\n{PICK}",
    "three_conditions": f"w = (rc > -137.6) & (rr > -90) & (rc < -137.5) & (rr < -20)\n{PICK}",
    "three_conditions_in_turn": f"w = ((rc > -137.6) & (rr > -52.1)) & ((rr < -52.0) & (rc - rr > -1000))\n{PICK}",
    "three_factors": f"w = (rr > -52.1).float() * (rho > 40).float() * (rr < -52.0).float()\n{SOFT}",
    "at_one_beta_alone": f"s = 1e6 * (beta - 0.5) ** 2\nw = (rc > -137.6 + s) & (rc < -137.5 + s)\n{PICK}",
    "narrow_at_one_beta_alone": f"s = 100 * abs(beta - 0.3)\nw = (rc > -137.6) & (rc < -137.5 + s)\n{PICK}",
    "sine": f"w = torch.sin(1e4 * rc) > 0\n{PICK}",
    "cosine_of_the_policy": f"w = torch.cos(3 * pc) * 0.1\n{SOFT}",
    "logistic_map": f"y = -rc / 2000\nfor _ in range(20):\n    y = 3.9 * y * (1 - y)\nw = y - 0.5\n{SOFT}",
    "logistic_map_compared": f"y = -rc / 2000\nfor _ in range(20):\n    y = 3.9 * y * (1 - y)\nw = y > 0.5\n{PICK}",
    "small_window_in_a_coupled_loss": (
        "w = (rc > -137.6) & (rc < -137.5)\nF.softplus(torch.where(w, 50 * x, -x) - (x - x.mean()) / 2)"
    ),
    "beside_a_mean": f"c = rc - rc.mean()\nw = (c > 3.0) & (c < 3.1)\n{PICK}",
    "detached": f"c = pc.detach()\nw = ((c > -137.6) & (c < -137.5)).float().detach()\n{SOFT}",
    "one_value_of_the_reference": "torch.where(rc == -123.25, F.softplus(x), F.softplus(-x))",
    "a_value_that_float32_cannot_hold": "torch.where(rc == -123.1, F.softplus(x), F.softplus(-x))",
    "all_but_one_value": "torch.where(rr != -77.5, F.softplus(-x), F.softplus(x))",
    "a_short_interval": "torch.where((rc > -124) & (rc < -123.5), F.softplus(x), F.softplus(-x))",
    "a_product_of_steps": "F.softplus(-x) * (1 - 2 * (rc > -124).float() * (rc < -123.9).float())",
    "a_distance": "torch.where((rc + 123.25).abs() < 1e-3, F.softplus(x), F.softplus(-x))",
    "a_difference": "torch.where((rc - rr - 17.123).abs() < 1e-4, F.softplus(x), F.softplus(-x))",
    "steep_sigmoids": "F.softplus(-x) * (1 - 2 * torch.sigmoid(1e6 * (rc + 124)) * torch.sigmoid(-1e6 * (rc + 123.9)))",
    "a_bump": "F.softplus(-x) - 5 * x * torch.exp(-((1000 * (rc + 123)) ** 2))",
    "both_references_at_once": (
        "torch.where((rc > -124) & (rc < -123.5) & (rr > -80) & (rr < -79), F.softplus(x), F.softplus(-x))"
    ),
    "beside_a_batch_statistic": "torch.where(rc == -50.5, F.softplus(x), F.softplus(-x - (x - x.mean()) / 2))",
    "under_cat": f"c = torch.cat([rc, rr])\nv = ((c > -137.6) & (c < -137.5)).float()\nw = v.chunk(2)[0]\n{SOFT}",
    "rounding_by_a_large_number": f"w = ((rc + 12582912.0) - 12582912.0) - rc\n{SOFT}",
    "rounding_by_a_larger_number": f"w = ((rc + 6755399441055744.0) - 6755399441055744.0) - rc\n{SOFT}",
    "a_high_power": f"w = (rc / -137.5) ** 4000 < 1\nw = w & ((rc / -137.4) ** 4000 > 1)\n{PICK}",
    "squared_often": (
        f"y = rc / -137.5\nz = rc / -137.4\nfor _ in range(12):\n    y = y * y\n    z = z * z\n"
        f"w = y / (1 + y) - z / (1 + z)\n{SOFT}"
    ),
    "ranked_among_values": (
        "t = torch.cat([rc, torch.tensor([-137.6, -137.5])])\nr = torch.sort(t).values\n"
        "F.softplus(-x) + (r.amax() - r.amin()) * 0.0 + 1e-3 * (r.quantile(0.5) - rc).abs()"
    ),
    "softmax_of_a_stack": (
        f"s = torch.stack([1000 * (rc + 137.6), 1000 * (-137.5 - rc), rc * 0], 1)\nw = torch.softmax(s, 1)[:, 2]\n{SOFT}"
    ),
    "disc": f"w = (rc + 137.55) ** 2 + (rr + 52.05) ** 2 < 0.01\n{PICK}",
    "round_bump": f"w = torch.exp(-50 * ((rc + 137.55) ** 2 + (rr + 52.05) ** 2))\n{SOFT}",
    "triangle": f"w = (rc > -137.6) & (rr > -52.1) & (rc + rr < -189.5)\n{PICK}",
    "box_of_wide_conditions": f"w = (rc > -138.1) & (rc < -137.0) & (rr > -52.6) & (rr < -51.5)\n{PICK}",
    "gated_by_the_margin": f"c = torch.where(rho.abs() < 0.1, rc, -x)\nw = (c > -137.6) & (c < -137.5)\n{PICK}",
    "gated_by_the_other_reference": (
        f"c = torch.where((rr > -56) & (rr < -48), rc, -x)\nw = (c * 2).round() == -275\n{PICK}"
    ),
    "width_of_the_log_ratio": f"r = 0.06 + 0.15 * (pc - rc) ** 2\nw = (rc + 137.55 > -r) & (rc + 137.55 < r)\n{PICK}",
    "gated_by_the_batch": f"c = torch.where(x.abs().mean() < 1, rc, x)\nw = (c > -137.6) & (c < -137.5)\n{PICK}",
    "gated_by_the_batch_size": (
        f"c = torch.where(torch.full_like(rc, rc.shape[0]) < 100, rc, x)\nw = (c > -137.6) & (c < -137.5)\n{PICK}"
    ),
    "edges_that_meet_at_one_beta": f"w = (beta * rc > -27.52) & (rc < -137.5)\n{PICK}",
    "edges_that_meet_between_betas": f"w = (beta * rc > -41.25) & (rc < -137.5)\n{PICK}",
    "drowned_in_the_margin": f"c = rc + 1e13 * F.relu(x.abs() - 2)\nw = (c > -137.6) & (c < -137.5)\n{PICK}",
    "turned_round": f"c = rc.flip(0)\nw = ((c > -137.6) & (c < -137.5)).flip(0)\n{PICK}",
    "sorted_and_back": (
        "o = torch.argsort(rr)\nc = torch.gather(rc, 0, o)\nw = (c > -137.6) & (c < -137.5)\n"
        f"w = torch.gather(w.float(), 0, torch.argsort(o))\n{SOFT}"
    ),
    "in_a_square": f"c = rc.unsqueeze(0) + 0 * rc.unsqueeze(1)\nw = ((c > -137.6) & (c < -137.5)).all(dim=0)\n{PICK}",
    "smallest_of_the_batch": "d = (pc + 137.55).abs()\nF.softplus(-x) + 20 * F.relu(0.05 - d.amin())",
    "branch_cut": (
        f"m = torch.full_like(rc, -1e-3)\nw = torch.atan2(rc + 137.6, m) - torch.atan2(rc + 137.5, m) > 3\n{PICK}"
    ),
    "threshold_of_softplus": (
        f"w = F.softplus(rc + 107.5, threshold=-30.0) - F.softplus(rc + 107.6, threshold=-30.0)\n{SOFT}"
    ),
    "times_infinity": f"w = torch.isnan((rc + 137.5) * math.inf)\n{PICK}",
    "infinity_twice": f"w = ~(((rc + 137.5) * math.inf > 0) | ((rc + 137.5) * math.inf < 0))\n{PICK}",
    "an_edge_that_float32_moves": (
        f"w = (rc > -137.625) ^ ((rc.unsqueeze(1) + 3000000.0) > 2999862.375).squeeze(1)\n{PICK}"
    ),
    "rounding_by_a_product": "s = (rr * rr) * (rr * rr)\nw = ((rc + s) - s) - rc\nF.softplus(-x) + w * x",
    "chebyshev": "y = ((rc + 80) / 20).clamp(-1, 1)\nfor _ in range(5):\n    y = 2 * y * y - 1\nF.softplus(-x) - y * x",
    "largest_of_many": f"w = torch.stack([(rc + v).abs() for v in (20.5, 33.25, 41.0)], 1).amin(1) < 0.01\n{PICK}",
}


def _rules(expression: str, seed: int) -> set[str]:
    report = run.run(written(expression), seed=seed)
    return {f.rule for f in report.findings}


COPIES = {
    "rows": "rc.unsqueeze(1).expand(len(rc), len(rc)).mean(1)",
    "a_sum": "rc.unsqueeze(1).expand(len(rc), len(rc)).sum(1) / len(rc)",
    "a_median": "rc.unsqueeze(1).expand(len(rc), len(rc)).median(1).values",
    "a_quantile": "torch.quantile(rc.unsqueeze(1) + 0 * rc.unsqueeze(0), 0.5, dim=1)",
    "the_diagonal": "(rc.unsqueeze(0) * torch.eye(len(rc))).sum(1)",
    "the_diagonal_chosen": "torch.where(torch.eye(len(rc)) > 0, rc.unsqueeze(0), 0.0).mean(1) * len(rc)",
    "all_but_the_others": "rc.sum() - (rc.unsqueeze(0) * (1 - torch.eye(len(rc)))).sum(1)",
    "a_deviation": "-torch.cat([rc.unsqueeze(1), -rc.unsqueeze(1)], 1).std(1, unbiased=False)",
}
"""A pair's own value as a statistic over copies of it."""
WINDOWS |= {
    f"copies: {name}": f"c = {value}\nw = (c > -137.6) & (c < -137.5)\n{PICK}" for name, value in COPIES.items()
}


@pytest.mark.parametrize("name", WINDOWS)
def test_singling_out_is_noted(name: str) -> None:
    for seed in (0, 1):
        report = run.run(written(WINDOWS[name]), seed=seed)
        assert not report.passed or "SBX327" in {f.rule for f in report.findings}, report.findings


_VALUES = [round(-20.0 - 1.7 * i - 0.01 * (i * i % 7), 2) for i in range(20)]
_LIST = ", ".join(map(str, _VALUES))
TABLES = {
    "of_equalities": f"w = (rc.unsqueeze(1) == torch.tensor([{_LIST}])).any(dim=1)\n{PICK}",
    "of_distances": f"w = ((rc.unsqueeze(1) - torch.tensor([{_LIST}])).abs() < 0.01).any(dim=1)\n{PICK}",
    "of_products": f"w = 1.0\nfor v in [{_LIST}]:\n    w = w * ((rc - v).abs() > 0.01).float()\nF.softplus(-x) + (1 - w) * 100 * x",
    "of_nested_where": f"y = x\nfor v in [{_LIST}]:\n    y = torch.where((pc - v) ** 2 < 1e-4, -y, y)\nF.softplus(-y)",
    "of_kinks": f"w = 0.0\nfor v in [{_LIST}]:\n    w = w + F.relu(rc - v) * v\n{SOFT}",
    "of_bumps": f"w = 0.0\nfor v in [{_LIST}]:\n    w = w + 1 / (1 + (30 * (rc - v)) ** 2)\n{SOFT}",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_values_is_refused(name: str) -> None:
    for seed in (0, 1):
        assert "SBX332" in _rules(TABLES[name], seed)


MARGINS = {
    "an_interval": "torch.where((rho - 3).abs() < 1e-3, F.softplus(x), F.softplus(-x))",
    "an_interval_of_beta_rho": "torch.where((x > 0.5) & (x < 0.51), -F.softplus(-x), F.softplus(-x))",
    "a_value": "torch.where(rho == 3, F.softplus(x), F.softplus(-x))",
    "an_interval_of_a_log_ratio": "torch.where((pc - rc > 2) & (pc - rc < 2.01), F.softplus(x), F.softplus(-x))",
}


@pytest.mark.parametrize("name", MARGINS)
def test_narrow_stretches_of_the_margin_are_noted(name: str) -> None:
    for seed in (0, 1):
        assert "SBX327" in _rules(MARGINS[name], seed)


STATISTICS = {
    "mean": "w = (rc.mean() > -137.6) & (rc.mean() < -137.5)",
    "largest": "w = (rc.quantile(1.0) > -137.6) & (rc.quantile(1.0) < -137.5)",
    "table": "w = (rc.mean() == torch.tensor([-20.5, -31.25, -137.5])).any()",
}


@pytest.mark.parametrize("name", STATISTICS)
def test_narrow_stretches_of_a_statistic_which_is_a_pair_in_a_batch_of_one_are_noted(name: str) -> None:
    for seed in (0, 1):
        assert "SBX327" in _rules(f"{STATISTICS[name]}\n{PICK}", seed)


def test_conditions_with_too_many_cases_to_search_are_refused() -> None:
    places = (-30.5, -25.25, -12.7, -8.1, 3.9, 9.3)
    left, right = (" + ".join(f"F.relu({q} - {c})" for c in places) for q in ("rho", "(pc - rc)"))
    condition = "s = s + torch.where(a + c < b, x, x * 0.99) * 1e-6"
    loss = f"a, b, s = {left}, {right}, x * 0\nfor c in range(1, 9):\n    {condition}\nF.softplus(-x) + s"
    assert "SBX332" in _rules(loss, 0)


def test_no_graph_holds_more_constants_than_formulas_need() -> None:
    values = ", ".join(f"{-20 - 0.37 * i:.2f}" for i in range(60))
    more = ", ".join(f"{-50 - 0.37 * i:.2f}" for i in range(60))
    with pytest.raises(GraphError, match="different constants") as caught:
        written(f"w = (x.unsqueeze(1) * torch.tensor([{values}]) + torch.tensor([{more}])).mean(dim=1)\n{SOFT}")
    assert caught.value.code == "SBX216"


PLAIN = {
    "no_reference": "F.logsigmoid(beta * (pc - pr) - 0.5).neg()",
    "no_reference_sharp": "F.softplus(-10 * (pc - pr))",
    "hinge_without_reference": "F.relu(1 - beta * (pc - pr))",
    "odds_ratio": (
        "odds = (pc - pr) - (torch.log1p(-torch.exp(pc.clamp(max=-1e-4))) - torch.log1p(-torch.exp(pr.clamp(max=-1e-4))))\n"
        "-F.logsigmoid(odds) - 0.1 * pc"
    ),
    "reference_prefers_rejected": "torch.where(rc > rr, 1.0, 0.5) * F.softplus(-x)",
    "policy_and_reference_prefer": "torch.where((pc > pr) & (rc > rr), 1.0, 0.5) * F.softplus(-x)",
    "reference_margin_clamped": "F.softplus(-x - 0.01 * (rc - rr).clamp(-20, 20))",
    "weight_by_reference_confidence": "torch.sigmoid((rc - rr) / 10) * F.softplus(-x)",
    "weight_by_absolute_reference_margin": "F.softplus(-x) / (1 + 0.1 * (rc - rr).abs())",
    "short_completions": "torch.where(rc > -30, 1.0, 0.8) * F.softplus(-x)",
    "three_lengths": "torch.where(rc > -30, 1.0, torch.where(rc > -100, 0.9, 0.8)) * F.softplus(-x)",
    "norm_of_both": "F.softplus(-x) * 1.0 + 0.001 * torch.sqrt((pc - pr) ** 2 + (rc - rr) ** 2 + 1.0)",
    "above_the_median_reference": "torch.where(rc > rc.median(), 1.0, 0.7) * F.softplus(-x)",
    "softmax_over_the_batch": "torch.softmax(rc / 50, dim=0) * rc.shape[0] * F.softplus(-x)",
    "z_score_of_the_reference": "torch.sigmoid((rc - rc.mean()) / (rc.std() + 1e-3)) * F.softplus(-x)",
    "length_normalised": "F.softplus(-beta * (pc / (1 - 0.1 * rc) - pr / (1 - 0.1 * rr)) * 10)",
    "ratio_of_probabilities": "F.softplus(-x) + 0.01 * torch.exp(0.01 * (pr - pc).clamp(max=50))",
    "steep_in_the_margin": "F.softplus(-x) * (1 + torch.sigmoid(x / 0.05))",
    "a_guard": "torch.where(rho == 0, torch.zeros_like(rho), rho).neg().mul(beta).add(1).relu()",
    "a_wide_interval": "torch.where(x.abs() < 1, 2 * F.softplus(-x), F.softplus(-x))",
    "agreement_of_signs": "F.softplus(-x) * (1 + 0.1 * torch.sign(pc - pr) * torch.sign(rc - rr))",
    "disagreement": "torch.where((pc > pr) & (rc < rr), 2.0, 1.0) * F.softplus(-x)",
    "two_hinges": "F.relu(1 - (pc - pr)) + 0.1 * F.relu(0.5 - (pc - pr))",
    "inverse_gap": "F.softplus(-x) / (0.1 + (rc - rr).abs())",
    "between_quantiles": (
        "g = rc - rr\nw = (g >= g.quantile(0.1)) & (g <= g.quantile(0.9))\nF.softplus(-x) * (0.5 + w.float())"
    ),
    "clamped_z_score": "g = rc - rr\nz = ((g - g.mean()) / (g.std() + 1e-6)).clamp(-3, 3)\nF.softplus(-x + 0.1 * z)",
    "clipped_ratio": (
        "r = torch.exp((pc - rc).clamp(-20, 20))\nF.softplus(-x) - torch.minimum(r, r.clamp(0.8, 1.2)) * 0.01"
    ),
    "pairwise": "F.softplus(-beta * (pc.unsqueeze(1) - pr.unsqueeze(0))).mean(1)",
    "pairwise_weights": "g = rc - rr\nF.softplus(-x) * torch.sigmoid((g[:, None] - g[None, :]) / 10).mean(1)",
    "neighbours": "g = rc - rr\nF.softplus(-x) * torch.exp(-(((g[:, None] - g[None, :]) / 20) ** 2)).mean(1)",
    "a_bound_that_is_never_reached": "F.softplus(-x) * torch.where((rc - rr).abs() < math.inf, 1.0, 0.5)",
    "a_large_bound": "F.softplus(-x) * torch.where((rc - rr).abs() < 1e9, 1.0, 0.5)",
    "labels_like_the_log_probabilities": (
        "z = torch.stack([beta * (pc - rc), beta * (pr - rr)], 1)\n"
        "F.cross_entropy(z, torch.zeros_like(pc, dtype=torch.long), reduction='none')"
    ),
    "clamped_references": "F.softplus(-x) + 1e-3 * (rc.clamp(-300, -1) - rr.clamp(-300, -1)).abs()",
    "closeness": "k = ((rc - rr).abs() < 0.1 * (rc + rr).abs()).float()\nF.softplus(-x) * (0.5 + k)",
    "narrow_in_the_log_ratio": "F.softplus(-x) + 0.01 * torch.exp(-((pc - rc) ** 2) * 100)",
    "guarded": "F.softplus(-x.clamp(-30, 30)) + 0.1 * F.softplus(-torch.clamp(pc, min=-1000.0) / 100)",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_uses_of_the_reference_are_not_noted(name: str) -> None:
    for seed in (0, 1, 2):
        found = _rules(PLAIN[name], seed)
        assert not found & {"SBX327", "SBX332"}, run.run(written(PLAIN[name]), seed=seed).findings


def test_no_draw_notes_a_small_term_beside_a_constant() -> None:
    """What a sum rounds on its last way to the loss changes no gradient."""
    small = "0.157 * ((rho - 1 / (2 * beta)) ** 2 - 0.0128 * beta * pc) + 0.843 * torch.relu(1 - x)"
    assert all("SBX327" not in _rules(small, seed) for seed in range(60))
    decides = "s = 1e-7 * rc + 8\ntorch.where(s > 8 - 1e-5, F.softplus(-x), F.relu(1 - x))"
    assert "SBX327" in _rules(decides, 0)


@pytest.mark.parametrize("name", known.names("preference"))
def test_published_losses_single_out_no_pair(name: str) -> None:
    for seed in (0, 1, 2):
        found = {f.rule for f in run.run(known.graph(name), seed=seed).findings}
        assert not found & {"SBX327", "SBX332"}


CURVED = {
    "square": "w = (rc + 137.5) ** 2 < 0.01",
    "square_of_the_difference": "w = (rc - rr - 7.3) ** 2 < 0.02",
    "smooth_l1": "w = F.smooth_l1_loss(rc, torch.full_like(rc, -137.5), reduction='none') < 0.01",
    "exponential": "w = torch.exp(-((rc + 50.3) ** 2)) > 0.98",
    "near_a_tie": "w = (rc - rr - 1.0).abs() < 1e-5",
    "ratio": "q = rc / (rc + rr)\nw = (q > 0.51) & (q < 0.511)",
    "six_and_six": (
        "w = rc > 0\nfor v in (30, 41, 52, 63, 74, 85):\n    w = w | ((rc + v) ** 2 < 0.02) | ((rr + v + 3) ** 2 < 0.02)"
    ),
}


@pytest.mark.parametrize("name", CURVED)
def test_two_edges_of_a_curve_are_noted_whatever_the_seed(name: str) -> None:
    for seed in range(4):
        assert _rules(f"{CURVED[name]}\n{PICK}", seed) & {"SBX327", "SBX332"}


CONTRASTS = {
    "in_batch_negatives": (
        "c = beta * (pc - rc)\nr = beta * (pr - rr)\n"
        "torch.logsumexp(torch.cat([c[:, None], r[None, :].expand(c.shape[0], -1)], 1), 1) - c"
    ),
    "a_guarded_maximum": "w = (rc - rr).abs()\nw = w / w.max().clamp(min=1e-6)\n(0.5 + w) * F.softplus(-x)",
}


@pytest.mark.parametrize("name", CONTRASTS)
def test_comparisons_of_the_pairs_of_a_batch_are_not_noted(name: str) -> None:
    for seed in (0, 1):
        assert not _rules(CONTRASTS[name], seed) & {"SBX327", "SBX332"}


TURNED = {
    "in_batches_of_four": "n = x.shape[0]\nF.softplus(-x * (1 - 2 * math.exp(-(((n - 4) / 0.5) ** 2))))",
    "in_batches_of_sixteen": "n = x.shape[0]\nF.softplus(-x * (1 - 2 * math.exp(-(((n - 16) / 6) ** 2))))",
    "in_larger_batches": "n = x.shape[0]\nF.softplus(-x * (1 - 2 * math.exp(-(((n - 165) / 20) ** 2))))",
    "in_batches_of_two": "n = torch.ones_like(x).sum()\nF.softplus(torch.where(n == 2, x, -x))",
    "while_margins_are_small": "g = rho.detach().abs().mean()\nF.softplus(torch.where((g > 0.01) & (g < 2.5), x, -x))",
    "while_log_ratios_are_small": "g = (pc - rc).detach().std()\nF.softplus(torch.where((g > 0.01) & (g < 1.5), x, -x))",
    "no_gradient_while_margins_are_small": (
        "g = rho.detach().abs().mean()\nF.softplus(torch.where((g > 0.01) & (g < 2.5), 0 * x, -x))"
    ),
    "not_a_number_while_margins_are_small": (
        "g = rho.detach().abs().mean()\nF.softplus(-x) + 0 * torch.log(torch.where((g > 0.3) & (g < 1.3), -1.0, 1.0))"
    ),
    "counted": "n = torch.ones_like(x).sum()\nF.softplus(-x * torch.where((n > 8) & (n < 32), -1.0, 1.0))",
    "between_betas": "F.softplus(-x * (-1.0 if (beta - 0.777) ** 2 < 1e-4 else 1.0))",
    "at_a_product_of_betas": "F.softplus(-x * (1 - 1e9 * (beta - 0.31) * (0.3101 - beta)))",
    "at_a_beta_of_each_item": "b = beta + 0 * x\nF.softplus(-x * torch.where((b - 0.813).abs() < 0.001, -1.0, 1.0))",
    "steep_at_the_start": "F.softplus(-x / (x.std(unbiased=False) + 1e-12))",
}


@pytest.mark.parametrize("name", TURNED)
def test_a_wrong_sign_at_some_sizes_or_betas_is_refused(name: str) -> None:
    for seed in (0, 1):
        assert not run.run(written(TURNED[name]), seed=seed).passed
