"""Archives with something wrong: each command works, or ends with one clear error; never a traceback, never without an end."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from campaigns import QUICK, Command
from in_process import told
from mutations import mutated, with_everything, without_constraints

from evo import cli

COMMANDS = (
    ["status"], ["ls"], ["show"], ["show", "1"], ["show", "7", "--prompt", "--reply", "--curves"], ["show", "5", "--as", "json"],
    ["show", "--step", "2", "--prompt", "--reply"], ["report", "--no-pictures"], ["export", "--format", "graphml"],
    ["export", "--format", "gexf"], ["export", "--format", "dot"], ["export", "--format", "csv"],
    ["export", "--format", "cytoscape"], ["replay"],
)  # fmt: skip
DRY = ["run", *QUICK, "--set", "budget.proposals=8", "--dry-run", "--offline"]


class Bases(NamedTuple):
    """A sound archive, and the same without constraints, into whose cells any value fits."""

    sound: Path
    loose: Path


@pytest.fixture(scope="module")
def bases(finished: Path) -> Bases:
    sound, loose = finished / "archive.db", finished / "loose.db"
    with_everything(sound)
    shutil.copyfile(sound, loose)
    without_constraints(loose)
    return Bases(sound, loose)


def test_the_archive_without_constraints_is_read_as_the_sound_one_is(bases: Bases, tmp_path: Path) -> None:
    shutil.copyfile(bases.loose, tmp_path / "archive.db")
    for command in COMMANDS:
        code, written = told(cli.main, [command[0], str(tmp_path), *command[1:]])
        assert code == 0, written


def _survives(bases: Bases, folder: Path, seed: int, commands: tuple[list[str], ...]) -> None:
    dice = random.Random(seed)
    folder.mkdir(exist_ok=True)
    done = mutated(*bases, folder / "archive.db", dice)
    for command in commands:
        directory = ["--dir", str(folder)] if command[0] == "run" else [str(folder)]
        try:
            code, written = told(cli.main, [command[0], *directory, *command[1:]])
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {done}: {error}") from error
        assert code == 0 or command[0] == "replay" or "rror: " in written, (seed, done, written)
    shutil.rmtree(folder)


def test_no_mutation_ends_a_command_in_a_traceback(bases: Bases, tmp_path: Path) -> None:
    for seed in range(40):
        chosen = random.Random(seed).sample(COMMANDS, 4)
        _survives(bases, tmp_path / "run", seed, tuple(chosen))


@pytest.mark.soak
def test_no_mutation_ends_a_command_in_a_traceback_at_length(bases: Bases, tmp_path: Path) -> None:
    for seed in range(1000, 4000):
        _survives(bases, tmp_path / "run", seed, (*COMMANDS, ["report"], DRY))


@pytest.mark.soak
def test_no_mutation_ends_a_resumed_run_in_a_traceback(bases: Bases, evo: Command) -> None:
    for seed in range(5000, 5100):
        (evo.folder / "run").mkdir()
        done = mutated(*bases, evo.folder / "run" / "archive.db", random.Random(seed))
        result = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=9")
        assert result.code in (0, 1, 2) and "Traceback" not in result.err, (seed, done, result.err)
        shutil.rmtree(evo.folder / "run")
