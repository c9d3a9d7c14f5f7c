"""The jail, for real: each forbidden thing is tried inside it, with all layers and with some left out."""

from __future__ import annotations

import os
import re
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.cli.doctor import examine
from sandbox.jail import (
    GUARANTEES,
    LAYERS,
    MEMORY_BYTES,
    Jail,
    decode_layers,
    encode_layers,
    filter_program,
    guarantees,
    missing,
)
from sandbox.syscalls import ALLOWED, FATAL, MACHINES

EPERM, ALLOW, KILL = "eperm", "allow", "kill"
FULL = Jail().available()
needs_all_layers = pytest.mark.skipif(set(FULL) != set(LAYERS), reason="this machine does not offer every layer")


def in_jail(action: Callable[[], object], without: frozenset[str] = frozenset()) -> tuple[int, bytes]:
    """Wait status of a jailed child that did something, and what it wrote: 'done' or the name of the exception."""
    answer, end = os.pipe()
    parent, jail = os.getpid(), Jail(without)
    pid = os.fork()
    if pid == 0:
        try:
            jail.enter(end, parent)
            action()
        except BaseException as error:
            os.write(end, type(error).__name__.encode())
        else:
            os.write(end, b"done")
        finally:
            os._exit(0)
    os.close(end)
    said = b""
    while part := os.read(answer, 4096):
        said += part
    os.close(answer)
    return os.waitpid(pid, 0)[1], said


@needs_all_layers
def test_everything_holds_with_all_layers() -> None:
    report = examine()
    assert report.held, report
    assert all(report.guarantees.values())
    assert {a.guarantee for a in report.attempts} == set(GUARANTEES)


@needs_all_layers
@pytest.mark.parametrize(
    "layer", ["seccomp", "landlock", "landlock-signals", "no-processes-limit", "no-descriptors-limit"]
)
def test_no_single_layer_is_needed(layer: str) -> None:
    report = examine(frozenset({layer}))
    assert report.held, report
    assert all(report.guarantees.values())
    assert all(layer not in by.replace(" + ", ", ").split(", ") for by in report.guarantees.values())


@needs_all_layers
def test_without_the_layers_things_can_be_done() -> None:
    """The attempts mean something: outside of the jail they succeed."""
    report = examine(
        frozenset({"seccomp", "landlock", "landlock-signals", "no-processes-limit", "no-descriptors-limit"})
    )
    done = {a.guarantee for a in report.attempts if not a.held}
    assert {"files", "network", "processes"} <= done
    assert [name for name, by in report.guarantees.items() if not by] == ["files", "network", "processes", "signals"]


@needs_all_layers
def test_processor_time_is_bounded() -> None:
    def spin() -> None:
        while True:
            pass

    status, said = in_jail(spin)
    assert os.WTERMSIG(status) == signal.SIGXCPU and said == b""


@needs_all_layers
@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (lambda: bytearray(MEMORY_BYTES), b"MemoryError"),
        (lambda: os.open("/proc/self/maps", os.O_RDONLY), b"PermissionError"),
        (lambda: os.stat("/"), b"PermissionError"),
        (lambda: os.mkdir("/tmp/made-in-jail"), b"PermissionError"),
        (lambda: os.unlink("/tmp/none"), b"PermissionError"),
        (lambda: os.chdir("/"), b"PermissionError"),
        (lambda: os.pipe(), b"PermissionError"),
        (lambda: os.dup(1), b"PermissionError"),
        (lambda: os.read(0, 1), b"PermissionError"),
        (lambda: os.write(1, b"x"), b"PermissionError"),
        (lambda: os.setuid(0), b"PermissionError"),
        (lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_CPU, (100, 100)), b"ValueError"),
    ],
)
def test_forbidden_calls_fail(action: Callable[[], object], outcome: bytes) -> None:
    _, said = in_jail(action)
    assert said in (outcome, b"PermissionError")


@needs_all_layers
def test_threads_cannot_be_started() -> None:
    import threading

    status, _ = in_jail(lambda: threading.Thread(target=print).start())
    assert os.WTERMSIG(status) == signal.SIGSYS


@needs_all_layers
def test_memory_cannot_be_made_executable() -> None:
    import mmap

    _, said = in_jail(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC))
    assert said == b"PermissionError"


@needs_all_layers
def test_ordinary_computing_goes_on() -> None:
    def compute() -> None:
        import ast

        assert sum(i * i for i in range(1000)) == 332833500
        compile(ast.parse("x = [i ** 2 for i in range(10)]"), "a", "exec")
        assert len(b"".join(bytes([i % 256]) * 1000 for i in range(10_000))) == 10_000_000

    status, said = in_jail(compute)
    assert (status, said) == (0, b"done")


def test_a_child_whose_parent_is_gone_ends() -> None:
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


def test_layers_survive_the_pipe() -> None:
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
    """What the kernel would make of a system call: an interpreter of the few instructions that filters use."""
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
def test_filter_does_what_the_tables_say(machine: str) -> None:
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
def test_tables_hold_every_call_that_they_speak_of(machine: str) -> None:
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
