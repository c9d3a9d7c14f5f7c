"""A run that a signal or a full disk ends: the exit code, nothing is left running, the same command continues."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from campaigns import QUICK, Command, assert_sound, leftovers, wait_for

from archive.query import Reader

ARGUMENTS = ("run", "--dir", "run", *QUICK, "--set", "proposer=builtin", "--set", "budget.proposals=4")


def scores(archive: Path) -> dict[int, float | None]:
    with Reader.open(archive) as reader:
        return {row.id: row.fitness for row in reader.evaluations(state="scored")}


def assert_continues(evo: Command, before: dict[int, float | None]) -> None:
    archive = evo.folder / "run/archive.db"
    assert not leftovers(evo.folder), "a process outlived the run"
    assert not list(archive.parent.glob("archive.db-wal")) or before, "closed"
    assert_sound(archive)
    done = evo.run(*ARGUMENTS)
    assert done.code == 0, done.err
    assert before.items() <= scores(archive).items()
    assert evo.run("replay", "run").code == 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_and_the_same_command_continues(evo: Command, ending: signal.Signals) -> None:
    archive = evo.folder / "run/archive.db"
    process = evo.start(*ARGUMENTS)
    wait_for(process, archive, lambda reader: bool(reader.evaluations(state="scored")))
    process.send_signal(ending)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "the same command continues" in err and "Traceback" not in out + err
    assert not archive.with_name("archive.db.lock").exists() or not archive.with_name("archive.db-wal").exists()
    assert_continues(evo, scores(archive))


def test_a_run_whose_terminal_is_closed_ends_and_the_same_command_continues(evo: Command) -> None:
    archive = evo.folder / "run/archive.db"
    master, slave = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "evo", *ARGUMENTS],
        cwd=evo.folder, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=own_terminal,
        env={k: v for k, v in os.environ.items() if not k.startswith("OPENAI")},
    )  # fmt: skip
    os.close(slave)
    wait_for(process, archive, lambda reader: bool(reader.evaluations(state="scored")))
    os.close(master)
    assert process.wait(120) == 130
    assert_continues(evo, scores(archive))


def test_a_full_disk_ends_a_run_with_a_message_and_the_same_command_continues(evo: Command) -> None:
    """A limit on the size of files stands for the full disk: SQLite cannot write either way."""
    archive = evo.folder / "run/archive.db"

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    process = subprocess.Popen(
        [sys.executable, "-m", "evo", *ARGUMENTS],
        cwd=evo.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=full,
        env={k: v for k, v in os.environ.items() if not k.startswith("OPENAI")},
    )  # fmt: skip
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, out + err
    assert "could not write" in err and "Traceback" not in out + err
    assert_continues(evo, scores(archive))
