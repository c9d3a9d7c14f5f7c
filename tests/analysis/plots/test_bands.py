"""The picture of strategies."""

import pytest

from analysis.output.errors import NothingToDraw
from analysis.plots.bands import Band, draw_bands
from analysis.plots.canvas import svg


def band(name, *rows):
    return Band(name, (0, 1, 2), rows, [row[-1] for row in rows])


def test_every_strategy_has_a_line_of_its_own_and_a_legend():
    figure = draw_bands([band(f"strategy {n}", (0, n, n)) for n in range(12)], "trainings", "DPO", "end value")
    left, right = figure.axes
    thick = [line for line in left.lines if line.get_linewidth() > 1.5]
    assert len({(line.get_color(), str(line.get_linestyle())) for line in thick}) == 12
    assert [text.get_text() for text in left.get_legend().get_texts()] == [f"strategy {n} (1)" for n in range(12)]
    assert len(right.get_xticklabels()) == 12


def test_the_band_is_one_standard_error_around_the_mean():
    figure = draw_bands([band("one", (0, 1, 1), (0, 3, 3))], "trainings", "DPO", "end value")
    vertices = figure.axes[0].collections[0].get_paths()[0].vertices
    assert (vertices[:, 1].min(), vertices[:, 1].max()) == pytest.approx((0, 3))


def test_a_hostile_name_is_drawn_as_text():
    name = "$\\frac{1}{0}$<script>alert(1)</script>"
    drawn = svg(draw_bands([band(name, (0, 1, 2))], "trainings", name, "end value"), "bands", "x")
    assert "<script" not in drawn


def test_no_strategy_cannot_be_drawn():
    with pytest.raises(NothingToDraw):
        draw_bands([], "trainings", "DPO", "end value")
