"""Tables of MT-Bench from judged rows: judges with known faults show them with their size."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loopback_judge import LoopbackJudge, Mode
from mt_bench_rows import Ask, judged, over_http, policy

from analysis.benchmarks.mt_bench import draw, tables
from analysis.benchmarks.results import Cell, ResultTable, Rows, csv_of, plain_of, text_of
from analysis.output.errors import NothingToDraw
from fitness.benchmarks.mt_bench.benchmark import MtBench
from fitness.benchmarks.mt_bench.options import Options
from fitness.benchmarks.protocol import JudgeRequest

DPO, SLIC, REFERENCE = policy(1, "dpo", 0), policy(2, "slic", 0), policy(3, None)
CATEGORIES = ("writing", "math", "stem")
GOOD, POOR = "a good and clear answer, the best", "a poor and dull answer, boring"
QUESTIONS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {
            "question_id": n,
            "category": CATEGORIES[n % 3],
            "turns": [f"Question {n}?", "And then?"],
            "reference": ["good", "best"],
        }
        for n in range(QUESTIONS)
    ]
    (tmp_path / "question.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def benchmark(folder: Path, mode: str) -> MtBench:
    return MtBench(Options(questions=str(folder / "question.jsonl"), mode=mode))


def good(question: str, turn: int) -> str:
    return GOOD


def poor(question: str, turn: int) -> str:
    return POOR


def good_in_even(question: str, turn: int) -> str:
    return GOOD if int(question) % 2 == 0 else POOR


def table(rows: Rows, title: str) -> ResultTable:
    return next(found for found in tables(rows) if found.title.startswith(title))


def cell(found: ResultTable, row: str, column: str) -> Cell:
    return dict(found.rows)[row][found.columns.index(column) - 1]


@pytest.fixture
def right() -> Iterator[LoopbackJudge]:
    with LoopbackJudge(Mode.RIGHT) as judge:
        yield judge


def test_a_right_judge_grades_the_better_policy_higher_in_each_category(folder: Path, right: LoopbackJudge) -> None:
    answers = {1: poor, 2: good, 3: good_in_even}
    rows = judged(benchmark(folder, "single"), [DPO, SLIC, REFERENCE], answers, over_http(right.base_url))
    assert right.requests == 3 * 2 * QUESTIONS
    scores = table(rows, "MT-Bench: grades of single answers")
    assert [name for name, _ in scores.rows] == ["slic", "reference", "dpo"]
    by_hand = {
        row.id: np.mean([j.grade for j in rows.judgements if rows.answer[j.first].policy_id == row.id])
        for row in rows.policies
    }
    assert cell(scores, "slic", "score").value == pytest.approx(by_hand[2])
    assert cell(scores, "slic", "minus dpo").value == pytest.approx(by_hand[2] - by_hand[1])
    assert cell(scores, "slic", "published").value == 7.881
    assert cell(scores, "reference", "published").note == "not published"
    categories = table(rows, "MT-Bench: grades by category")
    assert categories.columns == ("policy", "writing", "math", "stem")
    for category in CATEGORIES:
        ours, theirs = (cell(categories, name, category).value for name in ("slic", "dpo"))
        assert ours is not None and theirs is not None and ours > theirs
    assert cell(categories, "reference", "stem").n == QUESTIONS // 3


def test_a_right_judge_finds_the_wins_of_pairs(folder: Path, right: LoopbackJudge) -> None:
    made = benchmark(folder, "pair")
    rows = judged(made, [REFERENCE, DPO], {3: poor, 1: good_in_even}, over_http(right.base_url), baseline=3)
    rates = table(rows, "MT-Bench: pairs against reference")
    shares = [cell(rates, "dpo", column).value for column in ("win rate, %", "wins, %", "ties, %", "losses, %")]
    assert shares == [75.0, 50.0, 50.0, 0.0]
    bias = cell(table(rows, "MT-Bench: position bias"), "all pairs", "position bias, % points")
    assert bias.value == 0.0


def test_both_orders_cancel_a_judge_that_looks_at_the_position_only(folder: Path) -> None:
    with LoopbackJudge(Mode.FIRST, strength=10.0) as judge:
        rows = judged(
            benchmark(folder, "pair"), [REFERENCE, DPO], {3: good, 1: poor}, over_http(judge.base_url), baseline=3
        )
    one_order = [row.grade for row in rows.judgements if rows.answer[row.first].policy_id == DPO.id]
    assert set(one_order) == {1.0}, "in one order the worse policy wins everything"
    rates = table(rows, "MT-Bench: pairs against reference")
    assert cell(rates, "dpo", "win rate, %").value == 50.0
    assert cell(rates, "dpo", "ties, %").value == 100.0
    positions = table(rows, "MT-Bench: position bias")
    assert cell(positions, "all pairs", "position bias, % points").value == 50.0
    assert cell(positions, "dpo", "both orders agree, %").value == 0.0


def test_the_size_of_a_position_bias_lies_in_its_interval(folder: Path) -> None:
    dice = random.Random(3)

    def biased(request: JudgeRequest) -> str:
        """Looks at the position in 3 of 5 requests, else throws a coin: the first gets .8 of the points."""
        return "[[A]]" if dice.random() < 0.6 + 0.4 / 2 else "[[B]]"

    rows = judged(benchmark(folder, "pair"), [REFERENCE, DPO, SLIC], {3: good, 1: good, 2: good}, biased, baseline=3)
    bias = cell(table(rows, "MT-Bench: position bias"), "all pairs", "position bias, % points")
    assert bias.interval is not None
    assert 0 < bias.interval.low < 30 < bias.interval.high
    rate = cell(table(rows, "MT-Bench: pairs against reference"), "dpo", "win rate, %")
    assert rate.interval is not None
    assert rate.interval.low < 50 < rate.interval.high


def test_a_judge_that_writes_nonsense_leaves_no_grade_and_each_reply_is_counted(folder: Path) -> None:
    with LoopbackJudge(Mode.NONSENSE) as judge:
        rows = judged(
            benchmark(folder, "both"), [REFERENCE, DPO], {3: good, 1: poor}, over_http(judge.base_url), baseline=3
        )
    scores, rates = table(rows, "MT-Bench: grades of single"), table(rows, "MT-Bench: pairs")
    single, pair = cell(scores, "dpo", "score"), cell(rates, "dpo", "win rate, %")
    assert (single.value, single.ungraded, single.note) == (None, 2 * QUESTIONS, "no grade")
    assert (pair.value, pair.ungraded, pair.note) == (None, 4 * QUESTIONS, "no grade")
    assert any(
        f"{8 * QUESTIONS} of {8 * QUESTIONS} replies of the judge have no grade" in note for note in scores.notes
    )
    assert "24 ungraded" in text_of(scores)


def nothing(request: JudgeRequest) -> str:
    return "no grade here"


def by_policy(grades: dict[int, float], policies: int) -> Ask:
    """A judge that grades answers by the policy that wrote them; answers are numbered policy by policy within a question."""
    return lambda request: f"Rating: [[{grades[(request.first - 1) % policies + 1]}]]"


def test_ungraded_replies_are_in_no_mean(folder: Path) -> None:
    def half(request: JudgeRequest) -> str:
        return "Rating: [[8]]" if request.turn == 1 else "I cannot say."

    rows = judged(benchmark(folder, "single"), [DPO], {1: good}, half)
    scores = table(rows, "MT-Bench: grades of single")
    assert cell(scores, "dpo", "score").value == 8.0
    assert cell(scores, "dpo", "score").ungraded == QUESTIONS
    assert cell(scores, "dpo", "turn 2").value is None
    assert cell(scores, "dpo", "turn 2").note == "no grade"


def test_seeds_of_one_loss_share_a_row_and_its_difference_is_paired_by_seed(folder: Path) -> None:
    policies = [policy(1, "dpo", 0), policy(2, "dpo", 1), policy(3, "slic", 0), policy(4, "slic", 1)]
    ask = by_policy({1: 5.0, 2: 7.0, 3: 5.5, 4: 8.5}, 4)
    rows = judged(benchmark(folder, "single"), policies, dict.fromkeys(range(1, 5), good), ask)
    scores = table(rows, "MT-Bench: grades of single")
    assert [name for name, _ in scores.rows] == ["slic", "dpo"]
    dpo, difference = cell(scores, "dpo", "score"), cell(scores, "slic", "minus dpo")
    assert (dpo.value, dpo.note) == (6.0, "2 seeds")
    assert dpo.error == pytest.approx(np.std([5, 7], ddof=1) / 2**0.5)
    assert difference.value == 1.0
    assert difference.error == pytest.approx(np.std([0.5, 1.5], ddof=1) / 2**0.5)
    each = table(rows, "MT-Bench: grades by training")
    assert [(name, cells[0].value) for name, cells in each.rows] == [
        ("slic, seed 0", 5.5), ("slic, seed 1", 8.5), ("dpo, seed 0", 5.0), ("dpo, seed 1", 7.0),
    ]  # fmt: skip


def test_grades_of_different_judges_are_not_mixed(folder: Path) -> None:
    rows = judged(benchmark(folder, "single"), [DPO], {1: good}, by_policy({1: 6.0}, 1))
    other = [replace(row, id=row.id + 1000, judge="another", grade=9.0) for row in rows.judgements]
    found = [t for t in tables(replace(rows, judgements=(*rows.judgements, *other))) if "single" in t.title]
    assert [cell(t, "dpo", "score").value for t in found] == [6.0, 9.0]


def test_intervals_are_in_csv_and_json(folder: Path, right: LoopbackJudge) -> None:
    rows = judged(benchmark(folder, "single"), [DPO], {1: good_in_even}, over_http(right.base_url))
    scores = table(rows, "MT-Bench: grades of single")
    score = cell(scores, "dpo", "score")
    assert score.interval is not None and score.value is not None
    assert score.interval.low < score.value < score.interval.high
    assert plain_of(scores)["rows"][0]["cells"][0]["interval"] == [score.interval.low, score.interval.high]
    assert f",{score.interval.low!r},{score.interval.high!r}," in csv_of([scores])


def test_without_judgements_there_is_no_table(folder: Path) -> None:
    rows = judged(benchmark(folder, "single"), [DPO], {1: good}, nothing)
    assert tables(replace(rows, judgements=())) == []


def test_the_radar_picture_is_written_as_svg_and_png(folder: Path, right: LoopbackJudge) -> None:
    pytest.importorskip("matplotlib")
    rows = judged(benchmark(folder, "single"), [DPO, REFERENCE], {1: good, 3: poor}, over_http(right.base_url))
    draw(rows, folder / "radar.svg")
    drawn = (folder / "radar.svg").read_text()
    assert all(word in drawn for word in (*CATEGORIES, "dpo", "reference", "a-judge"))
    draw(rows, folder / "radar.png")
    assert (folder / "radar.png").read_bytes().startswith(b"\x89PNG")


def test_pairs_alone_have_no_radar_picture(folder: Path) -> None:
    rows = judged(benchmark(folder, "pair"), [REFERENCE, DPO], {3: good, 1: good}, lambda request: "[[C]]", baseline=3)
    with pytest.raises(NothingToDraw, match="no single answer was graded"):
        draw(rows, folder / "radar.svg")
