"""Opening of files: other databases, damaged and hostile files, read-only disks, archives after a crash."""

import contextlib
import errno
import os
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archive.errors import (
    ArchiveError,
    ArchiveNotFound,
    CorruptArchive,
    NotAnArchive,
    UnreadableArchive,
    UnsafeFile,
)
from archive.query import Reader
from archive.sqlite.values import compress
from archive.store import Archive

ROOT = Path(__file__).resolve().parents[3]
CRASH = """
import os, sys
from archive.store import Archive
archive = Archive.open(sys.argv[1])
archive.add_candidate("seed", "last words", "", "source", "preference")
os._exit(9)
"""
NOBODY = 65534


def everything(reader: Reader) -> None:
    reader.run(), reader.candidates(), reader.lineage(), reader.findings(), reader.proposals()
    for verdict in reader.verdicts():
        _ = verdict.graph, verdict.fingerprint, verdict.descriptors, verdict.guarantees
    reader.evaluations(), reader.events(), reader.standings(), reader.spending(), reader.problems()


@pytest.fixture
def filled(archive, write, path) -> Path:
    parent = write.seed()
    for step in range(20):
        child = write.child(step, parent)
        archive.record_verdict(
            child,
            {"status": "refused", "findings": [{"rule": "SBX1", "severity": "refuse", "message": "m" * 200}]},
        )
        write.score(child, step / 10)
    archive.close()
    return path


def tampered(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("PRAGMA writable_schema = ON")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_missing_file_is_refused(path):
    with pytest.raises(ArchiveNotFound, match="no archive at"):
        Reader.open(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(NotAnArchive, match="not a file"):
        Reader.open(tmp_path)


@pytest.mark.parametrize("content", [b"x", b"hello " * 1000, b"PK\x03\x04" + b"\x00" * 5000])
def test_files_that_are_no_database_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(NotAnArchive):
        Reader.open(path)


def test_an_empty_file_is_refused(path):
    path.touch()
    with pytest.raises(NotAnArchive, match=r"is an empty file: it holds no run.*or delete the file"):
        Reader.open(path)
    with pytest.raises(NotAnArchive, match="is an empty file"):
        Archive.open(path)
    assert path.stat().st_size == 0


def test_another_programs_database_is_refused(path):
    tampered(path, "CREATE TABLE candidate (id)")
    with pytest.raises(NotAnArchive, match="not an evopo archive"):
        Reader.open(path)


def first_version(path: Path, *statements: str) -> bytes:
    dump = Path(__file__).parents[1] / "data" / "version_1.sql"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(dump.read_text())
        for statement in statements:
            old.execute(statement)
        old.commit()
    return path.read_bytes()


def test_an_older_archive_is_read_and_not_changed(path):
    before = first_version(path)
    with Reader.open(path) as reader:
        assert [row.name for row in reader.candidates()] == ["dpo", "child"]
        assert reader.run().baseline == "dpo"
        assert reader.evaluations(state="scored")[0].items is None
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("broken", "error", "told"),
    [
        ("tempfile.gettempdir", FileNotFoundError(errno.ENOENT, "none"), "no temporary folder"),
        ("shutil.copyfileobj", OSError(errno.ENOSPC, "No space left"), "cannot take it (No space left)"),
    ],
)
def test_without_space_for_a_copy_the_message_names_tmpdir(broken, error, told, path, monkeypatch):
    first_version(path)

    def fail(*_args):
        raise error

    monkeypatch.setattr(broken, fail)
    with pytest.raises(UnreadableArchive, match=f"{re.escape(told)}; set TMPDIR"):
        Reader.open(path)


def test_reading_an_older_archive_runs_none_of_its_triggers(path):
    first_version(path, "CREATE TRIGGER evil AFTER UPDATE ON run BEGIN UPDATE candidate SET name = 'evil'; END")
    with Reader.open(path) as reader:
        assert [row.name for row in reader.candidates()] == ["dpo", "child"]


@pytest.mark.parametrize(
    "name", ["archive with blanks.db", "50%.db", "what?.db", "a#b.db", "ünï.db", "file:x.db", "-rf.db", "'q\".db"]
)
def test_unusual_file_names_work(filled, name):
    odd = filled.with_name(name)
    shutil.copy(filled, odd)
    with Reader.open(odd) as reader:
        assert len(reader.candidates()) == 21


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE candidate SET origin = 'alien'", "candidate.origin should be one of seed, proposal"),
        ("UPDATE candidate SET source = x'00ff'", "candidate.source should be text"),
        ("UPDATE candidate SET source = CAST(x'80ff' AS TEXT)", "cannot be read"),
        ("UPDATE evaluation SET fitness = 9e999", "evaluation.fitness should be a number of at most 1e.100 in size"),
        (
            "UPDATE proposal SET usd = 1e308",
            "proposal.usd should be a number of at most 1e.100 in size, but is '1e.308'",
        ),
        (
            "UPDATE candidate SET created_at = '2026-01-01' || char(27) || '10:00:00+00:00'",
            "candidate.created_at should be a time",
        ),
        ("UPDATE event SET at = '2026-13-01T10:00:00+00:00'", "event.at should be a time"),
        (
            "UPDATE event SET candidate_id = NULL WHERE kind = 'verdict_recorded'",
            "event.candidate_id should be the id of the row that verdict_recorded is about",
        ),
        ("UPDATE verdict SET fingerprint = '[]'", "verdict.fingerprint should be a JSON object"),
        ("UPDATE proposal SET \"references\" = '[]'", "proposal.references should be a JSON object"),
        (
            "UPDATE proposal SET step = -1 WHERE id = 1",
            "proposal.step should be a whole number, zero or more, but is '-1' in the",
        ),
        ("UPDATE parent SET parent = 777", "parent.parent should be an id below that of its child"),
        (
            "UPDATE evaluation SET metrics = '[' || replace(hex(zeroblob(200)), '0', '[')",
            "evaluation.metrics should hold JSON",
        ),
        ("UPDATE event SET payload = '[NaN]'", "event.payload should hold JSON: NaN is not JSON"),
        ("UPDATE evaluation SET fitness = NULL", "evaluation.fitness should be a number, since it is scored"),
        (
            "UPDATE evaluation SET fitness = 1e200",
            "evaluation.fitness should be a number of at most 1e.100 in size, but is '1e.200'",
        ),
        ("UPDATE evaluation SET state = 'won'", "evaluation.state should be one of queued"),
        ("UPDATE evaluation SET metrics = '{'", "evaluation.metrics should hold JSON"),
        ("UPDATE evaluation SET candidate_id = 999 WHERE id = 1", "evaluations of candidate 999"),
        ("UPDATE proposal SET reply = x'0102'", "proposal.reply should hold zlib"),
        ("UPDATE proposal SET step = 'first' WHERE id = 1", "proposal.step should be a whole number"),
        ("DELETE FROM event", "proposal.kind should be one of"),
        ("UPDATE parent SET role = 'aunt'", "parent.role should be one of"),
        ("UPDATE run SET config = '[]'", "run.config should be a JSON object"),
        ("DELETE FROM run", "should hold one run, but holds 0"),
        ("UPDATE verdict SET status = 'perhaps'", "should be one of accepted, refused, partial"),
        ("ALTER TABLE finding RENAME COLUMN rule TO ruler", "finding.rule is missing"),
    ],
)
def test_invalid_values_are_named(filled, statement, message):
    tampered(filled, statement)
    with pytest.raises(CorruptArchive, match=message), Reader.open(filled) as reader:
        everything(reader)


def test_dangling_references_are_found(filled):
    tampered(filled, "UPDATE parent SET parent = 777")
    with Reader.open(filled) as reader:
        assert "refers to a row of candidate" in reader.problems()[0]


@pytest.mark.parametrize(
    "disguise",
    [
        "CREATE VIEW finding AS SELECT * FROM sqlite_master",
        "CREATE VIRTUAL TABLE finding USING fts4(rule)",
    ],
)
def test_a_table_must_be_a_real_table(filled, disguise):
    tampered(filled, "DROP TABLE finding", disguise)
    with pytest.raises(NotAnArchive, match="lacks the table finding"):
        Reader.open(filled)


def test_a_generated_column_is_refused(filled):
    tampered(filled, "ALTER TABLE finding ADD COLUMN more AS (hex(zeroblob(1000000))) VIRTUAL")
    with pytest.raises(NotAnArchive, match=r"has a generated column finding\.more"):
        Reader.open(filled)


def test_an_archive_with_a_trigger_is_not_written_to(filled):
    tampered(filled, "CREATE TRIGGER evil AFTER INSERT ON event BEGIN DELETE FROM candidate; END")
    with pytest.raises(NotAnArchive, match="has the trigger 'evil'"):
        Archive.open(filled)
    with Reader.open(filled) as reader:
        assert len(reader.candidates()) == 21


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("opener", [Reader.open, Archive.open])
def test_links_in_place_of_its_files_are_not_followed(opener, suffix, filled, tmp_path):
    place = filled.with_name(filled.name + suffix)
    target = tmp_path / "elsewhere"
    if place.exists():
        place.rename(target)
    place.symlink_to(target)
    with pytest.raises(UnsafeFile, match=f"{place.name} should be a regular file, but is a symbolic link"):
        opener(filled)


MAGIC, SECTOR, PAGE = bytes.fromhex("d9d505f920a163d7"), 512, 4096


def hot_journal(archive: Path, names: Path) -> bytes:
    """A rollback journal as a crash leaves it, of a transaction with the super-journal `names`."""
    name = os.fsencode(names)
    header = MAGIC + struct.pack(">5I", 0, 0, archive.stat().st_size // PAGE, SECTOR, PAGE)
    end = struct.pack(">I", 2**30 // PAGE + 1) + name + struct.pack(">2I", len(name), sum(name)) + MAGIC
    return header.ljust(SECTOR, b"\0") + end


@pytest.mark.parametrize("opener", [Reader.open, Archive.open])
def test_a_journal_does_not_make_sqlite_remove_the_file_that_it_names(opener, filled, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    journal = filled.with_name(f"{filled.name}-journal")
    journal.write_bytes(hot_journal(filled, victim))
    with pytest.raises(UnsafeFile, match=r"archive\.db-journal should not be there"):
        opener(filled)
    assert victim.read_text() == "precious" and journal.exists()
    with closing(sqlite3.connect(filled)) as careless:
        careless.execute("SELECT count(*) FROM run").fetchone()
    assert not victim.exists(), "the trap is one"


@pytest.mark.parametrize("opener", [Reader.open, Archive.open])
def test_an_empty_journal_is_ignored(opener, filled):
    filled.with_name(f"{filled.name}-journal").touch()
    with opener(filled):
        pass


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("opener", [Reader.open, Archive.open])
def test_a_hard_link_to_another_file_is_not_written_to(opener, suffix, filled, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place = filled.with_name(filled.name + suffix)
    place.unlink(missing_ok=True)
    os.link(victim, place)
    with pytest.raises(UnsafeFile, match=f"{place.name} should be a file of its own"):
        opener(filled)
    assert victim.read_text() == "precious"


def test_an_archive_with_a_second_name_is_read_and_not_written_to(filled, tmp_path):
    os.link(filled, tmp_path / "second")
    before = filled.read_bytes()
    assert names_in(filled) == "loss19"
    with pytest.raises(UnsafeFile, match=r"archive\.db should be a file of its own"):
        Archive.open(filled)
    assert filled.read_bytes() == before


def test_many_small_compression_bombs_are_refused_together(filled, monkeypatch):
    bomb = compress("x" * 2**20).hex()
    tampered(filled, f"UPDATE proposal SET reply = x'{bomb}'")
    with Reader.open(filled) as reader:
        assert len(reader.proposals()) == 20
        monkeypatch.setattr("archive.rows.MOST_UNPACKED", 10 * 2**20)
        with pytest.raises(CorruptArchive, match="unpacks to more than"):
            reader.proposals()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE candidate SET name = x'00ff'", "candidate.name should be text"),
        ("UPDATE candidate SET origin = 'alien'", "candidate.origin should be one of seed, proposal"),
        (
            "UPDATE proposal SET step = -1 WHERE id = 1",
            "proposal.step should be .*, but is '-1' in the row of candidate_id '2'",
        ),
        ("UPDATE proposal SET operator = 'Refine'", "proposal.operator should be a name of lower-case letters"),
        ("UPDATE proposal SET \"references\" = '[]'", "proposal.references should be a JSON object"),
        ("UPDATE verdict SET status = 'perhaps'", "verdict.status should be one of accepted, refused, partial"),
        ("UPDATE verdict SET fingerprint = '[]'", "verdict.fingerprint should be a JSON object"),
        ("UPDATE verdict SET descriptors = x'0102'", "verdict.descriptors should hold zlib data"),
        ("UPDATE evaluation SET state = 'won'", "evaluation.state should be one of queued"),
        ("UPDATE evaluation SET fitness = NULL", "evaluation.fitness should be a number, since it is scored"),
        ("UPDATE evaluation SET beta = 1e200", "evaluation.beta should be a number of at most 1e.100 in size"),
    ],
)
def test_invalid_values_of_a_node_are_named(filled, statement, message):
    tampered(filled, statement)
    with pytest.raises(CorruptArchive, match=message), Reader.open(filled) as reader:
        for node in reader.nodes("sentiment"):
            assert node.vetted is None or node.vetted.fingerprint.whole() is None


def test_overlong_values_are_refused(filled):
    tampered(filled, "UPDATE candidate SET source = CAST(zeroblob(70000000) AS TEXT) WHERE id = 1")
    with pytest.raises(CorruptArchive, match="too big"), Reader.open(filled) as reader:
        reader.candidates()


def test_damaged_files_raise_only_archive_errors(filled, tmp_path):
    """With bytes flipped, zeroed or cut off anywhere, the reader works or raises an ArchiveError."""
    dice = random.Random(1)
    sound = filled.read_bytes()
    errors = 0
    for n in range(80):
        data = bytearray(sound)
        for _ in range(dice.choice([1, 20, 400])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if n % 4 == 0:
            data = data[: dice.randrange(len(data))]
        broken = tmp_path / f"broken{n}.db"
        broken.write_bytes(data)
        try:
            with Reader.open(broken) as reader:
                everything(reader)
        except ArchiveError:
            errors += 1
    assert errors > 20


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="evopo-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def without_rights(question: Callable[[], str]) -> str:
    """The result of a child process without root's rights, because root ignores permissions."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = question()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def names_in(path: Path) -> str:
    with Reader.open(path) as reader:
        everything(reader)
        return ", ".join(row.name for row in reader.candidates()[-1:])


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_a_finished_archive_on_a_read_only_disk_is_read(filled, shared):
    copy = Path(shutil.copy(filled, shared))
    shared.chmod(0o555)
    assert without_rights(lambda: names_in(copy)) == "loss19"
    assert [p.name for p in shared.iterdir()] == ["archive.db"]


@needs_fork
@pytest.mark.parametrize("leftovers", [("", "-wal", "-shm"), ("", "-wal")])
def test_a_crashed_archive_on_a_read_only_disk_is_read(filled, shared, leftovers):
    assert subprocess.run([sys.executable, "-c", CRASH, str(filled)], cwd=ROOT, check=False).returncode == 9
    for suffix in leftovers:
        shutil.copy(f"{filled}{suffix}", shared)
    shared.chmod(0o555)
    assert without_rights(lambda: names_in(shared / "archive.db")) == "last words"


def beside(path: Path) -> list[str]:
    return sorted(p.name.removeprefix(path.name) for p in path.parent.iterdir() if p.name.startswith(path.name))


def test_reading_a_finished_archive_leaves_no_files_and_does_not_change_it(filled):
    before, state = beside(filled), (filled.read_bytes(), filled.stat().st_mtime_ns)
    names_in(filled)
    assert (beside(filled), (filled.read_bytes(), filled.stat().st_mtime_ns)) == (before, state)


def test_reading_an_older_archive_leaves_no_files(path):
    first_version(path)
    tampered(path, "PRAGMA journal_mode = WAL")
    names_in(path)
    assert beside(path) == [""]


def test_the_last_of_two_readers_removes_the_files(filled):
    before = beside(filled)
    with Reader.open(filled) as last:
        names_in(filled)
        assert len(last.candidates()) == 21
        assert "-wal" in beside(filled)
    assert beside(filled) == before


OUTSIDE = """
import sys
from archive.query import Reader
with Reader.open(sys.argv[1]) as reader:
    print(len(reader.candidates()))
"""


def test_a_reader_that_closes_does_not_remove_files_of_a_writer(archive, write, path):
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.with_name(path.name + "-wal").stat().st_size == 0
    names_in(path)
    subprocess.run([sys.executable, "-c", OUTSIDE, str(path)], cwd=ROOT, check=True, capture_output=True)
    write.seed()
    with Reader.open(path) as reader:
        assert [row.name for row in reader.candidates()] == ["dpo"]


def test_an_archive_closed_while_it_is_read_is_complete_without_its_log(archive, write, path, tmp_path):
    with Reader.open(path) as reader:
        write.seed()
        archive.close()
        copy = Path(shutil.copy(path, tmp_path / "copy.db"))
        assert [row.name for row in reader.candidates()] == ["dpo"]
    assert "-wal" not in beside(path)
    assert names_in(copy) == "dpo"


def test_the_log_of_a_crashed_writer_is_kept(filled):
    assert subprocess.run([sys.executable, "-c", CRASH, str(filled)], cwd=ROOT, check=False).returncode == 9
    log = filled.with_name(filled.name + "-wal")
    before = filled.read_bytes(), log.read_bytes()
    names_in(filled)
    assert (filled.read_bytes(), log.read_bytes()) == before


@needs_fork
def test_reading_another_users_archive_in_a_shared_folder_leaves_no_files(filled, shared):
    copy = Path(shutil.copy(filled, shared))
    copy.chmod(0o444)
    shared.chmod(0o777)
    assert without_rights(lambda: names_in(copy)) == "loss19"
    assert beside(copy) == [""]


def test_a_crashed_archive_is_read_in_place(filled):
    assert subprocess.run([sys.executable, "-c", CRASH, str(filled)], cwd=ROOT, check=False).returncode == 9
    assert names_in(filled) == "last words"


@needs_fork
def test_an_open_archive_of_another_user_is_read(archive, write, path, shared):
    with Archive.create(shared / "theirs.db", Reader.open(path).run()) as theirs:
        theirs.add_candidate("seed", "live", "", "source", "preference")
        shared.chmod(0o555)
        assert without_rights(lambda: names_in(shared / "theirs.db")) == "live"


@needs_fork
def test_an_archive_without_read_permission_is_refused(filled, shared):
    copy = Path(shutil.copy(filled, shared))
    copy.chmod(0o000)
    answer = without_rights(lambda: names_in(copy))
    assert answer.startswith(UnreadableArchive.__name__) and "check its permissions" in answer
