"""AlpacaEval reads alpaca_eval's files, and refuses files of other sets and of other versions before anything is asked."""

from __future__ import annotations

import json

import pytest

from fitness.benchmarks.alpaca_eval.benchmark import AlpacaEval
from fitness.benchmarks.alpaca_eval.options import AlpacaEvalOptions
from fitness.benchmarks.protocol import BenchmarkError, Shown

ROWS = [
    {"instruction": f"Name {n} colours.", "output": "red " * n, "generator": "gpt4_1106_preview", "dataset": "helpful"}
    for n in range(1, 5)
]


def write(tmp_path, rows, name="outputs.json"):
    path = tmp_path / name
    path.write_text(json.dumps(rows))
    return str(path)


def benchmark(instructions, **options):
    return AlpacaEval(AlpacaEvalOptions(instructions=instructions, **options))


def test_the_published_format_is_read_in_order(tmp_path) -> None:
    found = benchmark(write(tmp_path, ROWS))
    questions = found.questions()
    assert [q.turns[0] for q in questions] == [row["instruction"] for row in ROWS]
    assert [q.references[0] for q in questions] == [row["output"] for row in ROWS]
    assert ([q.id for q in questions], questions[0].category) == (["0", "1", "2", "3"], "helpful")
    assert found.own == "gpt4_1106_preview"


def test_lines_of_json_and_fewer_questions(tmp_path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    assert len(benchmark(str(path), limit=3).questions()) == 3


def test_the_baseline_may_be_in_a_file_of_its_own(tmp_path) -> None:
    bare = [{"instruction": row["instruction"]} for row in ROWS]
    other = [{**row, "output": "blue", "generator": "mine"} for row in ROWS]
    found = benchmark(write(tmp_path, bare), baseline=write(tmp_path, other, "mine.json"))
    assert {q.references for q in found.questions()} == {("blue",)}
    assert found.own == "mine"


def test_without_a_baseline_only_the_reference_model_can_be_the_opponent(tmp_path) -> None:
    path = write(tmp_path, [{"instruction": "Say hi."}])
    with pytest.raises(BenchmarkError, match="no output of the baseline"):
        benchmark(path).questions()
    found = benchmark(path, against=["reference"])
    (question,) = found.questions()
    asked = list(found.requests(question, [Shown(1, ("a",)), Shown(2, ("b",))], Shown(1, ("a",))))
    assert [(r.first, r.second) for r in asked] == [(2, 1), (1, 2)]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (ROWS[:3], "has 3 outputs, expected 4"),
        ([*ROWS[:3], {**ROWS[3], "instruction": "Sing."}], "row 4 of .* answers another instruction"),
        ([*ROWS[:3], {**ROWS[3], "output": None}], "row 4 of .* no output of the baseline"),
        ([*ROWS[:3], {**ROWS[3], "output": 3}], "row 4 of .* has output of type int"),
        ([*ROWS[:3], {"prompt": "x"}], "row 4 of .* has no instruction, but 'prompt'"),
        ([], "has no rows"),
    ],
)
def test_other_outputs_than_those_of_the_set_are_refused(tmp_path, others, words) -> None:
    found = benchmark(write(tmp_path, ROWS), baseline=write(tmp_path, others, "others.json"))
    with pytest.raises(BenchmarkError, match=words):
        found.questions()


def test_a_file_that_is_no_json_is_refused_with_its_line_and_its_own_format(tmp_path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n{'instruction': 1}\n")
    with pytest.raises(BenchmarkError, match=r'line 2 .* is not valid JSON.*"instruction"'):
        benchmark(str(path)).questions()
    with pytest.raises(BenchmarkError, match=r"alpaca-eval.instructions: there is no file"):
        benchmark(str(tmp_path / "gone.json")).questions()


GAMED = "model,index,preference,std_delta_len,instruction_difficulty,not_gamed_baseline\n" + "".join(
    f"{model},{index},{preference},{length},{0.5 * index},False\n"
    for model, preference, length in (("verbose", 0.6, -1.5), ("concise", 0.4, 1.25))
    for index in range(4)
)


def test_the_difficulty_of_instructions_and_the_gamed_baselines_are_facts_of_a_question(tmp_path) -> None:
    path = tmp_path / "df_gamed.csv"
    path.write_text(GAMED)
    facts = benchmark(write(tmp_path, ROWS), gamed=str(path), limit=3).questions()[2].facts
    assert facts == {
        "difficulty": 1.0, "gamed preference 0": 0.6, "gamed length 0": -1.5, "gamed preference 1": 0.4,
        "gamed length 1": 1.25,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GAMED.replace("instruction_difficulty", "gamma"), "no column 'instruction_difficulty'.*another version"),
        (",win_rate,standard_error\nme,1,2\n", "no column 'index'.*another version"),
        (GAMED.replace(",3,", ",9,"), "line 5 of .* is about instruction 9, and there are 4"),
        (GAMED.replace("concise,3", "concise,2").replace("verbose,3", "verbose,2"), "no row for 1 of 4 instructions"),
        (GAMED.replace("0.6", "1.6"), "line 2 .* a preference from 0 to 1"),
        (GAMED.replace("-1.5", "long"), "line 2 .* not a number"),
        (GAMED + "third,0,0.5,0,0,False\n", "third model"),
    ],
)
def test_a_file_of_another_version_or_set_is_refused(tmp_path, text, words) -> None:
    path = tmp_path / "df_gamed.csv"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=words):
        benchmark(write(tmp_path, ROWS), gamed=str(path)).questions()
