"""The sweep over beta from recorded rows: frontier, failures, errors, picture. Values are worked out by hand."""

from typing import Any

import pytest

from analysis.benchmarks.imdb import BENCHMARK, FAILED, KL_LIMIT, draw, sweeps, tables
from analysis.benchmarks.results import Cell, ResultTable, Rows, text_of
from archive.judgements import AnswerRow, PolicyRow


def rows(*trained: tuple[str, float | None, int, Any]) -> Rows:
    """Rows of (loss, beta, seed, metrics or the reason of the failure)."""
    policies, answers = [], []
    for number, (loss, beta, seed, result) in enumerate(trained, start=1):
        recipe = {"benchmark": BENCHMARK, "beta": beta} | ({FAILED: result} if isinstance(result, str) else {})
        policies.append(PolicyRow(number, f"{loss} {beta} {seed}", "trained", loss, seed, str(number), recipe))
        metrics = {} if isinstance(result, str) else result
        answers.append(AnswerRow(number, number, BENCHMARK, "", "", (), seed, 0, metrics))
    return Rows(tuple(policies), tuple(answers), ())


def metrics(kl: float, reward: float, reference: float = 0.5, error: float | None = None) -> dict[str, float]:
    found = {"kl_per_token": kl, "reward": reward, "reference_reward": reference}
    return found | ({"reward_sampling_error": error, "kl_per_token_sampling_error": error / 2} if error else {})


TWO_SEEDS = rows(
    ("lrml", 0.01, 1, "diverged"), ("lrml", 0.01, 2, metrics(0.9, 0.2)),
    ("lrml", 0.1, 1, metrics(0.3, 0.1)), ("lrml", 0.1, 2, metrics(0.3, 0.3)),
    ("lrml", 0.5, 1, metrics(0.1, 0.6)), ("lrml", 0.5, 2, metrics(0.1, 0.8)),
    ("dpo", 0.1, 1, metrics(0.25, 0.9)), ("dpo", 0.1, 2, metrics(0.35, 0.7)),
    ("dpo", 0.5, 1, metrics(0.1, 0.6)), ("dpo", 0.5, 2, metrics(0.1, 0.6)),
    ("sft", None, 1, metrics(0.05, 0.55)), ("sft", None, 2, metrics(0.05, 0.55)),
)  # fmt: skip


def cell(table: ResultTable, name: str, column: str) -> Cell:
    cells = next(cells for own, cells in table.rows if own == name)
    return cells[table.columns.index(column) - 1]


def test_the_area_begins_at_the_reference_and_has_an_error_over_training_seeds():
    frontier, *_ = tables(TWO_SEEDS)
    # seed 1: .5 to KL .1, .6 to .25, then .9; seed 2: .5 to .1, .6 to .35, then .7
    one, two = (
        (0.5 * 0.1 + 0.6 * 0.15 + 0.9 * 0.25) / KL_LIMIT,
        (0.5 * 0.1 + 0.6 * 0.25 + 0.7 * 0.15) / KL_LIMIT,
    )
    found = cell(frontier, "dpo", "area")
    assert found.value == pytest.approx((one + two) / 2)
    assert found.error == pytest.approx(abs(one - two) / 2)
    assert found.n == 2


def test_a_beta_with_a_failed_training_is_a_failure_and_no_point():
    frontier, reward, _ = tables(TWO_SEEDS)
    assert cell(frontier, "lrml", "failed betas") == Cell(1, n=3, note="0.01")
    assert cell(reward, "lrml", "0.01") == Cell(0.2, None, 1, note="failed 1 of 2: diverged")
    assert [arm.beta for arm in sweeps(TWO_SEEDS)[1].points] == [0.1, 0.5]
    assert "1 training failed (1 diverged)" in text_of(frontier)


def test_a_policy_that_got_worse_than_the_reference_is_told():
    frontier, reward, _ = tables(TWO_SEEDS)
    assert cell(frontier, "lrml", "below the reference").note == "0.1"
    assert cell(reward, "lrml", "0.1").note == "below the reference"
    assert cell(reward, "lrml", "0.5").note == ""


def test_the_baseline_is_first_and_the_others_follow_by_their_area():
    areas = {sweep.name: sum(sweep.areas) / 2 for sweep in sweeps(TWO_SEEDS)}
    assert list(areas) == ["dpo", "lrml", "sft"]
    assert areas["lrml"] == pytest.approx((0.58 + 0.74) / 2)
    assert areas["sft"] == pytest.approx(0.545)


def test_a_loss_without_beta_has_one_point():
    frontier, reward, _ = tables(TWO_SEEDS)
    assert cell(reward, "sft", "no beta").value == pytest.approx(0.55)
    assert cell(reward, "sft", "0.1").note == "not trained"
    assert cell(frontier, "sft", "at beta") == Cell(note="no beta")


def test_of_one_training_the_error_is_that_over_sampling_seeds_and_this_is_told():
    frontier, reward, kl = tables(rows(("dpo", 0.1, 1, metrics(0.2, 0.7, error=0.02))))
    assert cell(reward, "dpo", "0.1") == Cell(0.7, 0.02, 1)
    assert cell(kl, "dpo", "0.1") == Cell(0.2, 0.01, 1)
    assert cell(frontier, "dpo", "area").error is None
    assert "they do not cover the training" in text_of(frontier)


def test_a_loss_that_always_fails_has_a_row():
    frontier, *_ = tables(rows(("dpo", 0.1, 1, metrics(0.2, 0.7)), ("bad", 0.1, 1, "collapsed")))
    assert cell(frontier, "bad", "area") == Cell(note="all failed")
    assert cell(frontier, "bad", "failed betas").value == 1


def test_what_other_benchmarks_recorded_is_left_alone():
    other = Rows(TWO_SEEDS.policies, (), ())
    assert tables(other) == []


@pytest.mark.parametrize(("name", "begins"), [("sweep.svg", b"<svg"), ("sweep.png", b"\x89PNG")])
def test_the_picture_marks_failures_and_the_reference(name, begins, tmp_path):
    pytest.importorskip("matplotlib")
    draw(TWO_SEEDS, tmp_path / name)
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith(begins)
    if name.endswith(".svg"):
        for text in (b"lrml failed at 0.01", b"nats per token", b"dotted: the reference"):
            assert text in drawn
