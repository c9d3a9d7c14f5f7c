"""Statistics of a transfer: ranks by hand, what becomes of a winner, failures, and plans from elsewhere."""

import json

import pytest

from analysis.claims.transfer import PLAN, Plan, Result, Setting, Transfer, Verdict
from analysis.claims.transfer_table import transfer_json, transfer_text
from analysis.output.errors import AnalysisError

SEEDS = tuple(range(1, 9))
NOISE = (0.004, -0.003, 0.001, -0.002, 0.003, -0.004, 0.002, -0.001)


def result(name, mean, shift=0, failed=(), **more):
    """A loss with this mean and noise of its own on each seed."""
    noise = NOISE[shift:] + NOISE[:shift]
    scores = {seed: mean + noise[seed - 1] for seed in SEEDS if seed not in failed}
    return Result(name, scores, {}, frozenset(failed), **more)


def setting(name, *results):
    return Setting(name, (f"network={name}",), "accuracy", "held_out", SEEDS, tuple(results))


def transfer(*settings):
    plan = Plan("classification", tuple(r.name for r in settings[0].results), {s.name: s.changes for s in settings})
    return Transfer(plan, settings)


SEARCHED = setting("mlp", result("ce", 0.80), result("found", 0.90, 1), result("mse", 0.85, 2))


# ---- ranks -----------------------------------------------------------------------------------------------------------


def test_ranks_are_those_of_the_means_and_of_each_seed():
    two = Setting(
        "x", (), "", "", (1, 2, 3),
        (
            Result("a", {1: 3.0, 2: 1.0, 3: 2.0}, {}, frozenset()),
            Result("b", {1: 2.0, 2: 2.0, 3: 2.0}, {}, frozenset()),
            Result("c", {1: 1.0, 2: 0.0, 3: 1.0}, {}, frozenset()),
        ),
    )  # fmt: skip
    assert two.ranks == {"a": 1, "b": 1, "c": 3}, "the means of a and b are both 2"
    assert two.seed_ranks == {"a": (1.0, 2.0, 1.5), "b": (2.0, 1.0, 1.5), "c": (3.0, 3.0, 3.0)}


def test_a_failure_is_worse_than_any_score_and_a_failing_loss_ranks_after_all_others():
    found = setting("x", result("a", 0.9, failed=(3,)), result("b", 0.1), result("c", 0.0, refused=True))
    assert found.ranks["b"] < found.ranks["a"]
    assert found.seed_ranks["a"] == (1, 1, 2, 1, 1, 1, 1, 1)
    assert "c" not in found.seed_ranks


# ---- the winner ------------------------------------------------------------------------------------------------------


def verdict(*results):
    (standing,) = transfer(SEARCHED, setting("cnn", *results)).standings
    return standing


def test_a_winner_that_is_above_every_other_loss_stays():
    found = verdict(result("ce", 0.80), result("found", 0.90, 1), result("mse", 0.85, 2))
    assert found.verdict is Verdict.STAYS
    assert [c.other for c in found.comparisons] == ["mse", "ce"], "the best other loss first"


def test_a_winner_that_one_loss_is_above_falls_back():
    found = verdict(result("ce", 0.80), result("found", 0.90, 1), result("mse", 0.95, 2))
    assert found.verdict is Verdict.FALLS


def test_a_winner_within_the_noise_of_another_loss_cannot_be_told_apart():
    found = verdict(result("ce", 0.80), result("found", 0.9003, 1), result("mse", 0.90, 2))
    assert found.verdict is Verdict.OPEN
    assert [c.significant for c in found.comparisons] == [False, True]


def test_a_winner_whose_training_fails_has_failed_even_where_it_is_ahead_otherwise():
    found = verdict(result("ce", 0.80), result("found", 0.90, 1, failed=(2,)), result("mse", 0.85, 2))
    assert found.verdict is Verdict.FAILS


def test_the_correction_covers_the_comparisons_of_all_settings():
    def of(number):
        further = [
            setting(f"s{i}", result("ce", 0.895), result("found", 0.90, 1), result("mse", 0.80, 2))
            for i in range(number)
        ]
        return transfer(SEARCHED, *further).standings[0]

    assert {c.other: c.adjusted for c in of(1).comparisons}["ce"] == of(1).comparisons[0].paired.p_value
    assert of(6).comparisons[0].adjusted == pytest.approx(6 * of(6).comparisons[0].paired.p_value)


def test_losses_that_failed_elsewhere_are_named_and_not_compared():
    found = verdict(result("ce", 0.80, failed=(1,)), result("found", 0.90, 1), result("mse", 0.85, 2))
    assert (found.verdict, found.left_out) == (Verdict.STAYS, ("ce",))


def test_no_loss_with_a_caution_wins():
    searched = setting("mlp", result("ce", 0.80), result("found", 0.90, 1, caution="singles out pairs"))
    assert transfer(searched).winner == "ce"


def test_the_first_setting_is_not_judged_since_the_winner_was_chosen_there():
    assert transfer(SEARCHED).standings == ()
    assert transfer(SEARCHED).winner == "found"


# ---- text and data ---------------------------------------------------------------------------------------------------


def test_the_text_has_both_tables_and_a_line_for_each_setting():
    cnn = setting("cnn", result("ce", 0.80), result("found", 0.90, 1), result("mse", 0.95, 2))
    deep = setting("deep", result("ce", 0.80), result("found", 0.90, 1), result("mse", 0.85, 2, failed=(4,)))
    lines = transfer_text(transfer(SEARCHED, cnn, deep)).splitlines()
    fitness, ranks = (i for i, line in enumerate(lines) if line.startswith("loss"))
    assert [line.split()[0] for line in lines[fitness + 1 : fitness + 4]] == ["found", "mse", "ce"]
    assert lines[fitness + 1].split()[1:4] == ["0.9000", "±", "0.0010"]
    assert "failed on 1 seed" in lines[fitness + 2]
    assert lines[ranks + 1].split()[1] == "1" and lines[ranks + 1].split()[-1] == "1.3"
    (fell,) = [line for line in lines if line.startswith("  cnn: falls back")]
    assert "significantly worse than mse" in fell and "minus the best other, mse: −0.05" in fell
    (stayed,) = [line for line in lines if line.startswith("  deep: stays")]
    assert "not compared, failed or refused: mse" in stayed


def test_the_data_has_what_the_text_has():
    cnn = setting("cnn", result("ce", 0.80), result("found", 0.90, 1), result("mse", 0.95, 2))
    data = json.loads(json.dumps(transfer_json(transfer(SEARCHED, cnn)), allow_nan=False))
    assert (data["winner"], data["searched"]) == ("found", "mlp")
    (standing,) = data["standings"]
    assert standing["verdict"] == "falls back"
    mse = standing["comparisons"][0]
    assert mse["other"] == "mse" and mse["significant"] and mse["interval"][0] < -0.05 < mse["interval"][1]
    assert {loss["name"]: loss["rank"] for loss in data["settings"][1]["losses"]} == {"ce": 3, "found": 2, "mse": 1}


# ---- plans -----------------------------------------------------------------------------------------------------------


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = Plan("classification", ("ce", "mine"), {"mlp": (), "cnn": ("network=cnn", "epochs=3")})
    (tmp_path / PLAN).write_text(plan.to_json(), "utf-8")
    assert Plan.read(tmp_path) == plan


@pytest.mark.parametrize(
    "text",
    [
        "{}", "[]", "no JSON", '{"version": 2}',
        '{"version": 1, "task": "t", "losses": [], "settings": []}',
        '{"version": 1, "task": "t", "losses": [3], "settings": [{"name": "a", "changes": []}]}',
        '{"version": 1, "task": "t", "losses": ["ce"], "settings": [{"name": "../a", "changes": []}]}',
        '{"version": 1, "task": "t", "losses": ["ce"], "settings": [{"name": ["a"], "changes": []}]}',
    ],
)  # fmt: skip
def test_a_plan_of_another_form_is_refused(tmp_path, text):
    (tmp_path / PLAN).write_text(text, "utf-8")
    with pytest.raises(AnalysisError, match=r"is no plan of a transfer \(.*\); run the command again"):
        Plan.read(tmp_path)


def test_a_directory_without_a_plan_is_told(tmp_path):
    with pytest.raises(AnalysisError, match=r"holds no transfer\.json"):
        Plan.read(tmp_path)
