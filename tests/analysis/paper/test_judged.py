"""Scores of judged benchmarks: recorded rows become measures, each with the published column that it belongs to."""

import pytest

from analysis.benchmarks.results import Rows
from analysis.paper.judged import measures_of
from archive.judgements import AnswerRow, JudgementRow, PolicyRow

pytest.importorskip("sklearn")

POLICIES = (
    PolicyRow(1, "dpo, seed 1", "trained", "dpo", 1, "a"),
    PolicyRow(2, "lrml, seed 1", "trained", "lrml", 1, "b"),
    PolicyRow(3, "reference", "reference", None, None, "c"),
    PolicyRow(4, "human", "outputs", None, None, "d"),
)


def answers(benchmark: str, questions: int) -> tuple[AnswerRow, ...]:
    """One answer of each policy to each question; its id is 10 * question + policy."""
    return tuple(
        AnswerRow(
            10 * question + policy.id, policy.id, benchmark, str(question), "writing", ("word " * policy.id,), 0, 3
        )
        for question in range(1, questions + 1)
        for policy in POLICIES
    )


def judgement(
    number: int, benchmark: str, first: int, second: int | None, grade: float | None, turn: int = 0
) -> JudgementRow:
    form = "single" if second is None else "pair"
    return JudgementRow(
        number, benchmark, str(first // 10), "writing", turn, form, "0" * 64, "a judge", first, second, grade, ""
    )


def test_grades_become_the_mean_of_each_loss():
    grades = {11: (8.0, 6.0), 21: (7.0, 7.0), 12: (9.0, None), 22: (9.0, 10.0), 13: (5.0, 5.0), 23: (5.0, 5.0)}
    judged = [
        judgement(10 * answer + turn, "mt-bench", answer, None, grade, turn + 1)
        for answer, pair in grades.items()
        for turn, grade in enumerate(pair)
    ]
    (measure,) = measures_of("mt-bench", Rows(POLICIES, answers("mt-bench", 2), tuple(judged)), "runs/judged")
    assert (measure.column, measure.judge, measure.source) == ("mt_bench", "a judge", "runs/judged")
    assert measure.values["dpo"].value == pytest.approx(7.0)
    assert measure.values["lrml"].value == pytest.approx(28 / 3)
    assert measure.values["lrml"].words == "1 ungraded"
    assert measure.values["reference"].value == pytest.approx(5.0)


def test_win_rates_belong_to_the_columns_of_their_opponents():
    judged = []
    for question in (1, 2):
        for policy, points in ((1, 1.0), (2, 0.5)):  # dpo beats the human, lrml ties
            ours, human = 10 * question + policy, 10 * question + 4
            judged.append(judgement(len(judged) + 1, "tldr", ours, human, points))
            judged.append(judgement(len(judged) + 1, "tldr", human, ours, 1 - points))
        ours, reference = 10 * question + 1, 10 * question + 3
        judged.append(judgement(len(judged) + 1, "tldr", ours, reference, 0.0))
        judged.append(judgement(len(judged) + 1, "tldr", reference, ours, 0.0))  # each time the second wins
    found = measures_of("tldr", Rows(POLICIES, answers("tldr", 2), tuple(judged)), "runs/judged")
    rates = {measure.column: measure for measure in found}
    assert set(rates) == {"tldr_human", "tldr_human_lc", "tldr_sft", "tldr_sft_lc"}
    assert rates["tldr_human"].values["dpo"].value == pytest.approx(100.0)
    assert rates["tldr_human"].values["lrml"].value == pytest.approx(50.0)
    assert rates["tldr_human"].against == "human"
    assert rates["tldr_sft"].values["dpo"].value == pytest.approx(50.0), "both orders cancel the position"
    assert "lrml" not in rates["tldr_sft"].values
    controlled = rates["tldr_human_lc"].values["dpo"]
    assert controlled.value is None and controlled.words, "two questions are too few for length control"


def test_a_benchmark_without_published_figures_has_no_measure():
    assert measures_of("lm-eval", Rows(POLICIES, (), ()), "runs/judged") == []
