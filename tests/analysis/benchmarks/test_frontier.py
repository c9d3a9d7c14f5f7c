"""Frontiers of reward against KL: dominance, area and robustness to beta, with values worked out by hand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.benchmarks.frontier import PAPER_BETAS, Point, area, frontier, robustness

POINTS = (Point(1.0, 0.2, 1.0), Point(2.0, 0.5, 0.5), Point(3.0, 0.4, 0.2), Point(5.0, 0.9, 0.1))
numbers = st.floats(0, 50, allow_nan=False)
clouds = st.lists(st.builds(Point, kl=numbers, reward=numbers, beta=st.sampled_from(PAPER_BETAS)), max_size=8)


def test_a_point_with_more_kl_and_less_reward_is_dominated():
    assert [p.beta for p in frontier(reversed(POINTS))] == [1.0, 0.5, 0.1]


def test_of_equal_points_one_stays():
    assert frontier([Point(1.0, 0.2, 0.5), Point(1.0, 0.2, 0.1)]) == (Point(1.0, 0.2, 0.1),)


def test_area_is_the_mean_reward_reached_within_the_limit():
    # 0 on [0, 1), 0.2 on [1, 2), 0.5 on [2, 4]: (0 + 0.2 + 1.0) / 4
    assert area(POINTS, 4.0) == pytest.approx(0.3)


def test_area_starts_from_what_the_reference_earns():
    assert area((), 4.0) == area(POINTS, 1.0) == 0.0
    # A policy that got worse than its reference adds nothing: nobody has to use it.
    assert area([Point(1.0, -0.5, 1.0)], 4.0) == 0.0


def test_points_beyond_the_limit_do_not_count():
    assert area([Point(5.0, 9.0, 0.1)], 4.0) == 0.0


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(ValueError, match="kl_limit must be positive"):
        area(POINTS, limit)


@given(clouds)
def test_the_frontier_rises_and_dominates_every_point(cloud):
    kept = frontier(cloud)
    assert all(a.kl < b.kl and a.reward < b.reward for a, b in pairwise(kept))
    assert all(any(k.kl <= p.kl and k.reward >= p.reward for k in kept) for p in cloud)


@given(clouds, st.builds(Point, kl=numbers, reward=numbers, beta=st.just(0.1)))
def test_a_further_point_never_shrinks_the_area(cloud, point):
    assert area([*cloud, point], 10.0) >= area(cloud, 10.0) - 1e-9


@given(clouds, st.floats(0.1, 10))
def test_a_rescaled_beta_changes_nothing(cloud, factor):
    """The same policies reached at other betas are the same frontier: no discovery."""
    rescaled = [Point(p.kl, p.reward, p.beta * factor) for p in cloud]
    assert area(rescaled, 10.0) == area(cloud, 10.0)


def test_robustness_is_the_width_of_betas_that_are_as_good():
    found = robustness({0.1: 0.5, 0.2: 0.59, 0.4: 0.6, 0.8: 0.2}, margin=0.02)
    assert found.best_beta == 0.4
    assert found.octaves == pytest.approx(1.0)
    assert found.mean_regret == pytest.approx(0.6 - (0.5 + 0.59 + 0.6 + 0.2) / 4)


def test_a_good_beta_beyond_a_bad_one_adds_no_width():
    assert robustness({0.1: 0.6, 0.2: 0.1, 0.4: 0.6}, margin=0.02).octaves == 0.0


def test_a_failed_beta_ends_the_width_and_leaves_no_regret():
    found = robustness({0.1: None, 0.2: 0.6, 0.4: 0.6}, margin=0.02)
    assert found.octaves == pytest.approx(1.0) and found.mean_regret is None and found.best_beta == 0.2


def test_nothing_scored_is_nothing_to_say():
    assert robustness({0.1: None}, margin=0.02) is None
