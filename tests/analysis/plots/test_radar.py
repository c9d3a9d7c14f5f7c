"""The radar picture."""

import math

import pytest

pytest.importorskip("matplotlib")

from analysis.output.errors import NothingToDraw
from analysis.plots.radar import COLOURS, Line, draw_radar

SPOKES = ("writing", "math", "stem", "humanities")


def line(name: str, *values: float | None) -> Line:
    return Line(name, values, [None if value is None else 0.3 for value in values])


def test_every_line_is_closed_and_broken_where_a_value_is_missing() -> None:
    figure = draw_radar(SPOKES, [line("dpo", 7, 5, 6, 8)], [line("lrml", 8, None, 6, 7)], 1, 10, "title")
    dpo, lrml = (next(drawn for drawn in figure.axes[0].lines if drawn.get_label() == name) for name in ("dpo", "lrml"))
    assert list(dpo.get_ydata()) == [7, 5, 6, 8, 7]
    assert math.isnan(lrml.get_ydata()[1])
    assert figure.axes[0].get_ylim() == (1, 9), "the whole number above the largest value and its error"


def test_the_scale_ends_at_the_highest_grade() -> None:
    figure = draw_radar(SPOKES, [line("dpo", 9.9, 5, 6, 8)], [], 1, 10, "title")
    assert figure.axes[0].get_ylim() == (1, 10)


def test_lines_beyond_the_colours_are_grey_and_without_a_name() -> None:
    others = [line(f"loss {n}", 5, 5, 5, 5) for n in range(len(COLOURS) + 3)]
    figure = draw_radar(SPOKES, [], others, 1, 10, "title")
    assert len(figure.axes[0].get_legend_handles_labels()[1]) == len(COLOURS)


def test_names_are_not_read_as_formulas() -> None:
    figure = draw_radar(SPOKES, [line("$\\frac{a$", 7, 5, 6, 8)], [], 1, 10, "title")
    figure.canvas.draw()
    assert figure.axes[0].get_legend_handles_labels()[1] == ["$\\frac{a$"]


def test_two_categories_make_no_radar() -> None:
    with pytest.raises(NothingToDraw, match="three categories or more, got 2"):
        draw_radar(SPOKES[:2], [line("dpo", 7, 5)], [], 1, 10, "title")
