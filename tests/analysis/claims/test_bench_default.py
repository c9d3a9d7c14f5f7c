"""The benchmark of the default campaign: which runs found something, and when a finding is refuted."""

import json

import pytest
from bench_default import FURTHER_SEEDS, Ended, FurtherScores, _training, confirmed, differences, figures
from tiny_archive import tiny

from analysis import stats
from analysis.snapshot import Snapshot
from archive.query import Reader

DPO = {seed: 0.6 + 0.01 * seed for seed in range(4)}
NEAR = {seed: value + 0.02 + (-1) ** seed / 1000 for seed, value in DPO.items()}
BETTER = {seed: value + 0.1 + seed / 1000 for seed, value in DPO.items()}


def ended(folder, ours=BETTER):
    """A run with DPO, slic close above it, and one finalist."""
    scores = {"dpo": {"full": DPO}, "slic": {"full": NEAR}, "mine": {"full": ours}}
    with Reader.open(
        tiny(folder, scores, seeds=("dpo", "slic"), final={"rung": "full", "seeds": list(DPO), "beta": 0.1})
    ) as reader:
        return Ended(1, 200.0, 300.0, Snapshot.of(reader))


def pair(*values):
    return stats.paired(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))


def test_a_discovery_is_measured_again_against_the_baseline_and_the_closest_arm_of_a_known_loss(tmp_path):
    run = ended(tmp_path)
    assert run.found is not None and run.snapshot.candidates[run.found.arm.candidate].name == "mine"
    assert [run.snapshot.candidates[arm.candidate].name for arm in run.rivals] == ["dpo", "slic"]


def test_a_run_without_a_discovery_found_nothing(tmp_path):
    run = ended(tmp_path, ours=NEAR)
    assert run.found is None
    assert figures([run], {})["runs that end with a discovery"].value == 0


@pytest.mark.parametrize(
    ("pairs", "holds"),
    [
        ([pair(0.1, 0.2, 0.15)], True),
        ([pair(0.1, -0.2, 0.15)], False),
        ([pair(0.1, 0.2, 0.15), pair(0.01, -0.01, 0.0)], False),  # above one rival only
        ([], False),  # every training failed
    ],
)
def test_a_discovery_holds_if_it_is_above_each_rival_on_the_further_seeds(pairs, holds):
    assert confirmed(pairs) is holds


def test_results_that_were_kept_are_read_again(tmp_path):
    run, kept = ended(tmp_path), tmp_path / "again.jsonl"
    rows = [[*_training(run, run.found.arm, seed), seed / 100] for seed in FURTHER_SEEDS]
    rows[0][-1] = None  # a failed training
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert FurtherScores(kept).of(run, run.found.arm) == {seed: seed / 100 for seed in FURTHER_SEEDS[1:]}


def test_a_discovery_that_does_as_well_as_its_rivals_is_refuted(tmp_path):
    """All losses of this archive have one graph, so they have the same results."""
    run, kept = ended(tmp_path), tmp_path / "again.jsonl"
    kept.write_text(
        "".join(json.dumps([*_training(run, run.found.arm, seed), seed / 100]) + "\n" for seed in FURTHER_SEEDS)
    )
    again = differences(run, FurtherScores(kept))
    table = figures([run], {1: again})
    assert [pair.difference for pair in again] == [0.0, 0.0]
    assert table["discoveries refuted on 24 further seeds"].value == 1
    assert table["runs that end with a discovery"].reached
