"""The zygote: isolated, jailed, restarted when it dies, and never trusted."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hostile_more import candidate
from in_process import in_time
from processes import has_ended

from sandbox.child.allowlist.limits import MAX_SOURCE_BYTES
from sandbox.child.protocol import Answer
from sandbox.contracts.contract import PREFERENCE
from sandbox.verdicts.unavailable import SandboxUnavailable
from sandbox.vetting.vet import read_reply
from sandbox.vetting.zygote import Zygote

zygote_module = importlib.import_module("sandbox.vetting.zygote")

GOOD = candidate("return -F.logsigmoid(beta * x)").encode()
SPIN = b"#!\nwhile True: pass\n"
HOARD = candidate("y = [[" + "[0] * 2000, " * 100 + "] for i in range(195)]", "return x").encode()
ROOT = Path(__file__).resolve().parents[3]


FIND = """

def _find():
    import errno
    import os

    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"")
        except OSError:
            continue
        return descriptor
"""
HOLE = """
_sound = trace


def trace(source, contract, arguments=()):
    if source.startswith("#!"):
        exec(source, {"answer": _answer})
    return _sound(source, contract, arguments)
"""
"""A tracer that an attacker has overcome: it executes the source. Everything behind it must hold all the same."""


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    z = Zygote()
    yield z
    z.stop()


@pytest.fixture
def pierced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Zygote]:
    """A zygote whose static layer and tracer have a hole, so that only the jail and the parent protect."""
    program = tmp_path / "sandbox"
    shutil.copytree(ROOT / "sandbox", program, ignore=shutil.ignore_patterns("__pycache__", "known"))
    with open(program / "child" / "trace" / "tracer.py", "a") as stream:
        stream.write(HOLE.replace("_answer", "_find()") + FIND)
    monkeypatch.setattr(zygote_module, "PACKAGE", program)
    z = Zygote()
    z.trace(GOOD, PREFERENCE)
    yield z
    z.stop()


def _children(zygote: Zygote) -> list[psutil.Process]:
    assert zygote.pid is not None
    return psutil.Process(zygote.pid).children(recursive=True)


def test_traces_in_a_child_that_has_ended_afterwards(zygote: Zygote) -> None:
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


def test_time_is_bounded(pierced: Zygote) -> None:
    with in_time(120):
        reply = pierced.trace(SPIN, PREFERENCE)
    assert reply.signal == signal.SIGXCPU or reply.timed_out
    assert _children(pierced) == []


def test_memory_is_bounded(zygote: Zygote) -> None:
    answer = Answer.decode(zygote.trace(HOARD, PREFERENCE).answer)
    assert [c.code for c in answer.violations] == ["SBX241"]


ATTACKS = {
    "read": ("open('/etc/passwd').read()", "gone"),
    "write": ("open({mark!r}, 'w').write('x')", "gone"),
    "delete": ("__import__('os').remove({kept!r})", "gone"),
    "list": ("__import__('os').listdir('/')", "gone"),
    "fork": ("__import__('os').fork()", "signal"),
    "exec": ("__import__('os').execv('/bin/sh', ['sh', '-c', 'echo > {mark}'])", "signal"),
    "spawn": ("__import__('posix').posix_spawn('/bin/sh', ['sh', '-c', 'echo > {mark}'], {{}})", "signal"),
    "socket": ("__import__('_socket').socket()", "gone"),
    "kill_parent": ("__import__('os').kill(__import__('os').getppid(), 9)", "signal"),
    "kill_all": ("__import__('os').kill(-1, 9)", "signal"),
    "segfault": ("__import__('ctypes').string_at(0)", "signal"),
    "abort": ("__import__('os').abort()", "signal"),
    "exit": ("__import__('os')._exit(0)", "gone"),
    "exit_with_error": ("__import__('os')._exit(7)", "gone"),
    "recursion": ("exec('def f(n): return f(n + 1)\\nf(0)')", "gone"),
    "hoard": ("x = []\nwhile True: x.append(bytearray(2 ** 20))", "gone"),
    "sleep": ("__import__('time').sleep(100)", "gone"),
    "close_answer": ("__import__('os').close(answer)", "gone"),
    "flood": ("while True: __import__('os').write(answer, b'x' * 65536)", "gone"),
    "garbage": ("__import__('os').write(answer, b'garbage')", "gone"),
    "half_an_answer": ("__import__('os').write(answer, b'{{\"violations\":[],')", "gone"),
    "two_answers": (
        '__import__(\'os\').write(answer, b\'{{"violations":[],"graph":null,"at":null,"entry":null}}\')',
        "gone",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_hole_in_the_tracer_gains_nothing(name: str, pierced: Zygote, tmp_path: Path) -> None:
    """With arbitrary code in the child, nothing happens outside, the verdict is a refusal, and the next candidate is vetted."""
    mark, kept = tmp_path / "mark", tmp_path / "kept"
    kept.write_text("kept")
    os.chmod(tmp_path, 0o777)
    code = ATTACKS[name][0].format(mark=str(mark), kept=str(kept))
    reply = pierced.trace(f"#!\n{code}\n".encode(), PREFERENCE)
    found, graph, _ = read_reply(reply, "", PREFERENCE)
    assert graph is None and found, reply
    assert not mark.exists() and kept.exists()
    if ATTACKS[name][1] == "signal":
        assert reply.signal or found[0].rule in ("SBX243", "SBX246")
    assert _children(pierced) == []
    assert Answer.decode(pierced.trace(GOOD, PREFERENCE).answer).graph


def _during_a_spin(zygote: Zygote, act: object) -> list[object]:
    """The zygote's reply to SPIN if `act` is called during it."""
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


def test_signal_of_a_killed_child_is_reported(pierced: Zygote) -> None:
    (reply,) = _during_a_spin(pierced, lambda: [c.kill() for c in _children(pierced)])
    assert reply.signal == signal.SIGKILL and reply.answer == b""  # type: ignore[attr-defined]
    assert Answer.decode(pierced.trace(GOOD, PREFERENCE).answer).graph


def test_killed_zygote_is_replaced_and_its_child_dies_with_it(pierced: Zygote) -> None:
    orphans: list[psutil.Process] = []

    def kill() -> None:
        orphans.extend(_children(pierced))
        assert pierced.pid is not None
        os.kill(pierced.pid, signal.SIGKILL)

    (reply,) = _during_a_spin(pierced, kill)
    assert reply.signal == signal.SIGXCPU or reply.timed_out  # type: ignore[attr-defined]  # tried again, on a new zygote
    assert orphans and all(has_ended(p.pid) for p in orphans)


def test_stopped_zygote_starts_again(zygote: Zygote) -> None:
    zygote.trace(GOOD, PREFERENCE)
    first = zygote.pid
    zygote.stop()
    assert zygote.pid is None
    zygote.trace(GOOD, PREFERENCE)
    assert zygote.pid not in (None, first)


@pytest.mark.parametrize("use", [Zygote.launch, lambda zygote: zygote.trace(GOOD, PREFERENCE)], ids=["launch", "trace"])
def test_a_machine_that_can_start_no_process_is_not_a_refusal(
    use: Callable[[Zygote], object], zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_process)
    with pytest.raises(SandboxUnavailable, match=r"did not start: .*Resource temporarily unavailable"):
        use(zygote)


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
        "import os, signal, sys; from sandbox.vetting.zygote import Zygote; from sandbox.contracts.contract import PREFERENCE\n"
        f"z = Zygote(); z.trace({GOOD!r}, PREFERENCE); print(z.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    pid = int(run.stdout)
    assert has_ended(pid), "the zygote outlived its parent"


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
    """`python -m` is not the documented way; it uses the current directory at most while Python itself starts."""
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
