"""Descriptors on losses of known shape."""

import json
import math

import numpy as np
import pytest
from written import written

from sandbox import known
from sandbox.numeric import run
from sandbox.numeric.measure.descriptors import DESCRIPTORS, LineShape, describe_line, finite_or_null


def described(loss: str, seed: int = 4):
    graph = known.graph(loss) if loss in known.names() else written(loss)
    return run.run(graph, seed=seed).descriptors


def test_a_value_that_is_not_finite_is_null_and_dropped_from_a_list():
    line = LineShape(np.linspace(-30, 30, 61), np.concatenate([np.full(30, -np.inf), [np.nan], np.full(30, np.inf)]))
    with np.errstate(all="ignore"):
        found = {name: finite_or_null(value) for name, value in describe_line(line).items()}
    assert (found["convexity"], found["slope_at_zero"]) == (None, None)
    assert finite_or_null([1.0, math.nan, [math.inf, 2.0]]) == [1.0, [2.0]]
    json.dumps(found, allow_nan=False)


TAILS = {
    "dpo": ("linear", "flat"),
    "slic": ("linear", "flat"),
    "ipo": ("quadratic", "quadratic"),
    "exponential": ("exponential", "flat"),
    "savage": ("flat", "flat"),
    "cdpo": ("linear", "linear"),
    "squared_hinge": ("quadratic", "flat"),
    "lrml": ("linear", "flat"),
    "cell": ("exponential", "flat"),
    "sppo_hard": ("quadratic", "quadratic"),
    "-x": ("linear", "linear"),
    "(1 - x) ** 4": ("quadratic", "quadratic"),
}
LOOKING_ACROSS_THE_BATCH = {
    "kto_pair": ("flat", "flat"),
    "aot": ("linear", "flat"),
    "aot_unpaired": ("linear", "flat"),
    "aql_found": ("linear", "flat"),
    "aql_repository": ("linear", "flat"),
    "aqfl": ("linear", "flat"),
    "dbaql": ("linear", "flat"),
    "torch.sigmoid(-x) + F.softplus(x.mean()) / 10": ("flat", "linear"),
    "F.softplus(x.mean().detach() - 2 * x)": ("linear", "flat"),
    "(x - x.mean()) ** 2 - x": ("quadratic", "quadratic"),
}
"""By the formula, as one pair of a batch moves away: what the other pairs add to every slope is no growth of its loss."""


@pytest.mark.parametrize("loss", TAILS)
def test_tails(loss):
    found = described(loss)
    assert (found["left_tail"], found["right_tail"]) == TAILS[loss]


@pytest.mark.parametrize("loss", LOOKING_ACROSS_THE_BATCH)
def test_tails_of_a_coupled_loss_are_those_of_its_formula(loss):
    found = described(loss)
    assert found["coupled"]
    assert (found["left_tail"], found["right_tail"]) == LOOKING_ACROSS_THE_BATCH[loss]


CONVEX = {
    "dpo": True, "slic": True, "ipo": True, "exponential": True, "cdpo": True, "robust": True, "squared_hinge": True,
    "savage": False, "lrml": False, "padll": False, "pfl_found": False, "pfl_repository": False,
    "apo_zero": False, "exo_pair": False, "aql_found": False, "aql_repository": False,
}  # fmt: skip


@pytest.mark.parametrize("loss", CONVEX)
def test_convexity(loss):
    found = described(loss)
    assert found["convex"] is CONVEX[loss]
    assert (found["convexity"] == 1.0 and not found["jumps"]) is CONVEX[loss]


def test_a_bump_is_half_convex_and_a_jump_is_found():
    assert described("savage")["convexity"] == pytest.approx(0.5, abs=0.01)
    assert described("torch.where(x < 1, 2 - x, 0.5 - x / 10)")["jumps"] == [pytest.approx(1, abs=0.1)]
    assert described("dpo")["jumps"] == []


def test_discopop_rises_where_its_formula_does():
    """Derived from the formula: slope +0.784 at 0, rising on about (-0.118, 0.072)."""
    found = described("lrml")
    assert found["slope_at_zero"] == pytest.approx(0.784, abs=1e-3)
    assert found["rising"] == [[pytest.approx(-0.118, abs=2e-3), pytest.approx(0.072, abs=2e-3)]]
    assert found["minimum_at"] == [pytest.approx(-0.118, abs=2e-3)] and found["minima"] == 1


@pytest.mark.parametrize(
    ("loss", "at"),
    [
        ("ipo", [0.5]),
        ("cdpo", [2.197]),
        ("dpo", []),
        ("slic", []),
        ("x ** 4 / 4 - x ** 2 / 2 - 0.35 * x", [-0.714, 1.143]),
    ],
)
def test_minima(loss, at):
    found = described(loss)
    assert found["minimum_at"] == [pytest.approx(x, abs=0.01) for x in at]
    assert found["minima"] == len(at)


@pytest.mark.parametrize(
    ("loss", "slope"), [("dpo", -0.5), ("slic", -1), ("exponential", -1), ("3 * F.softplus(-2 * x)", -3)]
)
def test_slope_at_zero(loss, slope):
    assert described(loss)["slope_at_zero"] == pytest.approx(slope)


def test_saturation_is_where_the_slope_vanishes():
    assert described("slic")["saturation"] == pytest.approx(1, abs=0.1)
    # softplus: 1 % of the slope at x = -1 (0.731) is reached at log(1 / 0.00731 - 1) = 4.91
    assert described("dpo")["saturation"] == pytest.approx(4.91, abs=0.1)
    assert described("ipo")["saturation"] is None


def test_asymmetry_and_the_share_that_falls():
    assert described("-x")["asymmetry"] == pytest.approx(0)
    assert described("savage")["asymmetry"] > 0.3
    assert described("(-x).clamp(min=0)")["asymmetry"] == pytest.approx(1, abs=0.02)
    assert described("-x")["falling"] == 1
    assert described("ipo")["falling"] == pytest.approx(0.525, abs=0.005)


@pytest.mark.parametrize(
    ("loss", "margin_only", "uses_reference", "coupled"),
    [
        ("dpo", True, True, False),
        ("lrml", True, True, False),
        ("dbaql", True, True, True),
        ("bco_pair", False, True, False),
        ("pfl_found", False, True, False),
        ("cpo", False, False, False),
        ("F.softplus(-beta * (pc - pr))", False, False, False),
        ("sft", False, False, False),
        ("aot", False, True, True),
        ("F.softplus(-x) + rc", True, True, False),
        ("F.softplus(-x - x.mean() + x.mean())", True, True, False),
    ],
)
def test_which_inputs_a_loss_uses(loss, margin_only, uses_reference, coupled):
    found = described(loss)
    assert found["margin_only"] is margin_only
    assert found["uses_reference"] is uses_reference
    assert found["coupled"] is coupled


@pytest.mark.parametrize(("loss", "balance"), [("dpo", 0.5), ("sft", 1.0), ("F.softplus(beta * (pr - rr))", 0.0)])
def test_gradient_balance(loss, balance):
    assert described(loss)["gradient_balance"] == pytest.approx(balance)


@pytest.mark.parametrize("name", known.names())
def test_descriptors_are_documented_stable_and_json(name):
    first, second = described(name, seed=1), described(name, seed=1)
    assert first == second
    assert first.keys() <= DESCRIPTORS.keys()
    json.dumps(dict(first), allow_nan=False)
    shape = [k for k in first if k not in ("gradient_balance",)]
    if not first["coupled"]:
        assert {k: described(name, seed=2)[k] for k in shape} == {k: first[k] for k in shape}


def test_classification_losses_are_described_along_their_margin():
    entropy, hinge, mae = (described(n) for n in ("cross_entropy", "hinge", "mae"))
    assert entropy["convex"] and hinge["convex"] and not mae["convex"]
    assert (entropy["left_tail"], entropy["right_tail"]) == ("linear", "flat")
    assert mae["left_tail"] == "flat"
    assert entropy["slope_at_zero"] == pytest.approx(-0.5)
    assert entropy["gradient_balance"] == pytest.approx(0.5)


def test_tails_of_a_coupled_classification_loss():
    bounded = "m = z.gather(1, y[:, None])[:, 0] - z.mean(dim=1)\ntorch.sigmoid(-m) + F.softplus(-m.mean()) / 10"
    found = run.run(written(bounded, "classification"), seed=4).descriptors
    assert found["coupled"]
    assert (found["left_tail"], found["right_tail"]) == ("linear", "flat")
