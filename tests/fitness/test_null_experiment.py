"""The null experiment on noise that is made up: claims keep their level, and the rules that are not ours do not."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fitness.task import task_info

SCRIPT = Path(__file__).parents[2] / "scripts" / "null_experiment.py"
SEEDS = 400


def played(tmp_path, draw, runs=300):
    """Figures of the script on a pool whose three rungs hold what `draw` gives for a training seed."""
    rungs = ["short", "full", "held_out"]
    values = [draw(random.Random(seed)) for seed in range(SEEDS)]
    identity = {
        "task": task_info("classification").identity,
        "loss": "cross_entropy",
        "pool": SEEDS,
        "rungs": rungs,
    }
    file = tmp_path / "pool.json"
    pool = {rung: [value[place] for value in values] for place, rung in enumerate(rungs)}
    file.write_text(json.dumps({"identity": identity, "pool": pool}))
    command = [sys.executable, str(SCRIPT), "--file", str(file), "--pool", str(SEEDS), "--runs", str(runs), "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode in (0, 1), result.stderr
    return json.loads(result.stdout) | {"code": result.returncode}


def noise(rng):
    """A rung that foretells the next, as the rungs of one training seed do."""
    luck = rng.gauss(0.0, 1.0)
    return [luck + rng.gauss(0.0, 0.5), luck + rng.gauss(0.0, 0.5), rng.gauss(0.0, 1.0)]


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    return played(tmp_path_factory.mktemp("null"), noise)


def test_the_same_loss_entered_many_times_is_seldom_a_discovery(null):
    """Five percent of 300 runs is 15; 26 or more have a chance below 1 in 200 at that rate."""
    assert null["figures"]["false_discovery"]["value"] * 300 < 26
    assert null["as_stated"] and null["code"] == 0


def test_the_leader_of_the_search_leads_by_luck_alone(null):
    assert null["figures"]["leader_believed"]["value"] > 0.8


def test_every_rate_has_an_interval_around_it(null):
    for figure in null["figures"].values():
        low, high = figure["interval"]
        assert 0 <= low <= figure["value"] <= high <= 1
