"""Tests between strategies, compared with scipy's, and their corrections."""

import random

import pytest
import scipy.stats as scipy_stats

from analysis import stats
from analysis.compare.differences import Measure, corrected, difference, differences


def keyed(values, first=0):
    return {(str(first + n),): value for n, value in enumerate(values)}


OURS = [0.31, 0.35, 0.29, 0.41, 0.37]
THEIRS = [0.28, 0.33, 0.28, 0.35, 0.36]


def test_runs_with_equal_seeds_are_compared_in_pairs():
    found = difference("a", "b", Measure.END, keyed(OURS), keyed(THEIRS))
    expected = scipy_stats.ttest_rel(OURS, THEIRS)
    assert (found.matched, found.runs) == (True, (5, 5))
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.difference / found.standard_error == pytest.approx(expected.statistic, rel=1e-9)


def test_runs_with_other_seeds_are_compared_by_welchs_test():
    found = difference("a", "b", Measure.END, keyed(OURS), keyed(THEIRS, first=10))
    expected = scipy_stats.ttest_ind(OURS, THEIRS, equal_var=False)
    assert (found.matched, found.runs) == (False, (5, 5))
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.freedom == pytest.approx(expected.df, rel=1e-9)


def test_further_runs_of_one_strategy_do_not_prevent_pairs():
    found = difference("a", "b", Measure.END, keyed([*OURS, 0.9]), keyed(THEIRS))
    assert (found.matched, found.runs) == (True, (5, 5))


def test_few_common_seeds_do_not_throw_runs_away():
    found = difference("a", "b", Measure.END, keyed(OURS), keyed(THEIRS, first=3))
    assert (found.matched, found.runs) == (False, (5, 5))


@pytest.mark.parametrize(("ours", "theirs"), [([0.3], [0.2]), ([0.3], [0.2, 0.1, 0.4]), ([0.3, 0.3], [0.2, 0.2])])
def test_without_repetition_or_variation_there_is_no_test(ours, theirs):
    for found in (
        difference("a", "b", Measure.END, keyed(ours), keyed(theirs)),
        difference("a", "b", Measure.END, keyed(ours), keyed(theirs, first=50)),
    ):
        assert (found.p_value, found.standard_error) == (None, None)
        assert not corrected([found])[0].distinguishable


def test_the_level_is_shared_by_all_tests_that_are_shown():
    values = {
        name: {m: keyed([x + 0.02 * shift for x in OURS]) for m in Measure} for shift, name in enumerate(("a", "b"))
    }
    values["c"] = {m: keyed(THEIRS) for m in Measure}
    found = differences(values)
    assert len(found) == 6
    tested = [d for d in found if d.p_value is not None]
    assert len(tested) == 4, "a and b differ by a constant, which has no error"
    assert [d.adjusted for d in tested] == stats.holm([d.p_value for d in tested])
    expected = stats.minimum_detectable_difference(tested[0].standard_error, tested[0].freedom, comparisons=4)
    assert tested[0].detectable == expected


def test_equal_strategies_differ_by_nothing():
    found = difference("a", "b", Measure.END, keyed(OURS), keyed([x + 1e-17 for x in OURS]))
    assert (found.difference, found.p_value) == (0.0, None)


@pytest.mark.parametrize("matched", [True, False])
def test_a_strategy_seldom_differs_from_itself(matched):
    """Of 400 comparisons, 5 percent are 20; 33 or more have a chance below 1 in 300 at that rate."""
    rng = random.Random(7)
    false = 0
    for _ in range(400):
        luck = [rng.gauss(0, 1) for _ in range(4)]
        groups = [{m: [v + rng.gauss(0, 1) for v in luck] for m in Measure} for _ in range(2)]
        values = {
            name: {m: keyed(group[m], first=0 if matched else 10 * n) for m in Measure}
            for n, (name, group) in enumerate(zip("ab", groups, strict=True))
        }
        false += any(d.distinguishable for d in differences(values))
    assert false < 33


def test_a_difference_of_the_detectable_size_is_found_as_often_as_stated():
    rng = random.Random(3)
    found = 0
    error, freedom = 1 / 6**0.5, 5
    true = stats.minimum_detectable_difference(error, freedom)
    for _ in range(500):
        ours = keyed([true + rng.gauss(0, 1) for _ in range(6)])
        found += corrected([difference("a", "b", Measure.END, ours, keyed([0.0] * 6))])[0].distinguishable
    low, high = stats.wilson(found, 500, 0.999).low, stats.wilson(found, 500, 0.999).high
    assert low < stats.POWER < high
