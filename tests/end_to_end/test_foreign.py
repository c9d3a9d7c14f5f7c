"""Runs and losses that somebody else made: every command says what it reads without steering the terminal, and touches nothing else.

All commands run in this process: what they import is loaded once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import pytest
from campaigns import QUICK
from click.testing import CliRunner
from mutations import STEERING, tables_of, with_everything, without_constraints

from analysis.snapshot import Snapshot
from archive.errors import ArchiveError
from archive.query import Reader
from evo import cli
from sandbox.cli import commands
from sandbox.vet import Vetter

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs POSIX signals and links")

READING = {
    "status": [["status", "DIR"]],
    "ls": [["ls", "DIR"], ["ls", "DIR/.."]],
    "show": [
        ["show", "DIR"], ["show", "DIR", STEERING.replace("\0", "")], ["show", "DIR", "--step", "2", "--prompt", "--reply"],
        ["show", "DIR", "7", "--prompt", "--reply", "--curves"], ["show", "DIR", "1"], ["show", "DIR", "7"],
        *(["show", "DIR", "7", "--as", form] for form in cli.PRINTED_AS),
    ],
    "report": [["report", "DIR", "--no-pictures"]],
    "export": [["export", "DIR", "--format", form] for form in cli.FORMATS],
    "replay": [["replay", "DIR"]],
    "run": [
        ["run", "--dir", "DIR", *QUICK, "--dry-run", "--offline"], ["run", "DIR/config.yaml", "--dry-run", "--offline"],
        ["run", "--set", f"{STEERING.replace(chr(0), '')}=1"], ["run", "--set", f"name={STEERING.replace(chr(0), '')}"],
    ],
    "baselines": [
        ["baselines", "--loss", STEERING.replace("\0", "")], ["baselines", "--candidate", "DIR", "99"],
        ["baselines", "--loss", "DIR/loss.py", "--task", "sentiment"],
    ],
    "env": [["env"]],
}  # fmt: skip
"""What is called of each command of `evopo`, with DIR for the hostile directory."""

VETTING = {
    "check": [
        ["check", "DIR"], ["check", "DIR", "--json"], ["check", "DIR", "--sarif"], ["check", "DIR", "--junit"],
        ["check", "DIR/loss.py", "DIR/gone"], ["check", "--jsonl", "DIR/lines.jsonl"],
        ["check", "DIR/loss.py", "--arguments", STEERING.replace("\0", "")],
    ],
    "show": [["show", "DIR/loss.py"], ["show", "DIR"], ["show", "DIR/gone"]],
    "diff": [["diff", "DIR/loss.py", "DIR/gone"]],
    "explain": [["explain", STEERING.replace("\0", "")]],
    "rules": [["rules"], ["rules", "--json"], ["rules", "--syntax"], ["rules", "--operations"]],
    "doctor": [["doctor", "--without", STEERING.replace("\0", "")]],
}  # fmt: skip
"""The same of `evopo-sandbox`."""


@contextmanager
def in_time(seconds: int = 60) -> Iterator[None]:
    """Nothing waits for a pipe, or reads what has no end."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told(main: click.Command, arguments: list[str]) -> tuple[int, str]:
    """The exit code and all that was written; the command must end as documented, and write nothing that steers a terminal."""
    with in_time():
        done = CliRunner().invoke(main, arguments, obj=Vetter())
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(f"{arguments} ended in a traceback") from done.exception
    written = (done.stdout_bytes + done.stderr_bytes).decode("utf-8")
    steering = {c for c in written if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")}
    assert not steering, f"{arguments} wrote {steering} in {written[:2000]!r}"
    assert done.exit_code in (0, 1, 2), arguments
    return done.exit_code, written


def set_all(archive: Path, table: str, column: str, value: object) -> None:
    with closing(sqlite3.connect(archive)) as connection:
        connection.execute(f'UPDATE "{table}" SET "{column}" = ? || rowid', (value,))
        connection.commit()


def text_columns(archive: Path) -> list[tuple[str, str]]:
    """Every column of the schema that was made for text."""
    with closing(sqlite3.connect(archive)) as connection:
        return [
            (table, row[1])
            for table in tables_of(connection)
            for row in connection.execute(f'PRAGMA table_info("{table}")')
            if row[2] == "TEXT"
        ]


def readable(archive: Path) -> bool:
    try:
        with Reader.open(archive) as reader:
            Snapshot.of(reader)
    except ArchiveError:
        return False
    return True


@pytest.fixture(scope="module")
def sound(finished: Path) -> Path:
    """The archive of a run with everything in it."""
    with_everything(finished / "archive.db")
    return finished / "archive.db"


@pytest.fixture(scope="module")
def hostile(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """A directory of a hostile name, whose archive is hostile in each text column that may hold any text; and the other columns."""
    folder = tmp_path_factory.mktemp("hostile") / STEERING.replace("\0", "").replace("/", "")[:80]
    folder.mkdir()
    archive = Path(shutil.copy(sound, folder / "archive.db"))
    columns = text_columns(archive)
    without_constraints(archive)
    checked = []
    for table, column in columns:
        before = archive.read_bytes()
        set_all(archive, table, column, STEERING)
        if not readable(archive):
            checked.append((table, column))
            archive.write_bytes(before)
    (folder / "config.yaml").write_text(f"name: '{STEERING}'\n\x1b]0;x\x07: 1\n", "utf-8")
    (folder / "loss.py").write_text(f"def loss(a, b):\n    return '{STEERING}'\n", "utf-8")
    (folder / f"{STEERING.replace(chr(0), '')[:60]}.py").write_text("import os  # \x1b]0;x\x07\n\x9d0;t\x9c", "utf-8")
    (folder / "lines.jsonl").write_text('{"id": "\x7f\\u001b]0;t\\u0007", "code": "\\u001b]0;t\\u0007"}\n\x1b\n', "utf-8")
    return folder, checked


def test_every_command_is_tried() -> None:
    assert set(READING) == set(cli.main.commands)
    assert set(VETTING) == set(commands.main.commands)


@pytest.mark.parametrize("name", READING)
def test_no_text_of_a_stranger_steers_the_terminal(name: str, hostile: tuple[Path, list[tuple[str, str]]]) -> None:
    for arguments in READING[name]:
        told(cli.main, [argument.replace("DIR", str(hostile[0]), 1) for argument in arguments])


@pytest.mark.parametrize("name", VETTING)
def test_no_source_of_a_stranger_steers_the_terminal(name: str, hostile: tuple[Path, list[tuple[str, str]]]) -> None:
    for arguments in VETTING[name]:
        told(commands.main, [argument.replace("DIR", str(hostile[0]), 1) for argument in arguments])


def test_what_a_column_may_not_hold_is_told_without_steering(
    hostile: tuple[Path, list[tuple[str, str]]], sound: Path, tmp_path: Path
) -> None:
    checked = hostile[1]
    assert {("event", "at"), ("run", "created_at"), ("candidate", "created_at")} <= set(checked)
    for table, column in checked:
        archive = Path(shutil.copy(sound, tmp_path / "archive.db"))
        without_constraints(archive)
        set_all(archive, table, column, STEERING)
        code, written = told(cli.main, ["status", str(tmp_path)])
        assert code == 1 and written.startswith("error: ") and "archive.db: " in written, (table, column, written)
