"""Margins are added where a curve bends, and nowhere else."""

import math

import numpy as np
import pytest

from analysis.plots.landscape.resolution import refined, start_grid


def of(function):
    return lambda x: (np.array([function(v) for v in x]), np.zeros(len(x)))


def test_a_straight_line_needs_no_further_margins():
    grid = np.linspace(-1, 1, 11)
    margins, values, _ = refined(of(lambda x: 3 * x - 1), grid)
    assert margins.tolist() == grid.tolist() and values[-1] == 2


def test_a_kink_is_located_between_the_margins_of_the_grid():
    margins, values, _ = refined(of(lambda x: abs(x - 1 / 3)), np.linspace(-1, 1, 11))
    assert min(abs(margins - 1 / 3)) < 0.01
    between = np.linspace(-1, 1, 1001)
    assert np.interp(between, margins, values) == pytest.approx(np.abs(between - 1 / 3), abs=0.01)


def test_the_end_of_a_curve_is_located():
    margins, values, _ = refined(of(lambda x: math.sqrt(x - 0.123) if x >= 0.123 else math.nan), np.linspace(-1, 1, 11))
    first = margins[np.isfinite(values)][0]
    assert 0 <= first - 0.123 < 1e-5


def test_the_start_has_ever_closer_margins_around_zero_and_edges():
    grid = start_grid(10.0, 11, [7.0])
    for place in (0.0, 7.0):
        near = np.sort(np.abs(grid - place))
        assert near[0] == 0 and near[1] < 1e-4 and (near < 0.1).sum() > 20
    assert grid[0] == -10 and grid[-1] == 10 and (np.diff(grid) > 0).all()
