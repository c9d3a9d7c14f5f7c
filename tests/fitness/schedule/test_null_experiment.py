"""The null experiment on simulated noise: our claims keep their level, and alternative rules do not."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fitness.task import task_info
from sandbox.contracts.contract import contract_named

SCRIPT = Path(__file__).parents[3] / "scripts" / "null_experiment.py"
SEEDS = 400


def played(tmp_path, draw, *arguments, runs):
    """Figures of the script on pools that hold what `draw` gives for a loss, a factor and a training seed, at three rungs."""
    rungs = ["short", "full", "held_out"]
    losses = contract_named("classification").seeds if "--known" in arguments else ("cross_entropy",)
    factors = (0.5, 1.0, 2.0) if "--known" in arguments else (1.0,)
    wanted = [[n, f, r] for n in losses for f in factors for r in rungs if f == 1.0 or r == rungs[-1]]
    identity = {"task": task_info("classification").identity, "wanted": wanted, "pool": SEEDS}
    file = tmp_path / "pool.json"
    pool = []
    for name, factor, rung in wanted:
        rows = [draw(name, factor, random.Random(seed)) for seed in range(SEEDS)]
        pool.append([[name, factor, rung], [row[rungs.index(rung)] for row in rows]])
    file.write_text(json.dumps({"identity": identity, "pool": pool}))
    command = [sys.executable, str(SCRIPT), "--file", str(file), "--pool", str(SEEDS), "--runs", str(runs), "--json"]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert result.returncode in (0, 1), result.stderr
    return json.loads(result.stdout) | {"code": result.returncode}


def noise(name, factor, rng):
    """A rung that predicts the next one, as rungs with the same training seed do."""
    luck = rng.gauss(0.0, 1.0)
    return [luck + rng.gauss(0.0, 0.5), luck + rng.gauss(0.0, 0.5), rng.gauss(0.0, 1.0)]


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    return played(tmp_path_factory.mktemp("null"), noise, runs=80)


def test_the_same_loss_entered_many_times_is_seldom_a_discovery(null):
    """Five percent of 80 runs is 4; 11 or more have a chance below 1 in 200 at that rate."""
    assert null["figures"]["false_discovery"]["value"] * 80 < 11
    assert null["as_stated"] and null["code"] == 0


def test_the_leader_of_the_search_has_a_positive_selection_bias(null):
    assert null["figures"]["leader_believed"]["value"] > 0.8


def test_every_rate_has_an_interval_around_it(null):
    for figure in null["figures"].values():
        low, high = figure["interval"]
        assert 0 <= low <= figure["value"] + 1e-12 and figure["value"] <= high <= 1


LIFT = {"cross_entropy": 0.0, "label_smoothing": 8.0, "focal": 1.0, "mse": -1.0}
"""How good the known losses are, in units of the noise: the baseline is not the best of them."""


def unequal(name, factor, rng):
    """Known losses of different quality, best at the task's own learning rate."""
    return [value + LIFT[name] - 2.0 * (factor != 1.0) for value in noise(name, factor, rng)]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return played(tmp_path_factory.mktemp("known"), unequal, "--known", runs=60)


def test_known_losses_that_are_better_than_the_baseline_are_seldom_a_discovery(known):
    """Five percent of 60 runs is 3; 9 or more have a chance below 1 in 200 at that rate."""
    assert known["figures"]["above_baseline"]["value"] > 0.5, "there is something to be wrong about"
    assert known["figures"]["false_discovery"]["value"] * 60 < 9
    assert known["as_stated"] and known["code"] == 0


def test_the_comparison_by_function_leaves_none(known):
    assert known["figures"]["announced"]["value"] == 0


@pytest.mark.soak
def test_the_stated_level_is_kept_over_many_runs(tmp_path):
    """Five percent of 1000 runs is 50; 70 or more have a chance below 1 in 200 at that rate."""
    assert played(tmp_path, noise, runs=1000)["figures"]["false_discovery"]["value"] * 1000 < 70
