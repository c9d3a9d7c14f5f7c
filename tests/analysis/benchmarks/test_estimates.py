"""Means over questions and seeds: their standard errors against formulas typed here, and against simulated truth."""

import numpy as np
import pytest
from scipy.stats import t

from analysis.benchmarks.estimates import estimate


def test_one_policy_with_equal_turns_is_the_standard_error_of_the_question_means() -> None:
    grades = {"a": [8.0, 6.0], "b": [5.0, 5.0], "c": [9.0, 10.0]}
    found = estimate([grades])
    means = [7.0, 5.0, 9.5]
    assert found is not None
    assert found.value == pytest.approx(np.mean(means))
    assert found.error == pytest.approx(np.std(means, ddof=1) / 3**0.5)
    assert (found.freedom, found.questions, found.seeds) == (2.0, 3, 1)
    assert found.interval is not None
    assert found.interval.high - found.value == pytest.approx(t.ppf(0.975, 2) * found.error)


def test_a_question_with_one_graded_turn_weighs_half() -> None:
    found = estimate([{"a": [8.0, 6.0], "b": [5.0], "c": [9.0, 10.0], "d": []}])
    sums, counts = np.array([14.0, 5.0, 19.0]), np.array([2, 1, 2])
    ratio = sums.sum() / counts.sum()
    assert found is not None
    assert found.value == pytest.approx(38 / 5)
    assert found.error == pytest.approx(np.sqrt(3 / 2 * ((sums - ratio * counts) ** 2).sum()) / 5)


def test_several_seeds_are_crossed_with_the_questions() -> None:
    cells = np.array([[7.0, 5.0, 9.0, 4.0], [8.0, 5.5, 9.5, 6.0], [6.0, 4.0, 9.0, 2.0]])
    found = estimate([{f"q{n}": [value] for n, value in enumerate(row)} for row in cells])
    seeds, questions = cells.shape
    rows, columns = cells.mean(axis=1), cells.mean(axis=0)
    ms_seeds = questions * rows.var(ddof=1)
    ms_questions = seeds * columns.var(ddof=1)
    rest = cells - rows[:, None] - columns + cells.mean()
    ms_rest = (rest**2).sum() / ((seeds - 1) * (questions - 1))
    assert found is not None
    assert found.error == pytest.approx(np.sqrt((ms_seeds + ms_questions - ms_rest) / cells.size))
    assert (found.questions, found.seeds) == (4, 3)


def test_the_variance_is_never_below_that_over_questions() -> None:
    found = estimate([{"a": [3.0], "b": [7.0]}, {"a": [7.0], "b": [3.0]}])
    assert found is not None
    assert found.error is None, "equal means of the questions and of the seeds tell nothing"


def test_simulated_seeds_and_questions_have_the_estimated_variance() -> None:
    random = np.random.default_rng(5)
    values, variances = [], []
    for _ in range(600):
        cells = random.normal(0, 0.5, (3, 1)) + random.normal(0, 1.0, (1, 20)) + random.normal(0, 0.7, (3, 20))
        found = estimate([{str(n): [float(v)] for n, v in enumerate(row)} for row in cells])
        assert found is not None and found.error is not None
        values.append(found.value)
        variances.append(found.error**2)
    assert np.mean(variances) == pytest.approx(np.var(values, ddof=1), rel=0.15)


def test_without_values_there_is_no_estimate_and_with_one_question_no_error() -> None:
    assert estimate([]) is None
    assert estimate([{}, {"a": []}]) is None
    found = estimate([{"a": [7.0, 8.0]}])
    assert found is not None
    assert (found.value, found.error, found.interval) == (7.5, None, None)


def test_a_policy_without_grades_does_not_count_as_a_seed() -> None:
    found = estimate([{"a": [7.0], "b": [8.0]}, {}])
    assert found is not None
    assert found.seeds == 1
