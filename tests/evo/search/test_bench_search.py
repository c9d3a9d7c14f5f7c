"""The benchmark of the search: scores are shared and kept, and its figures say what they are said to say."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
from search_figures import (
    RunTrace,
    curve_at,
    offspring_rise,
    offspring_slope,
    paired_differences,
    ratio_to_reach,
    trimmed_mean,
)
from shared_scores import ScoreTable, SharingPool
from task_settings import options_of

from archive.query import Reader
from evo.proposing.genetic.builder import Builder
from fitness.sentiment.worlds import EMBEDDED
from fitness.task import EvaluationFailed
from sandbox import known

SCRIPTS = Path(__file__).parents[3] / "scripts"
TINY = {"train_items": 200, "epochs": 1, "short_epochs": 1}


def trace(*led: tuple[int, int, float], offspring: tuple[tuple[int, float], ...] = ()) -> RunTrace:
    return RunTrace(led, trainings=100, proposals=50, offspring=offspring)


def test_the_ratio_is_of_the_trainings_until_as_good_and_all_of_the_other_or_those_until_it_was_so_good() -> None:
    slow = [trace((10, 5, 0.1), (80, 40, 0.5)) for _ in range(4)]
    fast = [trace((10, 5, 0.2), (40, 20, 0.6)) for _ in range(4)]
    assert ratio_to_reach(fast, slow) == (0.4, 0.4, 0.4)
    assert ratio_to_reach(fast, slow, stops_early=True) == (0.5, 0.5, 0.5)
    assert ratio_to_reach(slow, slow, stops_early=True) == (1.0, 1.0, 1.0)
    assert ratio_to_reach(slow, fast)[0] == math.inf


def test_a_level_is_reached_by_the_mean_of_the_runs_not_by_the_best_of_them() -> None:
    reference = [trace((50, 25, 0.5))] * 2
    runs = [trace((5, 2, 0.9), (60, 30, 0.9)), trace((5, 2, 0.0), (60, 30, 0.2))]
    ratio, low, high = ratio_to_reach(runs, reference)
    assert ratio == 60 / 100 and low < ratio < high == math.inf


def test_what_led_after_some_proposals_is_averaged_over_the_runs() -> None:
    runs = [trace((10, 5, 0.1), (80, 40, 0.5)), trace((10, 5, 0.3))]
    assert curve_at(runs, 5)[0] == pytest.approx(0.2)
    assert curve_at(runs, 50)[0] == pytest.approx(0.4)
    mean, low, high = curve_at(runs, 50)
    assert low <= mean <= high


def test_leaders_are_compared_run_by_run() -> None:
    ours = [RunTrace([(0, 0, 0.5), (10, 5, level)], trainings=100, proposals=50, offspring=[]) for level in (0.6, 0.8)]
    theirs = [RunTrace([(0, 0, 0.5)], trainings=100, proposals=50, offspring=[])] * 2
    assert paired_differences(ours, theirs, 50) == pytest.approx([0.1, 0.3])
    assert paired_differences(ours, theirs, 4) == [0.0, 0.0]


def test_the_slope_of_the_offspring_is_per_proposal() -> None:
    rising = trace((1, 1, 0.0), offspring=((10, 0.1), (20, 0.2), (30, 0.3)))
    lopsided = trace((1, 1, 0.0), offspring=((2, 0.1), (8, -9.0), (9, 0.2), (45, 0.4)))
    assert offspring_rise([lopsided])[0] == pytest.approx(0.3)
    assert offspring_rise([lopsided], fmean)[0] == pytest.approx(0.4 - (0.1 - 9.0 + 0.2) / 3)
    assert trimmed_mean([-9.0, *range(1, 19), 99.0]) == pytest.approx(9.5)
    slope, low, high = offspring_slope([rising, rising])
    assert slope == pytest.approx(0.01) and low == pytest.approx(high)


def test_a_training_is_made_once_and_a_failed_one_fails_again(tmp_path: Path) -> None:
    graph = known.graph("cross_entropy")
    builder = Builder("classification")
    logits = builder.input("logits").apply("logsumexp", dim=1)
    overflowing = builder.finish((1e30 * logits.square()).square())

    async def scored(table: ScoreTable) -> tuple[float, float]:
        async with SharingPool(table, "classification", TINY, 1) as pool:
            first = await pool.score(graph, "short", 1)
            again = await pool.score(graph.to_json(), "short", 1)
            assert first.fitness == again.fitness and dict(first.metrics) == dict(again.metrics)
            other = await pool.score(graph, "short", 2)
            for _ in range(2):
                with pytest.raises(EvaluationFailed, match="diverged"):
                    await pool.score(overflowing, "short", 1)
            return first.fitness, other.fitness

    table = ScoreTable(tmp_path / "scores.db", "a task")
    values = asyncio.run(scored(table))
    assert (table.trained, table.found) == (3, 2)
    table.close()
    reopened, elsewhere = (ScoreTable(tmp_path / "scores.db", task) for task in ("a task", "another task"))
    assert asyncio.run(scored(reopened)) == values and reopened.trained == 0
    assert elsewhere.find(("any", "short", 1, -1.0, -1.0)) is None
    for table in (reopened, elsewhere):
        table.close()


@pytest.mark.soak
def test_a_second_call_trains_nothing_and_finds_the_same_and_with_more_proposals_the_runs_continue(
    tmp_path: Path,
) -> None:
    command = [
        sys.executable, str(SCRIPTS / "bench_search.py"), "--quick", "--seeds", "1", "--arms", "sample,population",
        "--workers", "1", "--scores", str(tmp_path / "scores.db"), "--dir", str(tmp_path / "runs"), "--json", "--proposals",
    ]  # fmt: skip
    first, second, longer = (
        subprocess.run([*command, proposals], capture_output=True, text=True, check=True) for proposals in "334"
    )
    assert "population: 0 trained" in second.stderr
    found = [json.loads(result.stdout)["figures"] for result in (first, second)]
    assert found[0] == found[1] and found[0]["population: best at 3"]["value"] > 0
    assert found[0]["sample: trainings"]["value"] >= 3
    more = json.loads(longer.stdout)["figures"]
    assert more["sample: best at 4"]["value"] >= 0 and "sample: best at 4" not in found[0]
    for archive in (tmp_path / "runs").glob("*/*/archive.db"):
        with Reader.open(archive) as reader:
            assert len({p.step for p in reader.proposals()}) == 4
            assert len(reader.events(kind="session_started")) == 2
    shorter = subprocess.run([*command, "3"], capture_output=True, text=True)
    assert shorter.returncode == 2 and "has 4 proposals" in shorter.stderr


def test_the_task_of_the_benchmark_has_the_options_of_a_new_run() -> None:
    assert options_of("sentiment") == {"world": EMBEDDED} and options_of("classification") == {}
    assert options_of("sentiment", ['world="classic"', "pairs=64"]) == {"world": "classic", "pairs": 64}


def test_an_unknown_arm_is_named() -> None:
    command = [sys.executable, str(SCRIPTS / "bench_search.py"), "--arms", "sample,luck"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and "unknown 'luck'" in result.stderr
