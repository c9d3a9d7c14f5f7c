"""`doctor`: try forbidden actions inside the jail, and report which were prevented."""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.child.jail.isolate import CPU_SECONDS, MEMORY_BYTES, Jail, decode_layers, encode_layers, guarantees

_SECONDS = CPU_SECONDS + 3.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One forbidden action and its outcome. `held` is whether the jail prevented it."""

    guarantee: str
    tried: str
    held: bool
    outcome: str


@dataclass(frozen=True, slots=True)
class Report:
    """All attempts, and for each guarantee the layers that are in force (`guarantees`)."""

    attempts: tuple[Attempt, ...]
    guarantees: dict[str, str]

    @property
    def held(self) -> bool:
        """Whether all attempts were prevented."""
        return all(a.held for a in self.attempts)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        attempts = [
            {"guarantee": a.guarantee, "tried": a.tried, "held": a.held, "outcome": a.outcome} for a in self.attempts
        ]
        return {"held": self.held, "guarantees": self.guarantees, "attempts": attempts}


def examine(without: frozenset[str] = frozenset()) -> Report:
    """Try each forbidden action in a jailed child of its own, without the layers in `without`. Takes about three seconds."""
    jail = Jail(without)
    layers: tuple[str, ...] = ()
    attempts = []
    with tempfile.TemporaryDirectory() as folder:
        for guarantee, tried, action in _actions(os.path.join(folder, "made")):
            layers, held, outcome = _try(jail, action)
            attempts.append(Attempt(guarantee, tried, held, outcome))
    return Report(tuple(attempts), guarantees(layers))


def as_text(report: Report) -> str:
    """The report as text."""
    width = max(len(a.tried) for a in report.attempts)
    lines = []
    for name, layers in report.guarantees.items():
        lines.append(f"{name}: {layers or 'MISSING'}")
        lines += [
            f"    {a.tried:{width}}  {'held' if a.held else 'NOT HELD'}  ({a.outcome})"
            for a in report.attempts
            if a.guarantee == name
        ]
    return "\n".join([*lines, "", "everything held" if report.held else "something did not hold"])


def _actions(made: str) -> list[tuple[str, str, Callable[[], object]]]:
    import socket

    return [
        ("files", "read a file", lambda: os.open(sys.executable, os.O_RDONLY)),
        ("files", "create a file", lambda: os.open(made, os.O_CREAT | os.O_WRONLY, 0o600)),
        ("files", "list a directory", lambda: os.listdir("/")),
        ("files", "delete or rename a file", lambda: os.rename(os.path.dirname(made), made + "2")),
        ("network", "open a socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()),
        ("network", "open a local socket", lambda: socket.socketpair()),
        ("processes", "fork", _fork),
        ("processes", "run a program", lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"])),
        ("signals", "signal the parent", lambda: os.kill(os.getppid(), 0)),
        ("signals", "signal the first process", lambda: os.kill(1, 0)),
        ("time", "compute without end", _spin),
        ("memory", f"take {2 * MEMORY_BYTES // 2**20} MB", lambda: bytearray(2 * MEMORY_BYTES)),
    ]


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _spin() -> None:
    while True:
        pass


_DONE, _PREVENTED = b"d", b"p"


def _try(jail: Jail, action: Callable[[], object]) -> tuple[tuple[str, ...], bool, str]:
    """Run an action in a jailed child: the layers in force, whether it was prevented, and the outcome in words."""
    answer, end = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _act(jail, end, parent, action)
    os.close(end)
    raw = _collect(answer)
    os.close(answer)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    layers = decode_layers(raw[0]) if raw else ()
    said = raw[1:2]
    if said == _DONE:
        return layers, False, "done"
    if said == _PREVENTED:
        return layers, True, raw[2:].decode("ascii", "replace")
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return layers, bool(raw), "ended by the wall clock" if name == "SIGKILL" else f"ended by {name}"
    return layers, False, "the program ran" if raw else "the jail could not be entered"


def _act(jail: Jail, end: int, parent: int, action: Callable[[], object]) -> None:
    """Enter the jail and run the action, in the child. Never returns."""
    try:
        os.write(end, bytes([encode_layers(jail.enter(end, parent))]))
        action()
    except BaseException as error:
        os.write(end, _PREVENTED + type(error).__name__.encode())
    else:
        os.write(end, _DONE)
    finally:
        os._exit(0)


def _collect(answer: int) -> bytes:
    deadline = time.monotonic() + _SECONDS
    raw = b""
    while True:
        ready, _, _ = select.select([answer], [], [], max(deadline - time.monotonic(), 0))
        part = os.read(answer, 256) if ready else b""
        if not part:
            return raw
        raw += part
