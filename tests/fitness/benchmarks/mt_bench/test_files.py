"""Question and reference files of MT-Bench: the published formats, and every fault with its file and line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fitness.benchmarks.mt_bench.files import read_questions, read_references
from fitness.benchmarks.protocol import BenchmarkError

WRITING = {"question_id": 81, "category": "writing", "turns": ["Write a poem.", "Now without the letter e."]}
MATHS = {"question_id": 111, "category": "math", "turns": ["What is 2 + 2?", "Times 3?"], "reference": ["4", ""]}


def lines(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_questions_in_the_published_format(tmp_path: Path) -> None:
    found = read_questions(lines(tmp_path / "question.jsonl", WRITING, MATHS))
    assert list(found) == ["81", "111"]
    assert found["81"].turns == ("Write a poem.", "Now without the letter e.")
    assert (found["81"].category, found["81"].references) == ("writing", ())
    assert found["111"].references == ("4", ""), "the published file leaves some references empty"


def test_questions_with_the_names_of_the_data_set_on_the_hub(tmp_path: Path) -> None:
    row = {"prompt_id": 22, "category": "stem", "prompt": ["Why is the sky blue?", "And at sunset?"], "reference": []}
    (question,) = read_questions(lines(tmp_path / "q.jsonl", row)).values()
    assert (question.id, question.turns) == ("22", ("Why is the sky blue?", "And at sunset?"))


def test_reference_answers_in_the_published_format(tmp_path: Path) -> None:
    row = {"question_id": 111, "answer_id": "x", "model_id": "gpt-4", "choices": [{"index": 0, "turns": ["4", "12"]}]}
    assert read_references(lines(tmp_path / "gpt-4.jsonl", row)) == {"111": ("4", "12")}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([WRITING, {**MATHS, "turns": ["only one"]}], "line 2 of {}: turns should be 2 texts, got 1"),
        ([{**WRITING, "turns": ["one", " "]}], "line 1 of {}: turns should be 2 texts that are not empty"),
        (
            [{"question_id": 1, "category": "stem"}],
            "line 1 of {}: turns should be 2 texts that are not empty, got None",
        ),
        ([WRITING, MATHS, WRITING], "line 3 of {}: the question 81 was already on line 1 of {}"),
        (
            [{**WRITING, "category": "maths"}],
            "line 1 of {}: unknown category 'maths': expected one of writing, roleplay",
        ),
        ([{**WRITING, "category": "maths"}], "did you mean math?"),
        ([{**WRITING, "category": None}], "line 1 of {}: unknown category None"),
        (
            [{"category": "stem", "turns": ["a", "b"]}],
            "line 1 of {}: the question_id should be a number or a text, got None",
        ),
        ([{**WRITING, "question_id": True}], "the question_id should be a number or a text, got True"),
        ([{**MATHS, "reference": "4"}], "line 1 of {}: reference should be a list of texts, got '4'"),
        ([[1], WRITING], "row 1 of {} is not an object"),
        ([WRITING, [1]], 'line 2 of {} is not an object: expected {{"question_id": 81'),
        ([], "mt-bench.questions: {} is empty; expected {{"),
    ],
)
def test_faults_of_a_question_file(tmp_path: Path, rows: list[Any], said: str) -> None:
    path = lines(tmp_path / "question.jsonl", *rows)
    with pytest.raises(BenchmarkError) as caught:
        read_questions(path)
    assert said.format(path, path) in str(caught.value)


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "question.jsonl"
    path.write_bytes(json.dumps(WRITING).encode() + b'\n{"question_id": 82, "turns": ["caf\xe9", "b"]}\n')
    with pytest.raises(BenchmarkError, match=r"line 2 of .* is not UTF-8 text \(byte 0xe9"):
        read_questions(str(path))


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "question.jsonl"
    path.write_text(json.dumps(WRITING) + '\n{"question_id": 82, "turns": }\n')
    with pytest.raises(BenchmarkError, match=r"line 2 of .* is not valid JSON .*expected \{\"question_id\""):
        read_questions(str(path))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question_id": 1, "choices": [{"turns": ["4"]}]}, "choices[0].turns should be 2 texts, got 1"),
        ({"question_id": 1, "choices": []}, "choices[0].turns should be 2 texts that are not empty, got None"),
        ({"question_id": 1, "turns": ["4", "12"]}, "choices[0].turns should be 2 texts that are not empty, got None"),
    ],
)
def test_faults_of_a_reference_file(tmp_path: Path, row: Any, said: str) -> None:
    path = lines(tmp_path / "gpt-4.jsonl", row)
    with pytest.raises(BenchmarkError) as caught:
        read_references(path)
    assert f"line 1 of {path}: {said}" in str(caught.value)


def test_a_second_reference_answer_to_one_question(tmp_path: Path) -> None:
    row = {"question_id": 1, "choices": [{"turns": ["a", "b"]}]}
    with pytest.raises(BenchmarkError, match=r"line 2 of .*: a second reference answer to question 1"):
        read_references(lines(tmp_path / "gpt-4.jsonl", row, row))


@pytest.mark.parametrize("name", ["missing.jsonl", "folder/missing.json", "/nowhere/at/all", "./here"])
def test_a_missing_file_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(BenchmarkError, match=f"mt-bench.questions: there is no file {name.removeprefix('./')}"):
        read_questions(name)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"mt-bench\.questions: .* holds no data"):
        read_questions(str(tmp_path))


def test_a_data_set_that_the_hub_does_not_give_is_an_error_with_its_name() -> None:
    pytest.importorskip("datasets")
    code = "from fitness.benchmarks.mt_bench.files import read_questions; read_questions('nobody/no-such-questions')"
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert (
        "BenchmarkError: mt-bench.questions: nobody/no-such-questions is no file here, and cannot be read"
        in done.stderr
    )
