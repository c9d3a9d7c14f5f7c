"""Landscapes as picture, words, page and table of numbers."""

import csv
import io
import re

import pytest
from hostile_texts import HOSTILE_NAMES
from written import written

from analysis.output.errors import ExportRefused
from analysis.plots import canvas
from analysis.plots.landscape.draw import Axis, draw_landscapes
from analysis.plots.landscape.landscape import landscape
from analysis.plots.landscape.text import landscape_text, rows
from analysis.report.landscape import check_target, landscape_csv, write_landscapes
from sandbox import known
from sandbox.graph.loss_graph import verify

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def shown():
    return [landscape(name, known.graph(name), 0.05) for name in ("dpo", "lrml", "kto_pair", "pfl_repository")]


def test_the_words_say_what_the_paper_says_of_lrml(shown):
    text = landscape_text([shown[1]])
    assert text.splitlines()[:5] == [
        "lrml, beta 0.05",
        "  at 0            loss 0.846574, slope +0.0392132: the first step lowers the margin",
        "  minimum         rho -2.3714 (beta rho -0.11857), loss 0.785924",
        "  maximum         rho 1.44012 (beta rho 0.0720061), loss 0.87829",
        "  lowers margins  rho -2.3714 (beta rho -0.11857) to 1.44012: a pair that starts there falls back to rho -2.3714",
    ]


def test_a_loss_with_many_optima_is_told_in_few_lines():
    wavy = landscape("wavy", verify(written("F.softplus(-x) + torch.sin(20 * x)")), 0.05)
    assert len(wavy.features.optima) > 70
    assert any(re.fullmatch(r"and \d+ further optima", words) for _, words in rows(wavy))
    assert len(rows(wavy)) < 35


def test_planes_are_there_for_losses_that_need_them(shown):
    assert [one.plane is not None for one in shown] == [False, False, True, True]
    titles = [axes.get_title("left") or axes.get_title() for axes in draw_landscapes(shown).axes]
    assert titles == ["beta 0.05", "", "beta 0.05, close-up", "", "kto_pair, beta 0.05", "pfl_repository, beta 0.05"]


def test_a_plane_says_where_a_step_does_harm():
    harmful = landscape("h", verify(written("F.softplus(-x) + 0.1 * F.relu(pr - rr - 5) * -1")), 0.05, reach=2.0)
    assert harmful.plane.raises_rejected.any() and not harmful.plane.lowers_chosen.any()


def test_the_axis_may_be_beta_rho(shown):
    upper, lower = draw_landscapes(shown[:1], Axis.BETA_RHO).axes
    assert upper.get_xlim() == pytest.approx((-6, 6)) and lower.get_xlabel() == "beta ρ"
    assert min(lower.lines[0].get_ydata()) == pytest.approx(-1 / (1 + 2.718281828**-6), rel=1e-3)


def test_equal_landscapes_give_equal_files(shown, tmp_path):
    first, again = (canvas.svg(draw_landscapes(shown), "landscape", "d") for _ in range(2))
    assert first == again and first.startswith("<svg")


@pytest.mark.parametrize("name", HOSTILE_NAMES[:6])
def test_names_are_text_in_every_form(name, tmp_path):
    one = landscape(name, known.graph("dpo"), 0.05)
    page = tmp_path / "p.html"
    write_landscapes(page, [one], Axis.RHO, [("loss", "share"), (name, "1.35")])
    html = page.read_text("utf-8")
    assert "<script" not in html.lower() and "1.35" in html
    assert not landscape_csv([one]).splitlines()[1].startswith(("=", "+", "@"))


def test_the_numbers_are_all_there(shown):
    lines = list(csv.DictReader(io.StringIO(landscape_csv(shown))))
    curve = [line for line in lines if line["name"] == "lrml"]
    assert [float(line["loss"]) for line in curve] == list(shown[1].curve.values)
    plane = [line for line in lines if line["name"] == "kto_pair" and line["part"] == "plane"]
    assert len(plane) == 61 * 61
    middle = next(line for line in plane if float(line["chosen_ratio"]) == float(line["rejected_ratio"]) == 0)
    assert float(middle["slope"]) == pytest.approx(shown[2].features.slope_at_zero)


def test_a_file_that_cannot_be_written_is_refused_before_work(tmp_path):
    with pytest.raises(ExportRefused, match="no folder"):
        check_target(tmp_path / "missing" / "a.svg")
