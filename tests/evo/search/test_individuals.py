"""The score of one candidate over seeds, as prompts and selection read it."""

import pytest

from evo.search.individuals import Score


def test_a_score_is_the_mean_over_seeds_with_its_standard_error():
    score = Score.of({0: 0.1, 1: 0.2, 2: 0.6}, 9.0)
    assert (score.mean, score.seeds, score.pooled) == (pytest.approx(0.3), 3, False)
    assert score.standard_error == pytest.approx((0.07 / 3) ** 0.5)


def test_one_seed_borrows_the_deviation_of_all_losses_and_says_so():
    assert Score.of({0: 0.5}, 0.04) == Score(0.5, 0.04, 1, pooled=True)
    assert Score.of({0: 0.5}, None) == Score(0.5, None, 1, pooled=False)
