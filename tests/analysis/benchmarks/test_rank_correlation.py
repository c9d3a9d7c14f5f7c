"""Rank correlations against cases counted by hand, against every permutation, and against scipy."""

import random
from itertools import permutations

import pytest
from scipy.stats import kendalltau

from analysis.benchmarks import published
from analysis.benchmarks.rank_correlation import exact_p, rank_correlation


def named(values: list[float]) -> dict[str, float]:
    return {f"loss{i}": value for i, value in enumerate(values)}


def test_four_losses_counted_by_hand() -> None:
    # Of the six pairs only (c, d) is in another order: S = 5 - 1 = 4, tau = 4 / 6. Of the 24 orders one has S = 6 and three have
    # S = 4, and as many -6 and -4: p = 8 / 24.
    found = rank_correlation({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 10, "b": 20, "c": 40, "d": 30, "e": 99})
    assert found.n == 4
    assert found.tau == pytest.approx(4 / 6)
    assert found.p_value == pytest.approx(8 / 24)
    assert found.interval is None, "four losses are too few for an interval"


def test_a_tie_counted_by_hand() -> None:
    # x = 1, 2, 3 and y = 1, 1, 2: two concordant pairs, none discordant, one tied in y. tau-b = 2 / sqrt(3 * 2).
    found = rank_correlation(named([1, 2, 3]), named([1, 1, 2]))
    assert found.tau == pytest.approx(2 / 6**0.5)
    # The 2 may stand at three places, with S = 2, 0 and -2.
    assert found.p_value == pytest.approx(2 / 3)


def test_the_p_value_counts_every_permutation() -> None:
    def concordance(x: list[int], y: tuple[int, ...]) -> int:
        pairs = [(i, j) for i in range(len(x)) for j in range(i)]
        return sum(((x[i] > x[j]) - (x[i] < x[j])) * ((y[i] > y[j]) - (y[i] < y[j])) for i, j in pairs)

    rng = random.Random(3)
    for _ in range(12):
        x, y = ([rng.randrange(5) for _ in range(6)] for _ in range(2))
        seen = abs(concordance(x, tuple(y)))
        orders = [abs(concordance(x, order)) for order in permutations(y)]
        assert exact_p(x, y) == pytest.approx(sum(s >= seen for s in orders) / len(orders)), (x, y)


def test_tau_and_p_are_those_of_scipy_without_ties() -> None:
    rng = random.Random(5)
    x, y = ([rng.gauss(0, 1) for _ in range(11)] for _ in range(2))
    found, other = rank_correlation(named(x), named(y)), kendalltau(x, y, method="exact")
    assert found.tau == pytest.approx(other.statistic)
    assert found.p_value == pytest.approx(other.pvalue)


def test_the_interval_of_an_equal_order_is_one_and_the_same_each_time() -> None:
    same = rank_correlation(named([*range(8)]), named([*range(8)]))
    assert same.tau == 1.0
    assert same.interval is not None and (same.interval.low, same.interval.high) == (1.0, 1.0)
    assert same.p_value == pytest.approx(2 / 40320)
    mixed = rank_correlation(named([1, 5, 2, 8, 3, 7, 4, 6]), named([*range(8)]))
    assert mixed.interval is not None and mixed.tau is not None
    assert -1 <= mixed.interval.low < mixed.tau < mixed.interval.high <= 1
    assert mixed == rank_correlation(named([1, 5, 2, 8, 3, 7, 4, 6]), named([*range(8)]))


@pytest.mark.parametrize(("x", "y"), [([], []), ([1], [2]), ([1, 1, 1], [1, 2, 3])])
def test_no_correlation_where_there_is_no_order(x: list[float], y: list[float]) -> None:
    found = rank_correlation(named(x), named(y))
    assert (found.n, found.tau, found.interval, found.p_value) == (len(x), None, None, None)


def test_the_searchs_own_score_hardly_orders_the_papers_held_out_figures() -> None:
    values = {c.key: {name: f.value for name, f in c.figures.items()} for c in published.COLUMNS}
    held_out = rank_correlation(values["mt_bench"], values["tldr_human"])
    assert held_out.n == 10
    assert held_out.tau is not None and abs(held_out.tau) < 0.3
