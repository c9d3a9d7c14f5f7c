"""The picture of the frontier."""

from itertools import combinations

import pytest

pytest.importorskip("matplotlib")

from analysis.plots.frontier import Mark, Sweep, draw_frontier


def sweep(name: str, shift: float) -> Sweep:
    return Sweep(name, [Mark(beta, 0.4 / beta + shift, 0.1, 0.6 + shift, 0.02) for beta in (0.05, 0.1, 0.25, 0.5, 1.0)])


def test_betas_are_written_where_they_hide_no_other_and_the_baseline_has_priority() -> None:
    figure = draw_frontier(sweep("dpo", 0.0), [sweep(f"loss_{i}", 0.004 * i) for i in range(3)], limit=5.0)
    labels = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent() for text in labels]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert [text.get_text() for text in labels[:3]] == ["0.05", "0.1", "0.25"], "those of the baseline come first"
