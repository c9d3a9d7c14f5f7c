"""Files for the package alpaca_eval: its formats, all answers or none, and no leaderboard of another version."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
from compared_answers import judged_rows

from analysis.benchmarks import alpaca_eval
from analysis.benchmarks.results import Rows
from analysis.output.errors import ExportRefused
from fitness.benchmarks.alpaca_eval.benchmark import AlpacaEval
from fitness.benchmarks.alpaca_eval.options import AlpacaEvalOptions
from fitness.benchmarks.protocol import JudgeReply

HEAD = (
    ",win_rate,standard_error,mode,avg_length,n_wins,n_wins_base,n_draws,n_total,discrete_win_rate,length_controlled_winrate,"
    "lc_standard_error"
)
"""As alpaca_eval 0.6 writes it."""


@pytest.fixture
def rows(tmp_path):
    asked = [
        {"instruction": f"Task {n}", "output": "x" * (20 + n), "generator": "gpt4", "dataset": "set"} for n in range(12)
    ]
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps(asked))
    written = {"../dpo": {1: lambda text: "y" * (30 + 2 * int(text.split()[1]))}}
    longer = lambda _, first, second: JudgeReply("m" if len(first) > len(second) else "M")  # noqa: E731
    return judged_rows(AlpacaEval(AlpacaEvalOptions(instructions=str(path))), written, longer)


def test_outputs_and_annotations_are_in_the_packages_format(rows, tmp_path) -> None:
    files = {path.name: path for path in alpaca_eval.write(rows, tmp_path / "out")}
    assert sorted(files) == [
        "annotations-dpo-seed-1-gpt4-stand-in.json", "leaderboard-gpt4-stand-in.csv", "model_outputs-dpo-seed-1.json",
    ]  # fmt: skip
    outputs = json.loads(files["model_outputs-dpo-seed-1.json"].read_text())
    assert outputs[3] == {
        "dataset": "set", "instruction": "Task 3", "output": "y" * 36, "generator": "../dpo (seed 1)"
    }  # fmt: skip
    judged = json.loads(files["annotations-dpo-seed-1-gpt4-stand-in.json"].read_text())
    assert len(outputs) == len(judged) == 12
    assert judged[3] == {
        "dataset": "set", "instruction": "Task 3", "output_1": "x" * 23, "generator_1": "gpt4", "output_2": "y" * 36,
        "generator_2": "../dpo (seed 1)", "annotator": "stand-in", "preference": 2.0,
    }  # fmt: skip


def test_the_leaderboard_has_the_packages_columns_and_keeps_the_lines_of_others(rows, tmp_path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    board = folder / "leaderboard-gpt4-stand-in.csv"
    board.write_text(f"{HEAD}\nother,12.5,1.0,minimal,900,100,700,5,805,12.7,99.5,0.5\n")
    alpaca_eval.write(rows, folder)
    assert board.read_text().splitlines()[0] == HEAD
    ours, other = list(csv.DictReader(board.open()))
    assert (other[""], other["n_wins"]) == ("other", "100")
    assert (ours[""], ours["win_rate"], ours["n_wins"], ours["n_total"]) == ("../dpo (seed 1)", "100.0", "12", "12")
    alpaca_eval.write(rows, folder)
    assert len(board.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",win_rate,standard_error,n_total\nother,1,2,3\n", "another version of alpaca_eval"),
        ("", "another version"),
        (f"{HEAD}\nother,1,2\n", "line 2 of .* has 3 cells, expected 12"),
    ],
)
def test_a_leaderboard_of_another_version_is_refused_and_left_alone(rows, tmp_path, text, words) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    board = folder / "leaderboard-gpt4-stand-in.csv"
    board.write_text(text)
    with pytest.raises(ExportRefused, match=words):
        alpaca_eval.write(rows, folder)
    assert board.read_text() == text
    assert [path.name for path in folder.iterdir()] == [board.name]


def test_outputs_of_unequal_count_are_refused(rows, tmp_path) -> None:
    fewer = Rows(rows.policies, rows.answers[:-1], rows.judgements, rows.questions)
    with pytest.raises(ExportRefused, match="has 11 answers to 12 questions, the first without one is 11"):
        alpaca_eval.write(fewer, tmp_path / "out")


def test_a_pair_without_a_grade_has_no_preference(rows, tmp_path) -> None:
    ungraded = [replace(row, grade=None) if row.question == "0" else row for row in rows.judgements]
    alpaca_eval.write(Rows(rows.policies, rows.answers, tuple(ungraded), rows.questions), tmp_path / "out")
    judged = json.loads((tmp_path / "out" / "annotations-dpo-seed-1-gpt4-stand-in.json").read_text())
    assert [line["preference"] for line in judged[:2]] == [None, 2.0]


def test_without_the_texts_of_the_questions_no_file_is_written(rows, tmp_path) -> None:
    assert alpaca_eval.write(Rows(rows.policies, rows.answers, rows.judgements), tmp_path / "out") == []
    assert not (tmp_path / "out").exists()
