"""The worker's protocol, with the embedded task."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sandbox.graph.loss_graph import LossGraph

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = {"pairs": 64, "epochs": 1, "samples": 64}


def start(task: str, options: dict[str, object], **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "HF_HUB_OFFLINE": "1",
        **variables,
    }
    command = [sys.executable, "-P", "-m", "fitness.workers.worker", "--task", task, "--options", json.dumps(options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)


def ask(worker: subprocess.Popen[str], graph: str, rung: str = "full", **more: object) -> dict[str, object]:
    worker.stdin.write(json.dumps({"id": 1, "graph": graph, "rung": rung, "seed": 0, **more}) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def test_a_worker_scores_refuses_and_ends_when_its_stdin_ends(losses: dict[str, LossGraph]):
    with start("sentiment", OPTIONS) as worker:
        ready = json.loads(worker.stdout.readline())
        assert (ready["state"], ready["task"], ready["pid"]) == ("ready", "sentiment", worker.pid)

        scored = ask(worker, losses["logistic"].to_json())
        assert (scored["id"], scored["state"], scored["seed"], scored["steps"]) == (1, "scored", 0, 4)
        assert scored["tokens"] > 0
        assert -1 < scored["fitness"] <= scored["metrics"]["reward"]

        diverged = ask(worker, losses["nan"].to_json())
        assert (diverged["state"], diverged["reason"]) == ("failed", "diverged")
        assert len(scored["curves"]["margin"]) == 4 and diverged["curves"]["loss"] == [[1, "nan"]]

        broken = ask(worker, '{"schema": 1}')
        assert (broken["state"], broken["reason"]) == ("failed", "unsupported_loss")
        assert broken["detail"].startswith("SBX210")

        worker.send_signal(signal.SIGINT)  # as Ctrl-C in a terminal would, to the whole group
        again = ask(worker, losses["logistic"].to_json())
        assert again["fitness"] == scored["fitness"]
        worker.stdin.close()
        assert worker.wait(timeout=240) == 0
        assert worker.stdout.read() == ""
        assert worker.stderr.read() == ""


def test_the_end_of_input_ends_a_training_too(pranks, losses):
    with start("pranks", pranks, PYTHONPATH=os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])) as worker:
        worker.stdout.readline()
        worker.stdin.write(json.dumps({"id": 1, "graph": losses["nan"].to_json(), "rung": "hang", "seed": 0}) + "\n")
        worker.stdin.flush()
        worker.stdin.close()
        assert worker.wait(timeout=240) == 0


def test_a_task_that_cannot_be_prepared_replies_and_exits(pranks):
    with start("pranks", pranks | {"broken": True}) as worker:
        reply = json.loads(worker.stdout.readline())
        assert reply == {"state": "failed", "reason": "bad_data", "detail": "there is no such data set"}
        assert worker.wait(timeout=240) == 3


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [("nothing", {}, "unknown task 'nothing'; known tasks"), ("sentiment", {"bta": 1}, "unknown key fitness.bta")],
)
def test_wrong_use_is_one_line_on_stderr(task, options, words):
    with start(task, options) as worker:
        assert worker.wait(timeout=240) == 1
        assert words in worker.stderr.read()
        assert worker.stdout.read() == ""


def test_a_fitness_that_is_not_finite_is_never_sent(pranks, losses):
    with start("pranks", pranks) as worker:
        worker.stdout.readline()
        worker.stdin.write(
            json.dumps({"id": 1, "graph": losses["nan"].to_json(), "rung": "not_a_number", "seed": 0}) + "\n"
        )
        worker.stdin.flush()
        assert worker.stdout.readline() == ""
        assert worker.wait(timeout=240) == 1
        assert (
            "fitness: expected a finite number in the SeedResult, got nan: raise EvaluationFailed"
            in worker.stderr.read()
        )


@pytest.mark.soak
def test_memory_stays_flat_over_300_evaluations(losses):
    with start("sentiment", OPTIONS) as worker:
        worker.stdout.readline()
        sizes = []
        for _ in range(300):
            assert ask(worker, losses["logistic"].to_json())["state"] == "scored"
            sizes.append(psutil.Process(worker.pid).memory_info().rss)
        worker.stdin.close()
    assert max(sizes[50:]) - sizes[50] < 20 * 2**20
