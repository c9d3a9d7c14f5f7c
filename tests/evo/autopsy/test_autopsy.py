"""`evopo autopsy` on a real archive: what is trained, what a second call does, and which requests are refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from instant import install

from analysis.claims.autopsy import plans
from archive.query import Reader
from archive.records import EventKind, Origin, RunRow
from archive.store import Archive
from evo.cli.commands import main
from evo.config.rundir import identity
from evo.config.schema import Config, parse_config
from fitness.task import task_info
from sandbox.vetting.vet import vet

pytest.importorskip("torch")

MINE = """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return torch.exp(-beta * rho) + 0.3
"""


def make_run(folder: Path, config: Config, sources: Mapping[str, str]) -> None:
    """A run in `folder` whose seed losses are `sources`, without any training."""
    info = task_info(config.task, config.fitness)
    resolved = config.model_dump(mode="json")
    row = RunRow(config.name, config.seed, info.name, info.contract, identity(config, info), resolved, baseline="mine")
    folder.mkdir()
    with Archive.create(folder / "archive.db", row) as archive:
        archive.event(EventKind.SESSION_STARTED, {"config": resolved, "fitness": info.described()})
        for name, source in sources.items():
            id = archive.add_candidate(Origin.SEED, name, "", source, info.contract)
            archive.record_verdict(id, vet(source, info.contract).to_json())


@pytest.fixture(scope="module")
def instant(tmp_path_factory) -> Iterator[dict[str, Any]]:
    """Settings of a task whose trainings take no time, installed in a folder of its own."""
    folder = tmp_path_factory.mktemp("instant")
    with pytest.MonkeyPatch.context() as patch:
        install(folder / "site", patch)
        yield {"task": "instant", "workers": 1, "fitness": {"folder": str(folder)}}


@pytest.fixture(scope="module")
def run(instant, tmp_path_factory) -> tuple[Path, Path]:
    """A run of that task that was not examined yet, and its configuration. Tests must not change it."""
    folder = tmp_path_factory.mktemp("run")
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(instant), "utf-8")
    from sandbox import known

    refused = MINE.replace("torch.exp(-beta * rho) + 0.3", "policy_chosen_logps.sum() + rho")
    sources = {"mine": MINE, "sft": known.load("sft").source, "wrong": refused}
    make_run(folder / "run", parse_config(instant), sources)
    return folder / "run", config


@pytest.fixture
def copy(run, tmp_path) -> tuple[Path, Path]:
    return Path(shutil.copytree(run[0], tmp_path / "run")), run[1]


def autopsy(place: tuple[Path, Path], *arguments: str) -> Result:
    directory, config = place
    return CliRunner().invoke(main, ["autopsy", str(directory), *arguments, "--config", str(config)])


def trained(directory: Path) -> list[tuple[int, int]]:
    with Reader.open(directory / "archive.db") as reader:
        return [(row.variant_id, row.seed) for row in reader.variant_evaluations()]


@pytest.fixture(scope="module")
def examined(run, tmp_path_factory) -> tuple[Path, Path, Result]:
    """The run after the autopsy of `mine`. Tests must not change it."""
    directory = Path(shutil.copytree(run[0], tmp_path_factory.mktemp("examined") / "run"))
    return directory, run[1], autopsy((directory, run[1]), "mine", "--seeds", "3", "--confirm", "4")


def test_every_part_is_trained_on_the_same_fresh_seeds(examined):
    directory, _, result = examined
    assert result.exit_code == 0, result.output
    with Reader.open(directory / "archive.db") as reader:
        plan = plans(reader.events())[1]
        rows, evaluations = reader.variants(), reader.variant_evaluations()
        assert not reader.evaluations(), "an autopsy is no evaluation of the search"
    assert len(plan.seeds) == 3 and len(plan.confirming) == 4 and plan.rung == "held_out"
    assert {part.text for part in plan.parts} >= {"-beta", "torch.exp(-beta * rho) + 0.3"}
    for row in rows:
        seeds = {e.seed for e in evaluations if e.variant_id == row.id}
        assert (seeds >= {*plan.seeds}) == (row.status == "accepted"), row
    assert rows[0].edit == [] and {"refused"} < {row.status for row in rows}
    assert "cannot be removed: SBX" in result.output


def test_the_same_command_again_trains_nothing_and_prints_the_same(examined, tmp_path):
    directory, config, first = examined
    before = trained(directory)
    again = autopsy((directory, config), "mine", "--format", "json")
    assert again.exit_code == 0 and trained(directory) == before
    data = json.loads(again.stdout)
    assert data["complete"] and data["parts"]
    table = first.output.split("\npart ")[1]
    assert all(part["expression"] in table and part["outcome"] in table for part in data["parts"])


def test_a_killed_autopsy_and_one_with_a_limit_of_trainings_continue_where_they_were(copy):
    directory, config = copy
    command = ["autopsy", str(directory), "mine", "--config", str(config), "--seeds", "30", "--confirm", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evo", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and len(trained(directory)) < 3:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = trained(directory)
    assert 3 <= len(there) < 8 * 30
    limited = CliRunner().invoke(main, [*command, "--max-trainings", "5"])
    assert limited.exit_code == 0 and "5 trainings done" in limited.output and "continued" in limited.output
    assert trained(directory)[: len(there)] == there and len(trained(directory)) == len(there) + 5
    assert CliRunner().invoke(main, command).exit_code == 0
    assert trained(directory)[: len(there)] == there
    assert len(trained(directory)) == len(set(trained(directory)))


def test_a_dry_run_changes_nothing(copy):
    before = (copy[0] / "archive.db").read_bytes()
    result = autopsy(copy, "mine", "--dry-run")
    assert result.exit_code == 0 and "each removed or reset alone, on 16 fresh seeds at rung held_out" in result.output
    assert (copy[0] / "archive.db").read_bytes() == before


def test_another_autopsy_has_other_seeds(examined, tmp_path):
    directory = Path(shutil.copytree(examined[0], tmp_path / "run"))
    with Reader.open(directory / "archive.db") as reader:
        first = plans(reader.events())[1]
    assert autopsy((directory, examined[1]), "mine", "--anew", "--seeds", "2", "--confirm", "2").exit_code == 0
    with Reader.open(directory / "archive.db") as reader:
        second = plans(reader.events())[1]
    assert not {*first.seeds, *first.confirming} & {*second.seeds, *second.confirming}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["9"], "there is no candidate '9'; the run has candidates 1 to 3"),
        (["mien"], "did you mean mine?"),
        (["wrong"], "candidate 3 (wrong) was not accepted by the sandbox"),
        (["sft"], "sft (candidate 2) has no part that could be removed or reset"),
        ([], "the run has no finalist yet, so give the candidate"),
        (["mine", "--rung", "fulll"], "has no rung 'fulll'"),
        (["mine", "--set", "fitness.contract=classification"], "contract would change"),
        (["mine", "--set", "task=classification"], "unknown key fitness.folder"),
    ],
)
def test_what_cannot_be_examined_is_refused_with_the_reason(run, arguments, told):
    result = autopsy(run, *arguments)
    assert result.exit_code == 2 and told in result.output, result.output


def test_other_seeds_than_the_recorded_ones_are_refused(examined):
    result = autopsy(examined[:2], "mine", "--seeds", "5")
    assert result.exit_code == 2 and "was begun with --seeds 3, got 5" in result.output and "--anew" in result.output


def test_what_only_the_archive_names_is_not_used(run):
    result = CliRunner().invoke(main, ["autopsy", str(run[0]), "mine"])
    assert result.exit_code == 2
    assert "was made with fitness.folder" in result.output and "--config FILE.yaml" in result.output


def test_a_run_that_another_session_writes_to_is_left_alone(copy):
    with Archive.open(copy[0] / "archive.db"):
        result = autopsy(copy, "mine")
    assert result.exit_code == 1 and "open for writing in this process" in result.output
    assert trained(copy[0]) == []


def test_if_the_whole_loss_cannot_be_trained_nothing_is_recorded(copy, instant):
    slow = Path(copy[1]).read_text("utf-8") + "timeout_seconds: 0.01\n"
    config = copy[0].parent / "slow.yaml"
    config.write_text(slow, "utf-8")
    hold = Path(instant["fitness"]["folder"]) / "hold"
    hold.touch()
    try:
        result = autopsy((copy[0], config), "mine", "--seeds", "2", "--confirm", "2")
    finally:
        hold.unlink()
    assert result.exit_code == 1 and "every training of mine (candidate 1) failed" in result.output, result.output
    assert trained(copy[0]) == []


def test_the_report_has_a_section_and_escapes_what_the_archive_says(examined, tmp_path):
    directory = Path(shutil.copytree(examined[0], tmp_path / "run"))
    with Reader.open(directory / "archive.db") as reader:
        payload = plans(reader.events())[1].to_json()
    payload["parts"][0][2] = "<script>alert(1)</script>\x1b[31m"
    with Archive.open(directory / "archive.db") as archive:
        archive.event(EventKind.AUTOPSY, payload)
    result = CliRunner().invoke(main, ["report", str(directory), "--no-pictures"])
    assert result.exit_code == 0, result.output
    page = (directory / "report.html").read_text("utf-8")
    section = page.split('id="autopsy"')[1].split("<h2")[0]
    assert "&lt;script&gt;" in section and "<script" not in page and "\x1b" not in page
    assert "cannot be removed: SBX" in section
    shown = autopsy((directory, examined[1]), "mine")
    assert "\x1b" not in shown.output and "<script>" in shown.output
