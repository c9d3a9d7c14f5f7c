"""The length-controlled rate is the published one: it finds what made the data, and agrees with a fit by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.benchmarks.win_rates.length_control import (
    GAMED_WEIGHT,
    PARTS,
    STRENGTHS,
    NotIdentified,
    Sample,
    length_controlled,
    redrawn,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def made(count=805, quality=-0.4, length=1.5, slope=0.0, noise=0.0, shift=300.0, seed=0):
    """Comparisons that the model itself makes: lengths with a mean of `shift` characters more than the opponent's."""
    rng = np.random.default_rng(seed)
    longer = np.round(rng.normal(shift, 400, count))
    hard = rng.normal(0, 1, count)
    logits = quality + length * np.tanh(longer / longer.std(ddof=1)) + slope * hard
    preference = np.clip(sigmoid(logits) + noise * rng.normal(0, 1, count), 0, 1)
    return tuple(map(str, range(count))), preference, longer, hard


def test_the_effect_of_length_is_taken_out() -> None:
    names, preference, longer, _ = made()
    found = length_controlled(Sample(names, preference, longer))
    assert preference.mean() > 0.55  # the policy seems to win
    assert found.rate == pytest.approx(sigmoid(-0.4), abs=0.003)  # at equal length it loses
    assert (found.quality, found.length) == (pytest.approx(-0.4, abs=0.02), pytest.approx(1.5, abs=0.02))
    assert found.difficulty is None


def test_without_an_effect_of_length_nothing_is_taken_out() -> None:
    names, preference, longer, _ = made(quality=0.3, length=0.0)
    found = length_controlled(Sample(names, preference, longer))
    assert found.rate == pytest.approx(preference.mean(), abs=0.002)


def test_difficulty_moves_the_rate_of_each_instruction() -> None:
    names, preference, longer, hard = made(slope=0.8)
    found = length_controlled(Sample(names, preference, longer, hard))
    assert found.difficulty == pytest.approx(0.8, abs=0.02)
    assert found.rate == pytest.approx(sigmoid(-0.4 + 0.8 * hard).mean(), abs=0.003)


def test_gamed_baselines_pull_the_effects_of_length_and_difficulty_and_not_the_quality() -> None:
    names, preference, longer, hard = made(slope=0.8)
    gained = np.linspace(-2, 2, 1610)
    gamed = (sigmoid(-4 * np.tanh(gained)), gained, np.zeros(1610))  # there, shorter answers win
    plain = length_controlled(Sample(names, preference, longer, hard))
    pulled = length_controlled(Sample(names, preference, longer, hard, gamed))
    assert pulled.length < plain.length - 0.5
    assert Sample(names, preference, longer, hard, gamed).form == "length_controlled_v1"


@pytest.mark.filterwarnings("ignore:.*penalty")
@pytest.mark.parametrize("form", ["length_controlled_minimal", "length_controlled_noreg", "length_controlled_v1"])
def test_the_fit_is_that_of_scikit_learn_with_the_settings_of_the_package(form) -> None:
    """Typed from the published description: duplicated rows, L1 by liblinear, ten C, five parts, log loss of probabilities."""
    linear = pytest.importorskip("sklearn.linear_model")
    names, preference, longer, hard = made(400, noise=0.15, slope=0.5, seed=3)
    gained = np.random.default_rng(1).normal(0, 1, 200)
    gamed = (sigmoid(gained), gained, np.random.default_rng(2).normal(0, 1, 200))
    sample = {
        "length_controlled_minimal": Sample(names, preference, longer),
        "length_controlled_noreg": Sample(names, preference, longer, hard),
        "length_controlled_v1": Sample(names, preference, longer, hard, gamed),
    }[form]
    assert sample.form == form

    columns = [np.tanh(longer / longer.std(ddof=1)), hard, np.ones(400)]
    x, y, w = np.stack(columns, 1), preference, np.ones(400)
    if form == "length_controlled_v1":
        x = np.concatenate([np.stack([np.tanh(gamed[1]), gamed[2], np.zeros(200)], 1), x])
        y, w = np.concatenate([gamed[0], y]), np.concatenate([np.full(200, GAMED_WEIGHT), w])
    if form == "length_controlled_minimal":
        x = x[:, [0, 2]]
    part = np.arange(len(y)) % PARTS

    def fitted(rows, c):
        model = linear.LogisticRegression(
            penalty="l1", solver="liblinear", C=c, fit_intercept=False, random_state=123, tol=1e-6, max_iter=1000
        )
        both = np.concatenate([np.ones(rows.sum()), np.zeros(rows.sum())])
        weight = np.concatenate([y[rows] * w[rows], (1 - y[rows]) * w[rows]])
        return model.fit(np.concatenate([x[rows], x[rows]]), both, sample_weight=weight).coef_[0]

    scores = []
    for c in STRENGTHS:
        losses = []
        for held_out in range(PARTS):
            chance = sigmoid(x[part == held_out] @ fitted(part != held_out, c))
            true = y[part == held_out]
            loss = true * np.log(chance) + (1 - true) * np.log(1 - chance)
            losses.append((w[part == held_out] * loss).mean())
        scores.append(np.mean(losses))
    best = STRENGTHS[int(np.argmax(scores))]
    expected = fitted(np.ones(len(y), bool), best)
    logits = np.full(400, expected[-1]) + (0 if form == "length_controlled_minimal" else expected[1] * hard)

    found = length_controlled(sample)
    assert found.strength == pytest.approx(best)
    assert found.rate == pytest.approx(sigmoid(logits).mean(), abs=2e-4)
    assert (found.length, found.quality) == (
        pytest.approx(expected[0], abs=2e-3),
        pytest.approx(expected[-1], abs=2e-3),
    )


def test_where_nothing_can_be_learned_the_penalty_gives_exactly_one_half() -> None:
    """As in two cells of the paper's table of TL;DR."""
    rng = np.random.default_rng(5)
    found = length_controlled(Sample(tuple(map(str, range(60))), rng.uniform(0, 1, 60).round(), rng.normal(0, 50, 60)))
    assert (found.rate, found.quality, found.length) == (0.5, 0.0, 0.0)


def test_the_bootstrap_covers_the_noise_of_the_judgements_and_the_published_error_does_not() -> None:
    names, preference, longer, _ = made(300, noise=0.3, seed=7)
    sample = Sample(names, preference, longer)
    control = length_controlled(sample)
    plain, drawn = redrawn([sample], [control], 100)
    assert plain.std() == pytest.approx(preference.std() / np.sqrt(300), rel=0.3)
    assert drawn.mean() == pytest.approx(control.rate, abs=0.02)
    assert 0.005 < drawn.std() < 0.05
    assert control.spread < 1e-9  # one prediction for all instructions: the form without difficulty


def test_policies_of_several_seeds_get_the_same_questions_in_a_draw() -> None:
    names, preference, longer, _ = made(60, seed=1)
    sample = Sample(names, preference, longer)
    control = length_controlled(sample)
    plain, drawn = redrawn([sample, sample], [control, control], 5)
    assert (plain[:, 0] == plain[:, 1]).all() and (drawn[:, 0] == drawn[:, 1]).all()
    assert len(set(plain[:, 0])) > 1


def test_length_cannot_be_told_from_quality_if_all_answers_are_longer_by_the_same_number() -> None:
    names, preference, longer, _ = made(50)
    with pytest.raises(NotIdentified, match="longer than the opponent's by 12 characters"):
        length_controlled(Sample(names, preference, np.full(50, 12.0)))
    with pytest.raises(NotIdentified, match="9 judged questions, at least 10"):
        length_controlled(Sample(names[:9], preference[:9], longer[:9]))
    same = length_controlled(Sample(names, np.full(50, 0.8), np.zeros(50)))  # all of equal length: nothing to take out
    assert same.rate == pytest.approx(0.8, abs=0.01)
