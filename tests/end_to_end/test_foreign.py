"""Untrusted runs and losses: every command shows them without terminal escapes, and touches no other file.

A damaged archive gives one clear error, never a traceback or an endless loop. All commands run in this process, so that imports are
loaded once.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from campaigns import QUICK, Command
from hostile_texts import STEERING
from in_process import STEERS, told
from mutations import mutated, tables_of, with_everything, without_constraints

from analysis.recorded import graph_of
from analysis.snapshot import Snapshot
from archive.errors import ArchiveError
from archive.query import Reader
from archive.sqlite.values import compress
from evo.cli import commands as cli
from sandbox.vetting.cli import commands

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
    "autopsy": [
        ["autopsy", "DIR", "--dry-run"], ["autopsy", "DIR", STEERING.replace("\0", "")], ["autopsy", "DIR", "5", "--dry-run"],
        ["autopsy", "DIR", "7", "--dry-run", "--config", "DIR/config.yaml"],
        ["autopsy", "DIR", "7", "--dry-run", "--rung", STEERING.replace("\0", "")],
    ],
    "evaluate": [
        ["evaluate", "--show", "DIR"], ["evaluate", "DIR", "--on", "mt-bench"], ["evaluate", "dpo", "--on", "mt-bench"],
        ["evaluate", STEERING.replace("\0", ""), "--on", "mt-bench", "--set", "mt-bench.questions=DIR/loss.py"],
        ["evaluate", "DIR#7", "--on", STEERING.replace("\0", "")], ["evaluate", "--model", "DIR", "--on", "mt-bench"],
    ],
    "landscape": [
        ["landscape", "DIR#1"], ["landscape", "DIR#7"], ["landscape", STEERING.replace("\0", "")],
        ["landscape", "DIR/loss.py"], ["landscape", "dpo", "--pairs", "DIR/gone"],
    ],
    "transfer": [
        ["transfer", "DIR", "--setting", "a:"], ["transfer", "DIR#7", "--setting", "a:"], ["transfer", "DIR#1", "--setting", "a:"],
        ["transfer", STEERING.replace("\0", ""), "--setting", "a:"], ["transfer", "DIR/loss.py", "--setting", "a:"],
        ["transfer", "--setting", STEERING.replace("\0", "")],
    ],
    "paper": [
        ["paper", "DIR"], ["paper", "DIR", "--format", "json"], ["paper", "DIR", "DIR"], ["paper", STEERING.replace("\0", "")],
    ],
    "compare": [["compare", "DIR"], ["compare", "DIR", STEERING.replace("\0", "")], ["compare", "DIR", "DIR"]],
    "inject": [["inject", "DIR", "DIR/loss.py"], ["inject", "DIR", STEERING.replace("\0", "")]],
    **{
        name: [[name, "DIR", STEERING.replace("\0", "")], [name, "DIR", "999"]] for name in ("pin", "unpin", "ban", "unban")
    },
    "note": [["note", "DIR", STEERING.replace("\0", ""), "text"], ["note", "DIR", "999", STEERING.replace("\0", "")]],
    "prompt": [["prompt", "DIR"], ["prompt", "DIR", "--operator", "combine", "--format", "json"]],
    "run": [
        ["run", "--dir", "DIR", *QUICK, "--dry-run", "--offline"], ["run", "DIR/config.yaml", "--dry-run", "--offline"],
        ["run", "--set", f"{STEERING.replace(chr(0), '')}=1"], ["run", "--set", f"name={STEERING.replace(chr(0), '')}"],
    ],
    "baselines": [
        ["baselines", "--loss", STEERING.replace("\0", "")], ["baselines", "--candidate", "DIR", "99"],
        ["baselines", "--loss", "DIR/loss.py", "--task", "sentiment"],
    ],
    "data": [["data"], ["data", "DIR/config.yaml"], ["data", "--set", f"name={STEERING.replace(chr(0), '')}"]],
    "tasks": [["tasks"]],
    "env": [["env"]],
}  # fmt: skip
"""Calls of each command of `evopo`; DIR is the hostile directory."""

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
"""Calls of each command of `evopo-sandbox`."""


class Hostile(NamedTuple):
    """A directory with a hostile archive, and the columns that refuse such text: (table, column, type)."""

    folder: Path
    checked: list[tuple[str, str, str]]


def poison(archive: Path, table: str, column: str, kind: str) -> None:
    """Writes hostile text into each row of a column; `kind` is the column's type."""
    with closing(sqlite3.connect(archive)) as connection:
        value = "?1 || rowid" if kind == "TEXT" else "?1"
        given = STEERING if kind == "TEXT" else compress(STEERING)
        connection.execute(f'UPDATE "{table}" SET "{column}" = {value} WHERE "{column}" IS NOT NULL', (given,))
        connection.commit()


def text_columns(archive: Path) -> list[tuple[str, str, str]]:
    """Every column with plain or compressed text: (table, column, type)."""
    with closing(sqlite3.connect(archive)) as connection:
        return [
            (table, row[1], row[2])
            for table in tables_of(connection)
            for row in connection.execute(f'PRAGMA table_info("{table}")')
            if row[2] in ("TEXT", "BLOB")
        ]


def readable(archive: Path) -> bool:
    try:
        with Reader.open(archive) as reader:
            snapshot = Snapshot.of(reader)
            for verdict in snapshot.verdicts.values():
                _ = verdict.graph, verdict.fingerprint, verdict.descriptors, verdict.guarantees
            for proposal in snapshot.proposals:
                reader.prompt(proposal)
            for verdict in snapshot.verdicts.values():
                assert verdict.graph is None or graph_of(verdict)
            for evaluation in snapshot.evaluations:
                assert evaluation.finished_event is None or reader.curves(evaluation.id) is not None
    except ArchiveError:
        return False
    return True


@pytest.fixture(scope="module")
def sound(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a run with all kinds of rows."""
    run = tmp_path_factory.mktemp("sound") / "run"
    shutil.copytree(finished, run)
    with_everything(run / "archive.db")
    return run / "archive.db"


@pytest.fixture(scope="module")
def hostile(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """A directory with a hostile name, whose archive has hostile text in each column that allows it."""
    folder = tmp_path_factory.mktemp("hostile") / STEERING.replace("\0", "").replace("/", "")[:80]
    folder.mkdir()
    archive = Path(shutil.copy(sound, folder / "archive.db"))
    columns = text_columns(archive)
    without_constraints(archive)
    checked = []
    for table, column, kind in columns:
        before = archive.read_bytes()
        poison(archive, table, column, kind)
        if not readable(archive):
            checked.append((table, column, kind))
            archive.write_bytes(before)
    (folder / "config.yaml").write_text(f"name: '{STEERING}'\n\x1b]0;x\x07: 1\n", "utf-8")
    (folder / "loss.py").write_text(f"def loss(a, b):\n    return '{STEERING}'\n", "utf-8")
    (folder / f"{STEERING.replace(chr(0), '')[:60]}.py").write_text("import os  # \x1b]0;x\x07\n\x9d0;t\x9c", "utf-8")
    (folder / "lines.jsonl").write_text(
        '{"id": "\x7f\\u001b]0;t\\u0007", "code": "\\u001b]0;t\\u0007"}\n\x1b\n', "utf-8"
    )
    return Hostile(folder, checked)


def test_every_command_is_covered() -> None:
    assert set(READING) == set(cli.main.commands)
    assert set(VETTING) == set(commands.main.commands)


@pytest.mark.parametrize("name", READING)
def test_no_text_of_an_archive_steers_the_terminal(name: str, hostile: Hostile) -> None:
    for arguments in READING[name]:
        told(cli.main, [argument.replace("DIR", str(hostile.folder), 1) for argument in arguments])


def test_no_text_in_written_files_steers_the_terminal(hostile: Hostile) -> None:
    for arguments in (*READING["report"], *(e for e in READING["export"] if "parquet" not in e)):
        told(cli.main, [argument.replace("DIR", str(hostile.folder), 1) for argument in arguments])
    files = [hostile.folder / "report.html", *(hostile.folder / "exports").iterdir()]
    texts = {file.name: file.read_text("utf-8") for file in files if file.suffix != ".parquet"}
    assert len(texts) == 8
    for name, text in texts.items():
        assert not {c for c in text if c not in "\n\t" and unicodedata.category(c) in STEERS}, name


@pytest.mark.parametrize("name", VETTING)
def test_no_source_text_steers_the_terminal(name: str, hostile: Hostile) -> None:
    for arguments in VETTING[name]:
        told(commands.main, [argument.replace("DIR", str(hostile.folder), 1) for argument in arguments])


def test_invalid_values_of_a_column_are_reported_without_steering(
    hostile: Hostile, sound: Path, tmp_path: Path
) -> None:
    checked = {(table, column) for table, column, _ in hostile.checked}
    assert {("event", "at"), ("run", "created_at"), ("candidate", "created_at")} <= checked
    assert not {("candidate", "name"), ("finding", "rule"), ("evaluation", "rung"), ("proposal", "reply")} & checked
    loose = Path(shutil.copy(sound, tmp_path / "loose.db"))
    without_constraints(loose)
    for table, column, kind in hostile.checked:
        poison(Path(shutil.copy(loose, tmp_path / "archive.db")), table, column, kind)
        _, written = told(cli.main, ["status", str(tmp_path)])
        if not written.startswith("Run "):
            assert written.startswith("error: ") and "archive.db: " in written and "should" in written, written


# ---- traps in the place of files -----------------------------------------------------------------------------------

LOOKING = (
    ["status"], ["ls"], ["show"], ["report", "--no-pictures"], ["export", "--format", "csv"], ["replay"],
    ["run", *QUICK, "--set", "budget.proposals=8"],
)  # fmt: skip
"""Calls with the directory of a finished run."""

DATABASE = ("archive.db", "archive.db-wal", "archive.db-shm", "archive.db-journal")
BESIDE = ("archive.db.lock", "manifest.json", "config.yaml", "run.log", "report.html", "exports")


def set_trap(kind: str, place: Path, victim: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    match kind:
        case "link":
            place.symlink_to(victim)
        case "link to nowhere":
            place.symlink_to(victim.with_name("nowhere"))
        case "link to /dev/zero":
            place.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "endless":
            with place.open("wb") as file:
                file.truncate(2**40)


KINDS = ("link", "link to nowhere", "link to /dev/zero", "pipe", "folder", "endless")


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file that no command may print or write to; no file may be created next to it."""
    folder = tmp_path / "victims"
    folder.mkdir()
    (folder / "victim").write_text("precious")
    yield folder / "victim"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"victim": "precious"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_trap_in_a_finished_run_is_neither_followed_nor_waited_for(
    kind: str, sound: Path, tmp_path: Path, victim: Path
) -> None:
    run = tmp_path / "run"
    for names in (BESIDE, *((name,) for name in DATABASE)):
        shutil.copytree(sound.parent, run)
        for name in names:
            set_trap(kind, run / name, victim)
        for command in LOOKING if names is BESIDE else LOOKING[:2]:
            directory = ["--dir", str(run)] if command[0] == "run" else [str(run)]
            code, written = told(cli.main, [command[0], *directory, *command[1:]])
            assert "precious" not in written
            if command == ["status"] and names is not BESIDE and kind != "endless":  # SQLite ignores a log of zeros
                assert code == 1
                assert f"{names[0]} should be a regular file" in written or "not a file" in written
        shutil.rmtree(run)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *product(
            ["link", "link to nowhere", "hard link", "pipe", "folder"], ["archive.db", "archive.db.lock", "run.log"]
        ),
        *product(["folder"], ["config.yaml", "manifest.json", "archive.db.creating"]),
    ],
)
def test_a_run_does_not_start_with_unsafe_files_in_its_directory(
    kind: str, name: str, tmp_path: Path, victim: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if kind == "hard link":
        os.link(victim, run / name)
    else:
        set_trap(kind, run / name, victim)
    code, written = told(cli.main, ["run", "--dir", str(run), *QUICK, "--set", "budget.proposals=0"])
    assert code == 1 and f"{name} " in written and "precious" not in written


@pytest.mark.parametrize("name", DATABASE)
def test_another_runs_database_is_not_written_to_through_a_hard_link(name: str, sound: Path, tmp_path: Path) -> None:
    run, victims, live = tmp_path / "run", tmp_path / "victims", tmp_path / "live.db"
    shutil.copytree(sound.parent, run)
    victims.mkdir()
    shutil.copy(sound, live)
    with closing(sqlite3.connect(live)) as writer:
        writer.execute("UPDATE run SET name = name")
        writer.commit()
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{live}{suffix}", victims / f"archive.db{suffix}")
    (victims / "archive.db-journal").write_text("precious")
    before = {path.name: path.read_bytes() for path in victims.iterdir()}
    (run / name).unlink(missing_ok=True)
    os.link(victims / name, run / name)
    code, written = told(cli.main, ["status", str(run)])
    assert code == (0 if name == "archive.db" else 1), written
    code, written = told(cli.main, ["run", "--dir", str(run), *QUICK, "--set", "budget.proposals=9"])
    assert code == 1 and f"{name} should be a file of its own" in written
    assert {path.name: path.read_bytes() for path in victims.iterdir()} == before


def test_a_run_replaces_links_and_does_not_write_through_them(evo: Command, victim: Path) -> None:
    run = evo.folder / "run"
    run.mkdir()
    for name in (
        "config.yaml",
        "config.yaml.writing",
        "manifest.json",
        "archive.db.creating",
        "archive.db-wal.creating",
    ):
        (run / name).symlink_to(victim)
    result = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=0")
    assert result.code == 0, result.err
    assert "budget:" in (run / "config.yaml").read_text() and not (run / "config.yaml").is_symlink()
    assert not [path for path in run.iterdir() if path.name.endswith(".part")]


def test_a_listing_does_not_follow_links_out_of_its_directory(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(sound.parent)
    code, written = told(cli.main, ["ls", str(tmp_path)])
    assert code == 0 and "elsewhere: cannot be read: it is a symbolic link, which is not followed" in written
    code, written = told(cli.main, ["ls", str(tmp_path / "elsewhere")])
    assert code == 0 and "finished" in written, "who names a link has chosen it"


# ---- invalid archives ----------------------------------------------------------------------------------------------

COMMANDS = (
    ["status"], ["ls"], ["show"], ["show", "1"], ["show", "7", "--prompt", "--reply", "--curves"], ["show", "5", "--as", "json"],
    ["show", "--step", "2", "--prompt", "--reply"], ["report", "--no-pictures"], ["export", "--format", "graphml"],
    ["export", "--format", "gexf"], ["export", "--format", "dot"], ["export", "--format", "csv"],
    ["export", "--format", "cytoscape"], ["replay"], ["prompt", "--operator", "combine"],
)  # fmt: skip
DRY = ["run", *QUICK, "--set", "budget.proposals=8", "--dry-run", "--offline"]


class Bases(NamedTuple):
    """A valid archive, and the same without constraints, so that cells allow any value."""

    sound: Path
    loose: Path


@pytest.fixture(scope="module")
def bases(sound: Path) -> Bases:
    loose = Path(shutil.copy(sound, sound.with_name("loose.db")))
    without_constraints(loose)
    return Bases(sound, loose)


def test_the_archive_without_constraints_is_read_as_the_sound_one_is(bases: Bases, tmp_path: Path) -> None:
    shutil.copyfile(bases.loose, tmp_path / "archive.db")
    for command in COMMANDS:
        code, written = told(cli.main, [command[0], str(tmp_path), *command[1:]])
        assert code == 0 or command == ["replay"], written  # the search did not choose the rows that were added


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
def test_no_mutation_ends_a_command_in_a_traceback_long_form(bases: Bases, tmp_path: Path) -> None:
    for seed in range(1000, 2000):
        _survives(bases, tmp_path / "run", seed, (*COMMANDS, ["report"], DRY))


@pytest.mark.soak
def test_no_mutation_ends_a_resumed_run_in_a_traceback(bases: Bases, evo: Command) -> None:
    for seed in range(5000, 5100):
        (evo.folder / "run").mkdir()
        done = mutated(bases.sound, bases.sound, evo.folder / "run" / "archive.db", random.Random(seed))
        result = evo.run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=9")
        assert result.code in (0, 1, 2) and "Traceback" not in result.err, (seed, done, result.err)
        shutil.rmtree(evo.folder / "run")
