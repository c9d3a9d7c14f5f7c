"""`evopo evaluate --on lm-eval` with a program in place of lm-eval: what is measured, recorded, and not repeated."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lm_eval_stand_in import RECORDED, calls, stand_in

from archive.query import Reader
from evo.cli.commands import main

pytest.importorskip("torch")


@pytest.fixture
def evaluate(tmp_path):
    """The command on two models and a reference, in the directory `out`."""
    for name in ("before", "mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "llama"}')
        (tmp_path / name / "tokenizer_config.json").write_text(f'{{"name": "{name}"}}')
    python = stand_in(tmp_path)

    def call(*more: str, tasks: str = "reviews") -> Result:
        models = [text for name in ("mine", "other") for text in ("--model", str(tmp_path / name))]
        settings = {"tasks": f"[{tasks}]", "python": python, "device": "cpu"}
        given = [text for key, value in settings.items() for text in ("--set", f"lm-eval.{key}={value}")]
        place = ["--reference", str(tmp_path / "before"), "--dir", str(tmp_path / "out")]
        return CliRunner().invoke(main, ["evaluate", "--on", "lm-eval", *models, *place, *given, *more])

    return call


def recorded(folder: Path):
    with Reader.open(folder / "out" / "archive.db") as reader:
        return reader.answers("lm-eval")


def test_every_policy_is_measured_once_and_compared_with_the_reference(evaluate, tmp_path):
    first = evaluate()
    assert first.exit_code == 0, first.output
    assert [Path(call.split(" --model")[0]).name for call in calls(tmp_path)] == ["before", "mine", "other"]
    assert "lm-eval: forgetting" in first.output and "Measured with: lm-eval 0.4.13." in first.output
    again = evaluate()
    assert again.exit_code == 0 and len(calls(tmp_path)) == 3
    for name in ("mine", "other"):  # the errors of both policies are .080
        assert f"{name:<5}  0.00 ± 0.11\n" in again.output
    assert [(a.question, a.metrics["acc"], a.metrics["items"]) for a in recorded(tmp_path)] == [
        ("reviews", 0.5, 40.0)
    ] * 3


def test_another_limit_is_another_measurement(evaluate, tmp_path):
    assert evaluate().exit_code == 0
    result = evaluate("--set", "lm-eval.limit=20")
    assert result.exit_code == 0 and len(calls(tmp_path)) == 6
    assert {answer.category for answer in recorded(tmp_path)} == {"lm-eval 0.4.13", "lm-eval 0.4.13, first 20 items"}
    assert "(2) lm-eval 0.4.13, first 20 items." in result.output


def test_a_results_file_that_was_kept_is_recorded_without_measuring_again(evaluate, tmp_path):
    """As after a kill between the two."""
    assert evaluate().exit_code == 0
    kept = sorted((tmp_path / "out" / "lm-eval").glob("*.json"))
    (tmp_path / "out" / "archive.db").unlink()
    assert len(kept) == 3 and evaluate().exit_code == 0
    assert len(calls(tmp_path)) == 3 and len(recorded(tmp_path)) == 3


def test_a_policy_on_which_lm_eval_fails_does_not_stop_the_others(evaluate, tmp_path):
    stand_in(tmp_path, then="if pathlib.Path('model').resolve().name == 'mine': sys.exit('RuntimeError: no memory')")
    result = evaluate()
    assert (
        result.exit_code == 1
        and "lm-eval failed on 1 policy" in result.output
        and "RuntimeError: no memory" in result.output
    )
    assert len(recorded(tmp_path)) == 2
    stand_in(tmp_path)
    assert evaluate().exit_code == 0 and len(recorded(tmp_path)) == 3


def test_a_metric_that_is_not_finite_is_recorded_as_measured_without_a_figure(evaluate, tmp_path):
    content = json.loads(RECORDED.read_text("utf-8"))
    content["results"]["reviews"]["acc,none"] = float("nan")
    (tmp_path / "nan.json").write_text(json.dumps(content), "utf-8")
    stand_in(tmp_path, recorded=tmp_path / "nan.json")
    assert evaluate().exit_code == 0
    assert [dict(answer.metrics) for answer in recorded(tmp_path)] == [{"items": 40.0}] * 3
    assert evaluate().exit_code == 0 and len(calls(tmp_path)) == 3


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--set", "lm-eval.tasks=[reviews,hellaswag]"), "lm-eval: lm-eval 0.4.13 has no task hellaswag"),
        (("--set", "lm-eval.tasks=[]"), "lm-eval.tasks"),
        (("--set", "lm-eval.limit=0"), "lm-eval.limit: expected a number of at least 1, got 0"),
        (("--set", "lm-eval.task=reviews"), "unknown key lm-eval.task: did you mean lm-eval.tasks?"),
        (("--set", "lm-eval.python=nowhere"), "there is no executable"),
    ],
)
def test_wrong_options_are_told_before_anything_is_measured(more, words, evaluate, tmp_path):
    result = evaluate(*more)
    assert result.exit_code == 2 and words in result.output
    assert calls(tmp_path) == [] and not (tmp_path / "out").exists()
