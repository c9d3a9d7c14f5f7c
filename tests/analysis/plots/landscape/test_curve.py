"""Curves compared with the formulas of the losses."""

import math
import sys

import numpy as np
import pytest
from make_archive import hinge, ipo, logistic, steep
from written import written

from analysis.output.errors import MissingExtra
from analysis.plots.landscape.curve import along, curve, line_of
from sandbox import known
from sandbox.graph.loss_graph import LossGraph
from sandbox.graph.nodes import make_node


def at(found, margin):
    index = min(range(len(found.margins)), key=lambda i: abs(found.margins[i] - margin))
    return found.margins[index], found.values[index], found.slopes[index]


@pytest.mark.parametrize("margin", [-60, -10, 0, 10, 60])
def test_the_logistic_loss_and_its_slope(margin):
    rho, value, slope = at(curve(logistic(), beta=0.1), margin)
    assert value == pytest.approx(math.log1p(math.exp(-0.1 * rho)))
    assert slope == pytest.approx(-0.1 / (1 + math.exp(0.1 * rho)))


def test_the_hinge_has_its_kink_and_ipo_its_minimum():
    found = curve(hinge(), beta=0.1)
    assert at(found, 30)[1:] == (0, 0)
    assert at(found, -20)[2] == pytest.approx(-0.1)
    squared = curve(ipo(), beta=0.1)
    lowest = min(zip(squared.values, squared.margins, strict=True))[1]
    assert lowest == pytest.approx(5, abs=0.5)


def test_a_narrow_bump_gets_as_many_margins_as_it_needs():
    """The bump of LRML is 3.8 nats wide, and the line 240."""
    found = curve(known.graph("lrml"), beta=0.05)
    assert sum(-2.3714 < margin < 1.44012 for margin in found.margins) >= 20 and len(found.margins) < 600
    between = np.linspace(-6.0, 6.0, 1201)
    values, slopes = along(known.graph("lrml"), 0.05)(between)
    assert np.interp(between, found.margins, found.values) == pytest.approx(values, abs=0.01 * values.max())
    assert np.interp(between, found.margins, found.slopes) == pytest.approx(slopes, abs=0.01 * np.abs(slopes).max())


@pytest.mark.parametrize("place", [-33.3, 7.123456, 60.0])
def test_a_spike_of_a_millionth_of_the_line_is_seen(place):
    """The graph tells where it is: no even grid would meet it."""
    graph = written(f"F.softplus(-x) + torch.exp(-(20000 * (rho - {place})) ** 2)")
    found = curve(graph, beta=0.1)
    highest = max(v - math.log1p(math.exp(-0.1 * m)) for m, v in zip(found.margins, found.values, strict=True))
    assert highest > 0.9


def test_margins_are_symmetric():
    found = curve(logistic(), beta=0.5)
    assert (found.margins[0], found.margins[-1]) == (
        -line_of("preference").reach(0.5),
        line_of("preference").reach(0.5),
    )
    assert not found.coupled


def test_a_loss_that_depends_on_the_batch_is_marked_as_coupled():
    found = curve(known.graph("dbaql"))
    assert found.coupled
    assert all(map(math.isfinite, found.values))


@pytest.mark.parametrize("factor", [1e307, -1e200, 1e40])
def test_values_that_overflow_float32_are_gaps(factor):
    found = curve(steep(factor), beta=0.1)
    assert all(math.isnan(slope) for slope in found.slopes)
    assert not [value for value in found.values if abs(value) > 3.5e38]


def test_values_that_are_not_finite_are_gaps():
    names = ("policy_chosen_logps", "policy_rejected_logps")
    nodes = [
        *(make_node("input", (), {"name": name}) for name in names),
        make_node("sub", (0, 1)),
        make_node("log", (2,)),
    ]
    found = curve(LossGraph.from_nodes("preference", nodes, 3))
    assert math.isnan(at(found, -10)[1])
    assert at(found, 10)[1] == pytest.approx(math.log(at(found, 10)[0]))


def test_classification_losses_are_drawn_over_the_lead_of_the_labels_logit():
    found = curve(known.graph("cross_entropy"))
    lead, value, _ = at(found, 2)
    assert value == pytest.approx(math.log(1 + 9 * math.exp(-lead)))


def test_without_torch_the_message_has_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'evopo\[train\]'"):
        curve(logistic())
