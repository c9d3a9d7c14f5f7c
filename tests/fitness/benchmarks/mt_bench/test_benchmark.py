"""MT-Bench as a benchmark: questions with their references, sampling by category, requests and grades."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fitness.benchmarks.mt_bench.benchmark import MtBench
from fitness.benchmarks.mt_bench.options import Options
from fitness.benchmarks.protocol import BenchmarkError, JudgeReply, Shown

WRITING = {
    "question_id": 81,
    "category": "writing",
    "turns": ["Write a poem.", "Now shorter."],
    "reference": ["x", "y"],
}
MATHS = {"question_id": 111, "category": "math", "turns": ["What is 2 + 2?", "Times 3?"], "reference": ["4", "12"]}
OURS, THEIRS = Shown(7, ("our first", "our second")), Shown(9, ("their first", "their second"))


def benchmark(folder: Path, *rows: Any, **options: Any) -> MtBench:
    path = folder / "question.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows or (WRITING, MATHS)))
    return MtBench(Options(questions=str(path), **options))


def test_only_math_reasoning_and_coding_have_references(tmp_path: Path) -> None:
    writing, maths = benchmark(tmp_path).questions()
    assert writing.references == ()
    assert maths.references == ("4", "12")


def test_a_file_of_reference_answers_comes_before_those_of_the_questions(tmp_path: Path) -> None:
    answers = tmp_path / "gpt-4.jsonl"
    answers.write_text(json.dumps({"question_id": 111, "choices": [{"turns": ["four", "twelve"]}]}))
    assert benchmark(tmp_path, references=str(answers)).questions()[1].references == ("four", "twelve")


@pytest.mark.parametrize(("reference", "turn"), [(None, 1), (["4"], 2), (["4", ""], 2)])
def test_a_missing_reference_is_an_error_before_anything_is_asked(tmp_path: Path, reference: Any, turn: int) -> None:
    wanted = rf"question 111 \(math\) has no reference answer to turn {turn}.*give a file of reference answers"
    with pytest.raises(BenchmarkError, match=wanted):
        benchmark(tmp_path, {**MATHS, "reference": reference}).questions()


def test_sampling_has_the_published_temperature_of_the_category(tmp_path: Path) -> None:
    categories = {
        "writing": 0.7, "roleplay": 0.7, "extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0, "stem": 0.1,
        "humanities": 0.1,
    }  # fmt: skip
    rows = [{**MATHS, "question_id": number, "category": category} for number, category in enumerate(categories)]
    made = benchmark(tmp_path, *rows)
    assert {q.category: made.sampling_of(q).temperature for q in made.questions()} == categories
    assert {made.sampling_of(q).max_new_tokens for q in made.questions()} == {1024}


def test_single_grading_asks_about_each_turn_and_shows_the_first_before_the_second(tmp_path: Path) -> None:
    made = benchmark(tmp_path)
    first, second = made.requests(made.questions()[0], [OURS], None)
    assert [(r.form, r.turn, r.first, r.second) for r in (first, second)] == [
        ("single", 1, 7, None),
        ("single-turn-2", 2, 7, None),
    ]
    assert "our first" in first.messages[-1].content
    assert "our second" not in first.messages[-1].content
    shown = second.messages[-1].content
    assert [shown.index(text) for text in ("Write a poem.", "our first", "Now shorter.", "our second")] == sorted(
        shown.index(text) for text in ("Write a poem.", "our first", "Now shorter.", "our second")
    )
    assert (first.temperature, first.max_tokens) == (0.0, 2048)


def test_references_are_shown_where_the_question_has_them(tmp_path: Path) -> None:
    made = benchmark(tmp_path)
    first, second = made.requests(made.questions()[1], [OURS], None)
    assert (first.form, second.form) == ("single-reference", "single-reference-turn-2")
    assert "[The Start of Reference Answer]\n4\n[The End of Reference Answer]" in first.messages[-1].content
    assert "### Reference answer:\n12\n" in second.messages[-1].content


def test_pairs_are_asked_in_both_orders_and_not_of_the_baseline_with_itself(tmp_path: Path) -> None:
    made = benchmark(tmp_path, mode="pair")
    requests = list(made.requests(made.questions()[0], [THEIRS, OURS], THEIRS))
    assert [(r.form, r.turn, r.first, r.second) for r in requests] == [
        ("pair", 1, 7, 9), ("pair", 1, 9, 7), ("pair-turn-2", 2, 7, 9), ("pair-turn-2", 2, 9, 7),
    ]  # fmt: skip
    shown = requests[1].messages[-1].content
    assert "[The Start of Assistant A's Answer]\ntheir first\n[The End of Assistant A's Answer]" in shown
    assert "[The Start of Assistant B's Answer]\nour first\n[The End of Assistant B's Answer]" in shown


def test_mode_both_asks_for_grades_and_pairs(tmp_path: Path) -> None:
    made = benchmark(tmp_path, mode="both")
    requests = list(made.requests(made.questions()[1], [THEIRS, OURS], THEIRS))
    assert sum(r.second is None for r in requests) == 4
    assert sum(r.second is not None for r in requests) == 4
    assert {r.form for r in requests} <= set(made.forms)


def test_grades_are_ratings_for_single_answers_and_points_for_pairs(tmp_path: Path) -> None:
    made = benchmark(tmp_path, mode="both")
    requests = list(made.requests(made.questions()[0], [OURS], THEIRS))
    single, pair = (next(r for r in requests if (r.second is None) == alone) for alone in (True, False))
    assert made.grade(single, JudgeReply("Rating: [[8]]")) == 8.0
    assert made.grade(single, JudgeReply("[[A]]")) is None
    assert made.grade(pair, JudgeReply("[[A]]")) == 1.0
    assert made.grade(pair, JudgeReply("Rating: [[8]]")) is None


def test_an_answer_without_its_second_turn_is_an_error(tmp_path: Path) -> None:
    made = benchmark(tmp_path)
    with pytest.raises(BenchmarkError, match="question 81 has an answer with 1 turns, expected 2"):
        list(made.requests(made.questions()[0], [Shown(7, ("only one",))], None))


def test_forms_change_with_the_prompts_that_a_user_gives(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="there is no file"):
        benchmark(tmp_path, templates=str(tmp_path / "none.jsonl"))
    assert set(benchmark(tmp_path).forms) == {
        "single", "single-turn-2", "single-reference", "single-reference-turn-2",
    }  # fmt: skip


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValidationError, match="refrences"):
        Options(questions="q.jsonl", refrences="r.jsonl")  # type: ignore[call-arg]
