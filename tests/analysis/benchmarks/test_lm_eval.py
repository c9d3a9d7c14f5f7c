"""Tables of lm-eval's scores, of rows with known differences."""

import math

import pytest

from analysis.benchmarks.lm_eval import ITEMS, recorded, tables
from analysis.benchmarks.results import Rows
from archive.judgements import AnswerRow, PolicyRow


def policy(number, name, loss=None, seed=None):
    kind = "reference" if name == "reference" else "trained"
    return PolicyRow(number, name, kind, loss, seed, f"digest {number}")


def measured(policy, task, value, error=0.02, metric="acc", how="lm-eval 0.4.13", *, higher_is_better=True):
    metrics = recorded(metric, value, error, higher_is_better=higher_is_better) | {ITEMS: 100}
    return AnswerRow(0, policy, "lm-eval", task, how, (), 0, 0, metrics)


POLICIES = (
    policy(1, "reference"),
    policy(2, "dpo (1)", "dpo", 1),
    policy(3, "dpo (2)", "dpo", 2),
    policy(4, "slic (1)", "slic", 1),
)


def cells(table, name):
    return next(found for row, found in table.rows if row == name)


def test_the_difference_of_a_loss_is_the_mean_over_its_seeds_with_the_errors_of_items_and_seeds():
    answers = tuple(measured(i, "arc", v) for i, v in ((1, 0.5), (2, 0.44), (3, 0.48), (4, 0.5)))
    lost, scores = tables(Rows(POLICIES, answers, ()))
    (dpo,), (slic,) = cells(lost, "dpo"), cells(lost, "slic")
    between = 0.0008 / 2  # variance of .44 and .48, divided by the number of seeds
    assert (dpo.value, dpo.error) == pytest.approx((-0.04, math.sqrt(between + 2 * 0.02**2)))
    assert (slic.value, slic.error) == pytest.approx((0.0, math.sqrt(2 * 0.02**2)))
    assert (dpo.n, dpo.note, slic.note) == (100, "", "1 seed")
    assert [name for name, _ in scores.rows] == ["reference", "dpo (1)", "dpo (2)", "slic (1)"]
    assert cells(scores, "dpo (1)")[0].value == 0.44


def test_a_metric_that_was_not_finite_or_not_measured_has_no_figure():
    answers = (
        measured(1, "arc", 0.5), measured(1, "wiki", 20.0, None, "word_perplexity", higher_is_better=False),
        measured(2, "arc", 0.4), measured(2, "wiki", None, None, "word_perplexity", higher_is_better=False),
        measured(3, "arc", None),
    )  # fmt: skip
    lost, _ = tables(Rows(POLICIES, answers, ()))
    assert lost.columns == ("loss", "arc acc", "wiki word_perplexity (less is better)")
    arc, wiki = cells(lost, "dpo")
    assert (arc.value, arc.note) == (pytest.approx(-0.1), "1 of 2 seeds")
    assert (wiki.value, wiki.note) == (None, "not measured")
    assert "slic" not in dict(lost.rows)


def test_a_metric_without_an_error_gives_a_difference_without_one():
    answers = (measured(1, "wiki", 20.0, None), measured(2, "wiki", 25.0, None))
    (cell,) = cells(tables(Rows(POLICIES, answers, ()))[0], "dpo")
    assert (cell.value, cell.error) == (5.0, None)


def test_tasks_that_were_measured_in_two_ways_are_two_columns():
    answers = (measured(1, "arc", 0.5), measured(1, "arc", 0.6, how="lm-eval 0.4.13, first 20 items"))
    (scores,) = [table for table in tables(Rows(POLICIES, answers, ())) if table.title == "lm-eval: scores"]
    assert scores.columns == ("policy", "arc acc (1)", "arc acc (2)")
    assert scores.notes[1] == "Measured with: (1) lm-eval 0.4.13; (2) lm-eval 0.4.13, first 20 items."


def test_without_a_reference_there_are_only_scores():
    (scores,) = tables(Rows(POLICIES[1:], (measured(2, "arc", 0.4),), ()))
    assert scores.title == "lm-eval: scores" and tables(Rows(POLICIES, (), ())) == []
