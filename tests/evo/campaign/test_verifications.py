"""How often one loss is verified and written as JSON on its way from a proposal to a recorded score and the report.

Once in each process: where a text comes in that the process has neither verified nor written. Who adds a conversion has to change
a number here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from counting import conversions, verifications

from sandbox import VerifiedGraph, Vetter, known

pytest.importorskip("torch")

TESTS = Path(__file__).resolve().parents[2]


def test_the_engine_verifies_a_proposal_once_from_its_making_to_the_report(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import counting; counting.session()", str(tmp_path / "run")]
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout.splitlines()[-1])
    # Verified as the proposer made it; its reply, the answer of vetting and the archive have the same text.
    assert counted and all(numbers == [1, 1] for numbers in counted), counted


@pytest.mark.parametrize("as_source", [False, True], ids=["graph", "source"])
def test_the_vetting_process_verifies_a_loss_once_and_writes_it_once(as_source: bool) -> None:
    graph = known.graph("dpo")
    text = graph.to_json()
    with Vetter() as vetter, verifications() as made:
        verdict = vetter.vet(known.load("dpo").source) if as_source else vetter.vet_graph(text)
        verdict.to_json()
    assert verdict.accepted and conversions(graph, made) == (1, 1)


def test_the_training_process_verifies_a_loss_once_and_does_not_write_it() -> None:
    from fitness.task import make_task
    from fitness.workers.worker import answer

    task = make_task("classification", {"train_items": 200, "epochs": 1, "short_epochs": 1})
    task.prepare()
    graph = known.graph("cross_entropy")
    text = graph.to_json()
    with verifications() as made:
        reply = answer(task, {"id": 1, "graph": text, "rung": "short", "seed": 0})
    assert reply["state"] == "scored" and conversions(graph, made) == (1, 0)


def test_the_engine_verifies_what_vetting_answers_once() -> None:
    from sandbox.verdicts.verdict import Verdict

    with Vetter() as vetter:
        told = vetter.vet(known.load("dpo").source).to_json()
    with verifications() as made:
        verdict = Verdict.from_json(json.loads(json.dumps(told)))
        assert verdict.to_json() == told and verdict.to_json() == told
    assert isinstance(verdict.graph, VerifiedGraph) and conversions(verdict.graph, made) == (1, 1)
