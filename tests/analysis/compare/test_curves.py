"""Curves: who leads after which cost, what the leader is worth, and what counts as cost."""

import random
import sqlite3
from contextlib import closing

import pytest
from make_archive import hinge, logistic
from recorded_runs import FULL, Found, config, read, record

from analysis import stats
from analysis.compare.curves import Against, Curve, Shrinkage, curve_of, spent_by
from analysis.snapshot import SINGLES_OUT
from archive.records import Usage
from archive.store import Archive

TRUSTING = Shrinkage(typical=0.0, between=1.0, noise=0.0)
"""No noise, so nothing is shrunken."""


def curve(tmp_path, losses, shrinkage=TRUSTING, against=Against.TRAININGS):
    return curve_of(read(record(tmp_path, losses)), FULL, shrinkage, against)


def test_the_leader_changes_when_a_better_loss_is_scored(tmp_path):
    found = curve(tmp_path, [Found("a", (0.1,)), Found("b", (0.05,)), Found("c", (0.2,))])
    assert found.xs == (0, 5, 7)  # after the four trainings of the baseline
    assert found.values == pytest.approx((0, 0.1, 0.2))
    assert found.end == 7


def test_losses_below_the_baseline_never_lead(tmp_path):
    found = curve(tmp_path, [Found("a", (-0.1,)), Found("b", (0.0,))])
    assert (found.xs, found.values, found.end) == ((0,), (0,), 6)


@pytest.mark.parametrize("loss", [Found(gains=(0.1, None)), Found(gains=(0.1,), note=SINGLES_OUT), Found(refused=True)])
def test_a_loss_that_failed_has_a_caution_or_was_refused_never_leads(tmp_path, loss):
    assert curve(tmp_path, [loss]).values == (0,)


def test_a_leader_by_chance_is_corrected_by_its_later_seeds(tmp_path):
    """Its first seed takes the lead; the value of the curve is the estimate from all seeds from there on."""
    found = curve(tmp_path, [Found("lucky", (0.3, 0.1, 0.1, 0.1)), Found("steady", (0.2, 0.2, 0.2, 0.2))])
    assert found.values[1] == pytest.approx(0.15)
    assert found.values[-1] == pytest.approx(0.2)


def test_trainings_of_the_final_count_neither_as_cost_nor_for_the_curve(tmp_path):
    found = curve(tmp_path, [Found("a", (0.1,), fresh=(0.9, 0.9))])
    assert found.end == 5
    assert found.values[-1] == pytest.approx(0.1)


def test_every_kind_of_cost_is_summed_over_the_search(tmp_path):
    losses = [
        Found("a", (0.1,), usage=Usage(100, 20, 0.5), judged=Usage(10, 1, 0.25), fresh=(0.1,)),
        Found("b", refused=True, usage=Usage(200, 30, 1.0)),
    ]
    run = read(record(tmp_path, losses))
    spent = spent_by(run)
    assert spent[Against.PROPOSALS] == 2
    assert spent[Against.TRAININGS] == 5
    assert spent[Against.TOKENS] == 361
    assert spent[Against.USD] == 1.75
    assert spent[Against.SECONDS] >= 0
    assert run.snapshot.spending.usd + run.snapshot.spending.judge_usd == 1.75, "as the status of the run says"
    assert curve_of(run, FULL, TRUSTING, Against.USD).xs == (0, 0.75)


def test_trainings_of_studies_count_like_those_of_the_budget(tmp_path):
    directory = record(tmp_path, [Found("a", (0.1,))], finished=False)
    with Archive.open(directory / "archive.db") as archive:
        for purpose in ("tune", "simplify", "autopsy"):
            variant = archive.variants.add(2, purpose, ["drop", 1], logistic().to_json(), "hash")
            archive.variants.score(variant, FULL, 0, 0.5)
            archive.variants.fail(variant, FULL, 1, "diverged")
    run = read(directory)
    assert spent_by(run)[Against.TRAININGS] == 4 + 1 + 2 * 2 == run.snapshot.spending.evaluations


def test_what_other_commands_pay_and_the_time_until_then_are_no_cost_of_the_search(tmp_path):
    directory = record(tmp_path, [Found("a", (0.1,), judged=Usage(10, 1, 0.25))])
    before = spent_by(read(directory))
    with Archive.open(directory / "archive.db") as archive:
        archive.event("autopsy", {})
        archive.charge("judge", Usage(1000, 100, 5.0))
        archive.event("autopsy", {})
        archive.event("session_started", {"config": {}, "fitness": {}})
        archive.charge("judge", Usage(100, 10, 0.5))
    with closing(sqlite3.connect(directory / "archive.db")) as database:
        (autopsy,) = database.execute("SELECT min(id) FROM event WHERE kind = 'autopsy'").fetchone()
        database.execute("UPDATE event SET at = '2999-01-01T00:00:00.000+00:00' WHERE id > ?", (autopsy,))
        database.commit()
    after = spent_by(read(directory))
    assert after == before | {Against.TOKENS: before[Against.TOKENS] + 110, Against.USD: before[Against.USD] + 0.5}


def test_the_value_holds_from_one_step_to_the_next_and_the_area_is_its_mean():
    found = Curve((0, 2, 6), (0, 1, 3), (1, 2, 3), 10)
    assert [found.at(x) for x in (0, 1.9, 2, 5, 6, 100)] == [0, 0, 1, 1, 3, 3]
    assert [found.leader(x) for x in (0, 2, 7)] == [1, 2, 3]
    assert found.area(10) == pytest.approx((0 * 2 + 1 * 4 + 3 * 4) / 10)
    assert found.area(4) == pytest.approx(0.5)
    assert found.area(0) == 0


# ---- shrinkage -----------------------------------------------------------------------------------------------------


def test_the_best_of_many_noisy_losses_is_not_believed():
    """200 losses with a true deviation of 0.01 and a noise of 0.02: the best score is far too high, its estimate is not."""
    errors, biases = [], []
    for trial in range(40):
        rng = random.Random(trial)
        true = [rng.gauss(0.0, 0.01) for _ in range(200)]
        # One loss in five has a second seed, from which the noise is known.
        scores = [[t + rng.gauss(0, 0.02) for _ in range(1 + (n % 5 == 0))] for n, t in enumerate(true)]
        shrinkage = Shrinkage.of(scores)
        best = max(range(200), key=lambda n: shrinkage.estimate(scores[n]))
        biases.append(stats.mean(scores[best]) - true[best])
        errors.append(shrinkage.estimate(scores[best]) - true[best])
    assert stats.mean(biases) > 0.015
    assert abs(stats.mean(errors)) < 2.5 * stats.standard_error(errors) < 0.005


def test_a_ruined_loss_changes_no_estimate_of_the_others():
    scores = [[0.01 * n, 0.01 * n + 0.002] for n in range(20)]
    plain, with_ruin = Shrinkage.of(scores), Shrinkage.of([*scores, [-5.0, -5.0]])
    assert with_ruin.estimate([0.2]) == pytest.approx(plain.estimate([0.2]), rel=0.05)


def test_more_seeds_are_trusted_more():
    shrinkage = Shrinkage(typical=0.0, between=1.0, noise=1.0)
    assert shrinkage.estimate([1.0]) == 0.5
    assert shrinkage.estimate([1.0] * 3) == 0.75
    assert shrinkage.error(3) < shrinkage.error(1)


@pytest.mark.parametrize("scores", [[[0.1]], [[0.1], [0.1]], [[0.0, 0.0]]])
def test_few_or_equal_losses_have_estimates(scores):
    shrinkage = Shrinkage.of(scores)
    assert shrinkage.estimate(scores[0]) == pytest.approx(scores[0][0])
    assert shrinkage.error(1) == 0


def test_the_same_function_in_other_runs_does_not_matter_for_a_curve(tmp_path):
    one = curve(tmp_path / "a", [Found("a", (0.1,), graph=logistic(2.0))])
    other = curve(tmp_path / "b", [Found("b", (0.1,), graph=hinge(3.0))])
    assert (one.xs, one.values) == (other.xs, other.values)
    assert config()["seed"] == 0
