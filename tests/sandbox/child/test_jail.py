"""The jail in operation: each forbidden action is attempted inside it, with all layers and with some omitted."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.child.jail.isolate import (
    GUARANTEES,
    LAYERS,
    Jail,
    decode_layers,
    encode_layers,
    filter_program,
    guarantees,
    missing,
)
from sandbox.child.jail.syscalls import ALLOWED, FATAL, MACHINES

ROOT = Path(__file__).resolve().parents[3]
EPERM, ALLOW, KILL = "eperm", "allow", "kill"
FULL = Jail().available()
needs_all_layers = pytest.mark.skipif(set(FULL) != set(LAYERS), reason="this machine does not offer every layer")


def in_jail(action: str, *without: str) -> tuple[int, str]:
    """Wait status of a jailed child that performed an action, and its output: 'done' or the name of the exception."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "jailed.py"), action, *without],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    status, _, said = run.stdout.strip().partition(" ")
    return int(status), said


def examined(*without: str) -> dict[str, Any]:
    """The report of `doctor`, in a separate process."""
    options = [part for layer in without for part in ("--without", layer)]
    run = subprocess.run(
        [sys.executable, "-m", "sandbox", "doctor", "--json", *options], capture_output=True, text=True, cwd=ROOT
    )
    report: dict[str, Any] = json.loads(run.stdout)
    assert run.returncode == (0 if report["held"] else 1)
    return report


@needs_all_layers
def test_every_guarantee_holds_with_all_layers() -> None:
    report = examined()
    assert report["held"], report
    assert all(report["guarantees"].values())
    assert {a["guarantee"] for a in report["attempts"]} == set(GUARANTEES)


@needs_all_layers
@pytest.mark.parametrize(
    "layer", ["seccomp", "landlock", "landlock-signals", "no-processes-limit", "no-descriptors-limit"]
)
def test_no_single_layer_is_needed(layer: str) -> None:
    report = examined(layer)
    assert report["held"], report
    assert all(report["guarantees"].values())
    assert all(layer not in by.replace(" + ", ", ").split(", ") for by in report["guarantees"].values())


@needs_all_layers
def test_without_the_layers_the_attempts_succeed() -> None:
    """Outside the jail the attempts succeed, so their failure inside is due to the jail."""
    report = examined("seccomp", "landlock", "landlock-signals", "no-processes-limit", "no-descriptors-limit")
    done = {a["guarantee"] for a in report["attempts"] if not a["held"]}
    assert {"files", "network", "processes"} <= done
    lacking = [name for name, by in report["guarantees"].items() if not by]
    assert lacking == ["files", "network", "processes", "signals"]


@needs_all_layers
def test_processor_time_is_bounded() -> None:
    status, said = in_jail("while True: pass")
    assert os.WTERMSIG(status) == signal.SIGXCPU and said == ""


@needs_all_layers
@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ("bytearray(2 ** 28)", "MemoryError"),
        ("open('/proc/self/maps')", "PermissionError"),
        ("import os; os.stat('/')", "PermissionError"),
        ("import os; os.mkdir('/tmp/made-in-jail')", "PermissionError"),
        ("import os; os.unlink('/tmp/none')", "PermissionError"),
        ("import os; os.chdir('/')", "PermissionError"),
        ("import os; os.pipe()", "PermissionError"),
        ("import os; os.dup(1)", "PermissionError"),
        ("import os; os.read(0, 1)", "PermissionError"),
        ("import os; os.write(1, b'x')", "PermissionError"),
        ("import os; os.setuid(0)", "PermissionError"),
        ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (100, 100))", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)", "PermissionError"),
        ("import csv", "ModuleNotFoundError"),
    ],
)
def test_forbidden_calls_fail(action: str, outcome: str) -> None:
    status, said = in_jail(action)
    assert status == 0 and said in (outcome, "ValueError" if "setrlimit" in action else outcome)


@needs_all_layers
@pytest.mark.parametrize(
    "action",
    [
        "import os; os.fork()",
        "import os; os.kill(os.getppid(), 0)",
        "import os; os.execv('/bin/true', ['true'])",
        "import threading; threading.Thread(target=print).start()",
    ],
)
def test_fatal_calls_end_the_process(action: str) -> None:
    status, said = in_jail(action)
    assert os.WTERMSIG(status) == signal.SIGSYS and said == ""


@needs_all_layers
def test_ordinary_computation_works() -> None:
    action = """
import ast
assert sum(i * i for i in range(1000)) == 332833500
compile(ast.parse("x = [i ** 2 for i in range(10)]"), "a", "exec")
assert len(b"".join(bytes([i % 256]) * 1000 for i in range(10_000))) == 10_000_000
"""
    assert in_jail(action) == (0, "done")


def test_a_child_whose_parent_is_gone_exits() -> None:
    answer, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            Jail().enter(end, parent=1)  # as if the zygote had died and init had inherited the child
            os.write(end, b"lives")
        finally:
            os._exit(0)
    os.close(end)
    assert os.read(answer, 16) == b""
    os.close(answer)
    os.waitpid(pid, 0)


# --- guarantees -------------------------------------------------------------------------------------------------------


def test_layers_are_equal_after_encoding_and_decoding() -> None:
    for i in range(2 ** len(LAYERS)):
        assert encode_layers(decode_layers(i)) == i


def test_guarantees_fail_closed() -> None:
    assert missing([]) == list(GUARANTEES)
    assert missing(["wall-clock"]) == ["files", "network", "processes", "signals", "memory"]
    assert missing(LAYERS) == []
    assert missing(["seccomp", "wall-clock"]) == ["memory"]
    assert missing(["seccomp", "wall-clock"], accepted=["memory"]) == []
    assert guarantees(["landlock"])["processes"] == ""
    assert guarantees(["landlock", "no-processes-limit"])["processes"] == "landlock + no-processes-limit"


# --- the filter, interpreted ------------------------------------------------------------------------------------------


def _decide(program: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> str:
    """The kernel's decision on a system call, by an interpreter of the few instructions that the filters use."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(tuple(arguments) + (0,) * 6)[:6])
    steps = [struct.unpack("HBBI", program[i : i + 8]) for i in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        code, yes, no, k = steps[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x15:
                at += yes if accumulator == k else no
            case 0x35:
                at += yes if accumulator >= k else no
            case 0x45:
                at += yes if accumulator & k else no
            case 0x06:
                return {0x80000000: KILL, 0x7FFF0000: ALLOW, 0x00050001: EPERM}[k]
            case _:
                raise AssertionError(f"instruction {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_filter_follows_the_tables(machine: str) -> None:
    m = MACHINES[machine]
    program = filter_program(machine, answer=5)
    assert len(program) // 8 < 4096

    def decide(name: str, *arguments: int) -> str:
        return _decide(program, m.audit_arch, m.numbers[name], arguments)

    assert {decide(n) for n in ALLOWED if n in m.numbers} == {ALLOW}
    assert {decide(n) for n in FATAL if n in m.numbers} == {KILL}
    assert decide("mmap", 0, 4096, 3) == ALLOW
    assert decide("mmap", 0, 4096, 7) == EPERM
    assert decide("mprotect", 0, 4096, 4) == EPERM
    assert decide("mprotect", 0, 4096, 1) == ALLOW
    assert decide("write", 5) == ALLOW
    assert decide("write", 1) == EPERM
    assert decide("openat") == decide("read") == EPERM
    others = set(range(600)) - set(m.numbers.values())
    assert {_decide(program, m.audit_arch, n) for n in others} == {EPERM}
    assert _decide(program, m.audit_arch ^ 1, m.numbers["exit"]) == KILL
    if m.foreign is not None:
        assert _decide(program, m.audit_arch, m.foreign | m.numbers["exit"]) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_tables_number_every_named_call(machine: str) -> None:
    numbers = MACHINES[machine].numbers
    assert len(set(numbers.values())) == len(numbers)
    absent = {"fork", "vfork"} if machine == "aarch64" else set()
    assert set(ALLOWED) | set(FATAL) <= set(numbers) | absent
    assert not set(ALLOWED) & set(FATAL)


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernel_headers(machine: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip("kernel headers are not installed")
    text = Path(header).read_text()
    known = {n: int(v) for n, v in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    compared = {n: v for n, v in MACHINES[machine].numbers.items() if n in known}
    assert compared == {n: known[n] for n in compared}
    assert len(compared) > 50
