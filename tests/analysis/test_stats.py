"""The statistics compared with scipy's, and the properties that claims depend on."""

import math
import random
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import scipy.stats as scipy_stats

from analysis import stats
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive
from evo.search.individuals import Score


@pytest.mark.parametrize("freedom", [1, 2.4, 7, 400])
def test_students_quantile_is_the_inverse_of_the_distribution(freedom):
    for t in (-60.0, -4.3, -1e-3, 0.2, 2.5):
        assert stats.student_quantile(stats.student_cdf(t, freedom), freedom) == pytest.approx(t, rel=1e-6)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_a_quantile_of_an_invalid_probability_is_refused(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.student_quantile(probability, 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.normal_quantile(probability)


def test_degrees_of_freedom_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        stats.student_cdf(1.0, 0)


def test_scipy_is_not_loaded_before_a_statistic_is_needed():
    code = (
        "import sys, analysis.report.page, analysis.claims.headline, evo.cli.commands; sys.exit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_paired_comparison_is_the_paired_t_test():
    rng = random.Random(3)
    theirs = {seed: rng.gauss(0.7, 0.05) for seed in range(9)}
    ours = {seed: value + rng.gauss(0.02, 0.01) for seed, value in theirs.items()} | {99: 5.0}
    result = stats.paired(ours, theirs)
    expected = scipy_stats.ttest_rel([ours[s] for s in range(9)], [theirs[s] for s in range(9)])
    assert result.seeds == tuple(range(9))
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert result.difference / result.standard_error == pytest.approx(expected.statistic, rel=1e-9)


def test_pairing_removes_the_noise_that_seeds_share():
    shared = {seed: random.Random(seed).gauss(0, 1) for seed in range(40)}
    ours = {seed: value + random.Random(seed + 1000).gauss(0, 0.1) for seed, value in shared.items()}
    assert stats.variance_reduction(ours, shared) > 0.95
    assert stats.variance_reduction({0: 1.0}, {0: 1.0}) is None


def test_without_a_shared_seed_there_is_no_comparison():
    assert stats.paired({1: 0.5}, {2: 0.4}) is None


def test_one_seed_has_no_error_of_its_own():
    alone = stats.paired({1: 0.9}, {1: 0.5})
    assert (alone.standard_error, alone.p_value) == (None, None)
    borrowed = stats.paired({1: 0.9}, {1: 0.5}, stats.PooledDeviation(0.1, 6))
    assert borrowed.borrowed
    assert borrowed.standard_error == 0.1
    assert borrowed.p_value == pytest.approx(2 * scipy_stats.t.sf(4.0, 6), rel=1e-9)


def test_equal_differences_have_no_error():
    result = stats.paired({1: 0.5, 2: 0.75}, {1: 0.25, 2: 0.5})
    assert result.difference == 0.25
    assert result.p_value is None


def test_holm_is_scipys_step_down():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0]
    assert stats.holm([]) == []


def test_a_pooled_deviation_weighs_groups_by_their_freedom():
    pooled = stats.pool([[1.0, 3.0], [2.0], [0.0, 0.0, 3.0]])
    assert pooled.freedom == 3
    assert pooled.deviation == pytest.approx(math.sqrt((2 + 6) / 3))
    assert stats.pool([[1.0], [2.0]]) is None
    assert stats.pool([[1.0, 1.0]]) == stats.PooledDeviation(0.0, 1)


@pytest.mark.parametrize("freedom", [1, 3, 4.7, 23, 400])
@pytest.mark.parametrize("comparisons", [1, 3, 50])
@pytest.mark.parametrize("power", [0.1, 0.8, 0.99])
def test_the_minimum_detectable_difference_has_exactly_the_stated_power(freedom, comparisons, power):
    noncentrality = stats.minimum_detectable_difference(1.0, freedom, comparisons=comparisons, power=power)
    critical = scipy_stats.t.ppf(1 - 0.025 / comparisons, freedom)
    upper = scipy_stats.nct.sf(critical, freedom, noncentrality)
    # The normal numerator must be negative in the lower tail.
    lower = power - upper
    assert -1e-9 < lower <= scipy_stats.norm.cdf(-noncentrality) + 1e-9


def test_power_is_that_of_simulated_t_tests():
    rng = random.Random(11)
    true = stats.minimum_detectable_difference(1 / 2, 3, comparisons=3)
    seen = 0
    for _ in range(2000):
        pair = stats.paired({seed: rng.gauss(true, 1.0) for seed in range(4)}, dict.fromkeys(range(4), 0.0))
        seen += pair.p_value < 0.05 / 3
    bounds = stats.wilson(seen, 2000, 0.999)
    assert bounds.low < stats.POWER < bounds.high


def test_more_comparisons_make_the_minimum_detectable_difference_larger():
    assert stats.minimum_detectable_difference(1.0, 7, comparisons=5) > stats.minimum_detectable_difference(1.0, 7)


def test_a_power_below_the_level_is_refused():
    with pytest.raises(ValueError, match="between the level"):
        stats.minimum_detectable_difference(1.0, 7, power=0.05)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (5, 5), (3, 17)])
def test_wilsons_interval_is_scipys(successes, trials):
    expected = scipy_stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert stats.wilson(successes, trials).low == pytest.approx(expected.low, abs=1e-9)
    assert stats.wilson(successes, trials).high == pytest.approx(expected.high, abs=1e-9)
    assert stats.wilson(0, 0) is None


def test_archive_view_and_analysis_give_the_same_standard_error(tmp_path):
    dice = random.Random(11)
    scores = [[dice.gauss(0, 10.0**size) for _ in range(seeds)] for size, seeds in ((-6, 2), (0, 5), (6, 9))]
    scores.append([0.25] * 3)
    with Archive.create(tmp_path / "a.db", RunRow("a", 0, "toy", "preference")) as archive:
        for values in scores:
            candidate = archive.add_candidate("seed", "loss", "", "source", "preference")
            for seed, value in enumerate(values):
                archive.score_evaluation(archive.queue_evaluation(candidate, "toy", "full", seed), value)
    with Reader.open(tmp_path / "a.db") as reader:
        standings = {standing.candidate_id: standing for standing in reader.standings()}
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        view = dict(connection.execute("SELECT candidate, standard_error FROM leaderboard"))
    for candidate, values in enumerate(scores, start=1):
        expected = pytest.approx(stats.standard_error(values), rel=1e-9)
        assert standings[candidate].standard_error == expected
        assert view[candidate] == expected
        assert Score.of(dict(enumerate(values)), None).standard_error == expected
