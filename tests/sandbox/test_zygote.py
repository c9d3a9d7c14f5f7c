"""The zygote: isolated, jailed, restarted when it dies, and not believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hostile_more import candidate

from sandbox.contract import PREFERENCE
from sandbox.policy import MAX_SOURCE_BYTES
from sandbox.refusal import Answer
from sandbox.zygote import Zygote

GOOD = candidate("return -F.logsigmoid(beta * x)").encode()
SPIN = candidate("y = (1,)", "for i in range(60):", "    y = (y, y)", "z = {y: 1}", "return x").encode()
"""Hashing a tuple that shares its halves: nothing counts steps there, so only the jail ends it."""
HOARD = candidate("y = [[" + "[0] * 2000, " * 100 + "] for i in range(195)]", "return x").encode()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    z = Zygote()
    yield z
    z.stop()


def _children(zygote: Zygote) -> list[psutil.Process]:
    assert zygote.pid is not None
    return psutil.Process(zygote.pid).children(recursive=True)


def test_traces_in_a_child_that_is_gone_afterwards(zygote: Zygote) -> None:
    reply = zygote.trace(GOOD, PREFERENCE)
    assert Answer.decode(reply.answer).graph is not None
    assert not reply.timed_out and not reply.signal and not reply.failed
    assert _children(zygote) == []


def test_zygote_has_no_torch_no_environment_and_no_descriptors(zygote: Zygote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    zygote.trace(GOOD, PREFERENCE)
    assert zygote.pid is not None
    process = psutil.Process(zygote.pid)
    os.close(inherited)
    assert set(process.environ()) <= {"LD_LIBRARY_PATH", "LC_CTYPE"}
    assert process.num_fds() == 3
    assert process.num_threads() == 1
    assert process.cwd() == "/"
    maps = Path(f"/proc/{zygote.pid}/maps").read_text()
    assert "torch" not in maps and "numpy" not in maps
    assert process.memory_info().rss < 60 * 2**20


def test_time_is_bounded(zygote: Zygote) -> None:
    zygote.trace(GOOD, PREFERENCE)
    started = time.monotonic()
    reply = zygote.trace(SPIN, PREFERENCE)
    assert reply.signal == signal.SIGXCPU or reply.timed_out
    assert time.monotonic() - started < 30
    assert _children(zygote) == []


def test_memory_is_bounded(zygote: Zygote) -> None:
    answer = Answer.decode(zygote.trace(HOARD, PREFERENCE).answer)
    assert [c.code for c in answer.complaints] == ["SBX241"]


def _during_a_spin(zygote: Zygote, act: object) -> list[object]:
    """What the zygote replies to SPIN when something happens meanwhile."""
    zygote.trace(GOOD, PREFERENCE)
    replies: list[object] = []
    thread = threading.Thread(target=lambda: replies.append(zygote.trace(SPIN, PREFERENCE)))
    thread.start()
    while not _children(zygote):
        time.sleep(0.005)
    time.sleep(0.05)
    assert callable(act)
    act()
    thread.join(60)
    return replies


def test_killed_child_is_told_by_its_signal(zygote: Zygote) -> None:
    (reply,) = _during_a_spin(zygote, lambda: [c.kill() for c in _children(zygote)])
    assert reply.signal == signal.SIGKILL and reply.answer == b""  # type: ignore[attr-defined]
    assert Answer.decode(zygote.trace(GOOD, PREFERENCE).answer).graph


def test_killed_zygote_is_replaced_and_its_child_dies_with_it(zygote: Zygote) -> None:
    orphans: list[psutil.Process] = []

    def kill() -> None:
        orphans.extend(_children(zygote))
        assert zygote.pid is not None
        os.kill(zygote.pid, signal.SIGKILL)

    (reply,) = _during_a_spin(zygote, kill)
    assert reply.signal == signal.SIGXCPU or reply.timed_out  # type: ignore[attr-defined]  # tried again, on a new zygote
    assert orphans and not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in orphans)


def test_stopped_zygote_starts_again(zygote: Zygote) -> None:
    zygote.trace(GOOD, PREFERENCE)
    first = zygote.pid
    zygote.stop()
    assert zygote.pid is None
    zygote.trace(GOOD, PREFERENCE)
    assert zygote.pid not in (None, first)


def test_source_beyond_the_bound_does_not_reach_it(zygote: Zygote) -> None:
    with pytest.raises(ValueError, match="must not reach"):
        zygote.trace(b" " * (MAX_SOURCE_BYTES + 1), PREFERENCE)


def test_many_threads_may_ask(zygote: Zygote) -> None:
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(zygote.trace(GOOD, PREFERENCE).answer for _ in range(5)))
        for _ in range(6)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == 30 and len(set(answers)) == 1


def test_fork_of_the_parent_leaves_the_zygote_alone(zygote: Zygote) -> None:
    zygote.trace(GOOD, PREFERENCE)
    pid = os.fork()
    if pid == 0:
        own = zygote.trace(GOOD, PREFERENCE)  # the fork starts a zygote of its own
        zygote.stop()
        os._exit(0 if own.answer else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert Answer.decode(zygote.trace(GOOD, PREFERENCE).answer).graph


def test_zygote_ends_with_its_parent() -> None:
    program = (
        "import os, signal, sys; from sandbox.zygote import Zygote; from sandbox.contract import PREFERENCE\n"
        f"z = Zygote(); z.trace({GOOD!r}, PREFERENCE); print(z.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    pid = int(run.stdout)
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.02)
    pytest.fail("the zygote outlived its parent")


@pytest.mark.parametrize("module", ["dataclasses", "json", "ast", "torch", "RestrictedPython", "sandbox", "typing"])
def test_modules_beside_the_vetted_file_are_never_imported(module: str, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    (tmp_path / f"{module}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (tmp_path / "loss.py").write_bytes(GOOD)
    program = f"import sys; sys.path.append({str(ROOT)!r}); sys.argv[0] = 'evopo-sandbox'\n"
    program += "from sandbox.__main__ import main; main()"
    command = [sys.executable, "-I", "-c", program, "check", "--no-numeric", "loss.py"]  # as the console script runs
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "partial" in run.stdout
    assert not mark.exists()


@pytest.mark.parametrize("module", ["json", "dataclasses", "ast", "RestrictedPython", "click"])
def test_python_m_leaves_the_current_directory_early(module: str, tmp_path: Path) -> None:
    """`python -m` is not the documented way, but takes what is there at most while Python itself starts."""
    mark = tmp_path / "imported"
    (tmp_path / f"{module}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (tmp_path / "loss.py").write_bytes(GOOD)
    run = subprocess.run(
        [sys.executable, "-m", "sandbox", "check", "--no-numeric", "loss.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stderr
    assert not mark.exists()
