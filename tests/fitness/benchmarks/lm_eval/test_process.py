"""lm-eval in its own process: what is asked for, what is kept, and how failures are told."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from lm_eval_stand_in import calls, stand_in

from fitness.benchmarks.lm_eval.options import LmEvalOptions
from fitness.benchmarks.lm_eval.process import check, measure
from fitness.benchmarks.protocol import BenchmarkError


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "policy, seed=1"
    folder.mkdir()
    return folder


def options(python: Path | None, **changes) -> LmEvalOptions:
    return LmEvalOptions(python=python, **{"tasks": ("reviews",)} | changes)


def test_a_policy_is_measured_once_with_the_options_as_arguments(model, tmp_path):
    (tmp_path / "tasks").mkdir()
    given = options(
        stand_in(tmp_path), limit=5, num_fewshot=0, batch_size=2, device="cpu", chat_template=True,
        include_path=tmp_path / "tasks",
    )  # fmt: skip
    assert check(given) == "0.4.13"
    kept = tmp_path / "kept" / "results.json"
    first, second = measure(model, given, kept), measure(model, given, kept)
    assert first == second and first.scores[0].value == 0.5
    (call,) = calls(tmp_path)
    assert call.startswith(f"{model} --model hf --model_args pretrained=./model --tasks reviews ")
    for argument in ("--limit 5", "--num_fewshot 0", "--batch_size 2", "--device cpu", "--apply_chat_template"):
        assert argument in call
    assert f"--include_path {tmp_path / 'tasks'}" in call
    assert os.listdir(kept.parent) == ["results.json"]


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("sys.exit('ValueError: no such model')", r"lm-eval failed on .* \(exit code 1\): ValueError: no such model"),
        ("sys.exit(0)", "lm-eval wrote 0 results files .* it printed nothing"),
        ("text = text.replace('reviews', 'others')", "has no task 'reviews'"),
        ("import time; time.sleep(60)", "lm-eval took more than 0.5 seconds; raise timeout_seconds, or set limit"),
    ],
)
def test_a_failure_is_told_and_nothing_is_kept(then, words, model, tmp_path):
    kept = tmp_path / "kept" / "results.json"
    with pytest.raises(BenchmarkError, match=words):
        measure(model, options(stand_in(tmp_path, then), timeout_seconds=0.5 if "sleep" in then else 60), kept)
    assert not kept.parent.exists()


def test_what_is_missing_is_told_before_anything_is_measured(tmp_path):
    with pytest.raises(BenchmarkError, match="has no task hellaswag, arc_easy; `lm-eval ls tasks` lists them"):
        check(options(stand_in(tmp_path), tasks=("hellaswag", "reviews", "arc_easy")))
    with pytest.raises(BenchmarkError, match=r"expected lm-eval 0\.4\.x, got 0\.3\.0"):
        check(options(stand_in(tmp_path, version="0.3.0")))
    with pytest.raises(BenchmarkError, match=r"there is no executable .*nowhere"):
        check(options(tmp_path / "nowhere"))
    with pytest.raises(BenchmarkError, match="include_path: there is no folder"):
        check(options(stand_in(tmp_path), include_path=tmp_path / "nowhere"))
    assert calls(tmp_path) == []


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is not None, reason="this environment has lm-eval")
def test_an_environment_without_lm_eval_is_told_how_to_get_it():
    with pytest.raises(BenchmarkError, match=r"has no lm-eval: pip install 'evopo\[lm-eval\]', or set python"):
        check(options(None))


TASK = """
task: reviews
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{text}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{label}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval: pip install 'evopo[lm-eval]'")
def test_the_real_lm_eval_measures_a_saved_policy_on_a_local_task(tmp_path, monkeypatch):
    from fitness.task import make_task

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    task = make_task("sentiment", {})
    task.prepare()
    task.save_policy(None, "short", 0, tmp_path / "policy")
    rows = [
        {"text": f"the {noun} is", "choices": ["great .", "great zzz"], "label": 0}
        for noun in ("movie", "plot", "cast")
    ]
    data, folder = tmp_path / "reviews.jsonl", tmp_path / "tasks"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    folder.mkdir()
    (folder / "reviews.yaml").write_text(TASK.replace("DATA", str(data)), "utf-8")
    given = options(Path(sys.executable), include_path=folder, device="cpu", limit=2)
    assert check(given).startswith("0.4.")
    (score,) = measure(tmp_path / "policy", given, tmp_path / "kept.json").scores
    assert (score.task, score.metric, score.items, score.value) == ("reviews", "acc", 2, 1.0)
