"""Optima, stretches, jumps and tails of losses, compared with their formulas."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from written import written

from analysis.plots.landscape.along import depends_on
from analysis.plots.landscape.curve import along, curve_of
from analysis.plots.landscape.features import features
from sandbox import known
from sandbox.execute.evaluate import Evaluator
from sandbox.numeric.measure.inputs import LINE_BETA
from sandbox.numeric.run import run


def found(name, beta=0.05):
    loss = along(known.graph(name) if name in known.names() else written(name), beta)
    return features(loss, curve_of(loss))


def lrml(x):
    """Lu et al. 2024: a mixture of softplus(-x) and exp(-x), by the gate sigmoid(x / 0.05)."""
    gate = 1 / (1 + math.exp(-x / 0.05))
    return (1 - gate) * math.log1p(math.exp(-x)) + gate * math.exp(-x)


def lrml_slope(x):
    gate = 1 / (1 + math.exp(-x / 0.05))
    steepness = gate * (1 - gate) / 0.05
    fall = -1 / (1 + math.exp(x))
    return steepness * (math.exp(-x) - math.log1p(math.exp(-x))) + (1 - gate) * fall - gate * math.exp(-x)


def test_the_optima_of_lrml_are_those_of_the_paper():
    minimum, maximum = found("lrml").optima
    assert minimum.minimum and minimum.margin == pytest.approx(-2.3714, abs=5e-5)
    assert not maximum.minimum and maximum.margin == pytest.approx(1.44012, abs=5e-6)
    assert maximum.value == pytest.approx(0.87829, abs=5e-6)


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.5])
def test_the_optima_of_lrml_are_those_of_its_formula_at_every_beta(beta):
    shown = found("lrml", beta)
    assert shown.slope_at_zero / beta == pytest.approx(lrml_slope(0.0), rel=1e-9)
    exact = [brentq(lrml_slope, *bracket, xtol=1e-14) for bracket in ((-0.2, -0.05), (0.03, 0.2))]
    assert [o.margin * beta for o in shown.optima] == pytest.approx(exact, rel=1e-9)
    assert [o.value for o in shown.optima] == pytest.approx([lrml(x) for x in exact], rel=1e-12)
    (rise,) = shown.rises
    assert (rise.start, rise.end) == tuple(o.margin for o in shown.optima) and rise.between_optima


def test_a_loss_with_a_target_margin_pulls_back_what_is_beyond_it():
    shown = found("ipo")
    (minimum,), (rise,) = shown.optima, shown.rises
    assert minimum.margin == pytest.approx(1 / (2 * 0.05), abs=1e-9) and rise.open_right and not rise.between_optima
    assert (shown.left_tail, shown.right_tail) == ("quadratic, falling", "quadratic, rising")
    assert found("cdpo").optima[0].margin == pytest.approx(math.log(9) / 0.05, rel=1e-9)


def test_a_hinge_is_flat_beyond_its_margin():
    shown = found("slic")
    (flat,) = shown.flats
    assert flat.start == pytest.approx(20, abs=1e-6) and flat.open_right and not shown.optima
    assert (shown.left_tail, shown.right_tail) == ("linear, falling", "flat")


def test_a_flat_bottom_is_one_minimum_with_two_ends():
    (bottom,) = found("F.relu(-1 - x) + F.relu(x - 2)").optima
    assert bottom.minimum and (bottom.margin, bottom.end) == pytest.approx((-20, 40), abs=1e-6)


def test_a_jump_is_told_with_both_sides():
    (jump,) = found("padll").jumps
    assert jump.margin == 0
    assert (jump.left, jump.right) == pytest.approx((0.45 * math.log(2), 0.9 * math.log(2)), rel=1e-4)


def test_a_loss_that_is_not_finite_says_where():
    (gap,) = found("-torch.log(x + 1)").gaps
    assert gap.open_left and gap.end == pytest.approx(-20, abs=1e-4)


def test_a_smooth_falling_loss_has_nothing_to_tell():
    shown = found("dpo")
    assert not (shown.optima or shown.rises or shown.flats or shown.gaps or shown.jumps)
    assert shown.slope_at_zero == pytest.approx(-0.025)
    assert found("exponential").left_tail == "exponential, falling"


def coupled_losses():
    return [name for name in known.names("preference") if not Evaluator(known.graph(name)).pointwise]


def test_the_losses_that_couple_a_batch_are_those_with_a_statistic_over_it():
    assert {"aot", "aot_unpaired", "aqfl", "aql_found", "aql_repository", "dbaql", "kto_pair"} <= set(coupled_losses())


@pytest.mark.parametrize("name", coupled_losses())
@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_tails_of_a_coupled_loss_are_those_of_its_formula(name, beta):
    """All of them fall without limit on the left and level off on the right, except KTO-pair, which lies between 0 and 1."""
    shown = found(name, beta)
    assert (shown.left_tail, shown.right_tail) == ("flat" if name == "kto_pair" else "linear, falling", "flat")


@pytest.mark.parametrize("name", [*known.names("preference"), *known.names("classification")])
def test_tails_are_those_of_the_page_of_known_losses(name):
    shown = found(name, LINE_BETA)
    described = run(known.graph(name), seed=0).descriptors
    assert shown.left_tail.partition(",")[0] == described["left_tail"]
    assert shown.right_tail.partition(",")[0] == described["right_tail"]


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
def test_a_loss_of_sorted_values_is_what_the_moving_pair_adds_to_its_batch(name):
    """Its entries belong to ranks. With a reference that finds all completions equal, AOT is the logistic loss."""
    rho = np.array([-40.0, -1.0, 0.0, 2.0, 50.0])
    values, slopes = along(known.graph(name), 0.05)(rho)
    if name == "aot":
        assert values == pytest.approx(np.log1p(np.exp(-0.05 * rho)))
        assert slopes == pytest.approx(-0.05 / (1 + np.exp(0.05 * rho)))
    step = 1e-4
    higher, lower = (along(known.graph(name), 0.05)(rho + sign * step)[0] for sign in (1, -1))
    assert slopes == pytest.approx((higher - lower) / (2 * step), rel=1e-5)


def test_a_coupled_loss_is_examined_as_one_pair_of_a_batch():
    minimum, maximum = found("aql_repository").optima
    assert minimum.margin < 0 < maximum.margin, "its gate has the shape of that of LRML"
    assert found("aql_repository").slope_at_zero / 0.05 == pytest.approx(0.754, abs=0.002)


@pytest.mark.parametrize(
    ("name", "split", "reference"),
    [
        ("dpo", False, False), ("dbaql", False, False), ("cross_entropy", False, False),
        ("kto_pair", True, False), ("sft", True, False), ("pfl_repository", False, True), ("cpo", True, True),
    ],
)  # fmt: skip
def test_what_a_loss_depends_on_besides_the_margin(name, split, reference):
    beyond = depends_on(along(known.graph(name), 0.05))
    assert (beyond.split, beyond.reference) == (split, reference)


def test_value_and_slopes_at_two_log_ratios_are_those_of_the_formula():
    """sppo_hard: (h_w - 1 / (2 beta))^2 + (h_l + 1 / (2 beta))^2."""
    chosen, rejected = np.array([0.0, 12.0, -3.0]), np.array([1.0, -10.0, 4.0])
    value, by_chosen, by_rejected = along(known.graph("sppo_hard"), 0.05).over(chosen, rejected, np.zeros(3))
    assert value.tolist() == pytest.approx(((chosen - 10) ** 2 + (rejected + 10) ** 2).tolist())
    assert by_chosen.tolist() == pytest.approx((2 * (chosen - 10)).tolist())
    assert by_rejected.tolist() == pytest.approx((2 * (rejected + 10)).tolist())
