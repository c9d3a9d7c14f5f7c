"""Writer lock: one writer at a time, also when processes are killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from archive.disk.lock import living_writer
from archive.errors import ArchiveLocked, UnsafeFile
from archive.query import Reader
from archive.store import Archive

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys
from archive.store import Archive
archive = Archive.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
archive.close()
"""
STORM = """
import sys
from archive.store import Archive
archive = Archive.open(sys.argv[1])
step = int(sys.argv[2])
while True:
    proposal = archive.request_proposal(step, 0, "explore", "llm", "m", 0.5, "t", {}, archive.last_event())
    archive.receive_proposal(proposal, "reply " * 50, 1, 2, 0.5, 0.1)
    candidate = archive.add_candidate("proposal", "n", "t", "source " * 40, "preference", proposal)
    archive.record_verdict(candidate, {"status": "accepted", "hash": str(step)})
    evaluation = archive.queue_evaluation(candidate, "sentiment", "full", 0)
    archive.start_evaluation(evaluation)
    archive.score_evaluation(evaluation, step * 0.5, {"kl": 1.0})
    print(step, candidate, evaluation, archive.last_event(), flush=True)
    step += 1
"""

BIRTHS = """
import sys
from pathlib import Path
from archive.records import RunRow
from archive.store import Archive
for n in range(10_000):
    folder = Path(sys.argv[1], str(n))
    folder.mkdir()
    print(n, flush=True)
    Archive.create(folder / "archive.db", RunRow("demo", 0, "t", "c")).close()
"""


@contextmanager
def other_process(script: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def named(path: Path, **changes: object) -> None:
    """Writes a lock file like that of this process, with changes."""
    me = psutil.Process()
    holder = {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time(), **changes}
    lock_file(path).write_text(json.dumps(holder))


def test_a_second_writer_is_refused_with_the_identity_of_the_first(path, archive):
    archive.close()
    with other_process(HOLD, path) as first:
        assert first.stdout is not None and first.stdout.readline() == "open\n"
        with pytest.raises(ArchiveLocked) as refusal:
            Archive.open(path)
        assert f"process {first.pid} on {socket.gethostname()}, started 2" in str(refusal.value)
        with Reader.open(path) as reader:
            assert reader.run().name == "demo", "readers are welcome"
        first.communicate("")
    with Archive.open(path) as second:
        assert second.replaced is None, "the first one closed the archive"


def test_the_same_process_cannot_open_it_twice(path, archive, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path.parent)
    for name in (path, link / path.name):
        with pytest.raises(ArchiveLocked, match="already open for writing in this process"):
            Archive.open(name)
    archive.event("still mine")


def test_the_lock_of_a_writer_that_has_ended_is_taken_over(path, archive):
    archive.close()
    with other_process(HOLD, path) as first:
        assert first.stdout is not None and first.stdout.readline() == "open\n"
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert lock_file(path).exists()
        with Archive.open(path) as second:
            assert second.replaced is not None and second.replaced.pid == first.pid
    assert not lock_file(path).exists()


@pytest.mark.parametrize(
    "text",
    ["{", "[" * 4000, '{"host": 1, "pid": 1e999, "started": 1}', '{"host": "x", "pid": -1, "started": 1e300}', "null"],
)
def test_a_lock_file_that_evopo_did_not_write_has_no_holder(path, archive, text):
    archive.close()
    lock_file(path).write_text(text)
    assert living_writer(path) is None
    with Archive.open(path) as again:
        assert again.replaced is None


def test_a_lock_file_that_is_a_link_or_too_large_is_refused(path, archive, tmp_path):
    archive.close()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for place in (victim, Path("/dev/zero")):
        lock_file(path).symlink_to(place)
        for question in (living_writer, Archive.open):
            with pytest.raises(UnsafeFile, match="a symbolic link"):
                question(path)
        lock_file(path).unlink()
    assert victim.read_text() == "precious"


def test_a_later_process_of_the_same_id_is_not_the_holder(path, archive):
    archive.close()
    parent = psutil.Process(os.getppid())
    named(path, pid=parent.pid, started=parent.create_time() - 1000)
    with Archive.open(path) as again:
        assert again.replaced is not None


def test_a_holder_that_lost_its_kernel_lock_still_holds(path, archive):
    archive.close()
    with other_process(HOLD, path) as first:
        assert first.stdout is not None and first.stdout.readline() == "open\n"
        # If the holder copies its run directory, lock file included, the kernel lock is released and only the file remains.
        text = lock_file(path).read_text()
        lock_file(path).unlink()
        lock_file(path).write_text(text)
        with pytest.raises(ArchiveLocked, match=f"process {first.pid}"):
            Archive.open(path)


def test_a_lock_from_another_machine_without_a_kernel_lock_is_taken_over(path, archive):
    archive.close()
    named(path, host="a-preempted-machine")
    with Archive.open(path) as again:
        assert again.replaced is not None and again.replaced.host == "a-preempted-machine"


def test_the_current_writer_is_reported(path, archive):
    mine = living_writer(path)
    assert mine is not None and mine.pid == os.getpid()
    archive.close()
    assert living_writer(path) is None
    with other_process(HOLD, path) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        theirs = living_writer(path)
        assert theirs is not None and theirs.pid == other.pid
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert lock_file(path).exists() and living_writer(path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 3}', "\x00" * 5000])
def test_an_incomplete_lock_file_does_not_block(path, archive, text):
    archive.close()
    lock_file(path).write_text(text)
    Archive.open(path).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_keep_the_lock_of_a_dead_parent(path, archive):
    archive.close()
    script = HOLD.replace('print("open"', 'import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint("open"')
    with other_process(script, path) as first:
        assert first.stdout is not None and first.stdout.readline() == "open\n"
        children = psutil.Process(first.pid).children()
        assert len(children) == 1
        try:
            first.send_signal(signal.SIGKILL)
            first.wait()
            with Archive.open(path) as again:
                assert again.replaced is not None
        finally:
            children[0].kill()


def test_nothing_recorded_is_lost_when_the_writer_is_killed(path, archive):
    archive.close()
    recorded: list[tuple[int, ...]] = []
    for _ in range(4):
        with other_process(STORM, path, len(recorded) + 100 * _) as writer:
            assert writer.stdout is not None
            for _line in range(5 + 3 * _):
                recorded.append(tuple(map(int, writer.stdout.readline().split())))
            writer.send_signal(signal.SIGKILL)
            rest, _ignored = writer.communicate()
            recorded += [tuple(map(int, line.split())) for line in rest.splitlines() if line.count(" ") == 3]
        with Archive.open(path) as again, Reader.open(path) as reader:
            assert again.replaced is not None
            assert reader.problems() == []
            again.recover()
    with Reader.open(path) as reader:
        assert [event.id for event in reader.events()] == list(range(1, reader.last_event() + 1))
        for step, candidate, evaluation, event in recorded:
            assert reader.proposal(reader.candidate(candidate).proposal_id or 0).step == step
            verdict = reader.verdict(candidate)
            assert verdict is not None and verdict.hash == str(step)
            assert reader.evaluation(evaluation).fitness == step * 0.5
            assert reader.evaluation(evaluation).finished_event == event


def test_copying_the_folder_in_the_writers_process_does_not_release_the_lock(path, archive, tmp_path):
    shutil.copytree(path.parent, tmp_path.parent / f"{tmp_path.name}-copy")
    attempt = subprocess.run(
        [sys.executable, "-c", HOLD, str(path)], input="", capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "ArchiveLocked" in attempt.stderr and f"process {os.getpid()}" in attempt.stderr


def test_an_archive_appears_complete_or_not_at_all(tmp_path, run):
    for n in range(4):
        nest = tmp_path / str(n)
        nest.mkdir()
        with other_process(BIRTHS, nest) as parent:
            assert parent.stdout is not None
            for _ in range(2 + n):
                parent.stdout.readline()
            parent.send_signal(signal.SIGKILL)
            parent.communicate()
        for folder in nest.iterdir():
            path = folder / "archive.db"
            if not path.exists():
                Archive.create(path, run).close()
            with Archive.open(path), Reader.open(path) as reader:
                assert reader.run().name == "demo" and reader.last_event() == 1
                assert reader.problems() == []
            assert [p.name for p in folder.iterdir()] == ["archive.db"]
