"""Tasks: lookup by name, description without torch, refusal of unknown options, and identity."""

import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fitness.score import EvaluationFailed, FailureReason, SeedResult
from fitness.task import TaskError, make_task, task_info, task_names

ROOT = Path(__file__).resolve().parents[3]


def results(*values: float) -> list[SeedResult]:
    return [SeedResult(value, {"reward": 2 * value}, seed=seed) for seed, value in enumerate(values)]


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(
        TaskError,
        match="unknown task 'sentimnt'; known tasks: sentiment, preference, classification; did you mean sentiment",
    ):
        task_info("sentimnt")


def test_an_evaluation_without_by_is_the_default_one():
    info = task_info("preference", {"model": "m", "data": "d", "evaluation": {"pairs": 64}})
    assert info.identity["options"]["evaluation"] == {"by": "accuracy", "pairs": 64}
    with pytest.raises(
        TaskError,
        match=r"fitness\.evaluation\.by: expected one of accuracy, margin, reward_model, vader, judge, got 'magic'",
    ):
        task_info("preference", {"model": "m", "data": "d", "evaluation": {"by": "magic"}})


def test_unknown_and_wrong_options_name_the_known_ones():
    with pytest.raises(
        TaskError, match=r"unknown key fitness\.bta: did you mean fitness\.beta\? Known there: batch_size, beta"
    ):
        make_task("sentiment", {"bta": 0.1})
    with pytest.raises(TaskError, match=r"fitness\.label_noise: expected a number below 0\.5, got 0\.9"):
        task_info("sentiment", {"label_noise": 0.9})
    with pytest.raises(TaskError, match=r"fitness\.batch_size must be at most fitness\.pairs, got 16 and 8"):
        task_info("sentiment", {"pairs": 8})
    with pytest.raises(TaskError, match=r"fitness\.beta: expected a finite number, got inf"):
        task_info("sentiment", {"beta": math.inf})


def test_a_task_of_another_distribution_is_found(pranks):
    assert "pranks" in task_names()
    assert task_info("pranks", pranks).metric == "seed"


def test_tasks_are_described_without_torch():
    program = (
        "import sys; from fitness.task import task_info; info = task_info('sentiment', {'beta': 0.25})\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "print(info.contract, info.identity['options']['beta'], *info.rungs)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["preference", "0.25", "short", "full", "held_out"]


def test_rungs_separate_search_and_held_out():
    info = task_info("sentiment", {"epochs": 2})
    assert [rung.name for rung in info.search_rungs] == ["short", "full"]
    assert info.rung("full").steps == info.rung("held_out").steps == 64
    assert info.rung("short").estimated_seconds < info.rung("full").estimated_seconds
    larger = task_info("sentiment", {"epochs": 2, "batch_size": 64})
    assert larger.rung("full").steps == info.rung("full").steps / 4
    assert larger.rung("full").estimated_seconds > info.rung("full").estimated_seconds / 2, (
        "a step of more pairs takes longer"
    )
    assert task_info("sentiment", {"pairs": 1024}).seed_seconds > info.seed_seconds > 0
    with pytest.raises(TaskError, match="has no rung 'long'; it has: short, full, held_out"):
        info.rung("long")


def test_identity_follows_every_option():
    plain = task_info("sentiment").identity
    assert plain == task_info("sentiment", {"beta": plain["options"]["beta"]}).identity
    assert plain != task_info("sentiment", {"temperature": 0.9}).identity


def test_failures_can_be_pickled_and_have_a_readable_message():
    failure = pickle.loads(pickle.dumps(EvaluationFailed("diverged", "the loss is nan at step 3")))
    assert (failure.reason, str(failure)) == (FailureReason.DIVERGED, "diverged: the loss is nan at step 3")
    with pytest.raises(ValueError, match="is not a valid FailureReason"):
        EvaluationFailed("bored")
