"""The parent's side of the zygote: starts it, asks it to trace candidates, outlives its death.

What comes back is not believed: it is the answer of a process that has run hostile code. It is bounded here and checked in
`refusal.Answer.decode`, and its graph in `graph.VerifiedGraph.from_json`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox.child.allowlist.limits import MAX_SOURCE_BYTES
from sandbox.child.jail.isolate import GUARANTEES, WALL_SECONDS, decode_layers
from sandbox.child.jail.zygote_main import EXITED, KILLED, OUT_OF_MEMORY, READY, REPLY, REQUEST, TIMED_OUT
from sandbox.child.protocol import MAX_ANSWER_BYTES
from sandbox.contracts.contract import Contract
from sandbox.verdicts.unavailable import SandboxUnavailable
from sandbox.vetting.path import in_the_way

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package `sandbox`, which the zygote enters."""
PROGRAM = PACKAGE / "child" / "jail" / "zygote_main.py"
_START_SECONDS = 30.0
_GRACE_SECONDS = 5.0
"""Beyond the zygote's own deadline, until it is itself taken to hang."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one child. `signal` is what ended it, 0 where it ended by itself; `answer` its bytes, unchecked."""

    answer: bytes
    layers: tuple[str, ...]
    timed_out: bool = False
    signal: int = 0
    out_of_memory: bool = False
    failed: bool = False
    """The child ended without an answer and without a signal, or the zygote itself died."""


class Zygote:
    """A running zygote. Thread-safe; one candidate at a time. Starts itself when first asked, and again after it died.

    `without` names layers of the jail to leave out, as if this machine did not have them.
    """

    def __init__(self, without: Iterable[str] = ()) -> None:
        self._without = tuple(without)
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._owner = os.getpid()
        _ALIVE.add(self)

    @property
    def pid(self) -> int | None:
        """The zygote's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def trace(
        self,
        source: bytes,
        contract: Contract,
        accept_missing: Iterable[str] = (),
        arguments: Iterable[str] = (),
    ) -> Reply:
        """Have one candidate traced in a child of its own, which is gone when this returns.

        `arguments` are the names of the contract's arguments in the source, where they are known to be others.
        Raises SandboxUnavailable where no zygote can be started.
        """
        if len(source) > MAX_SOURCE_BYTES:
            raise ValueError(f"a source of {len(source)} bytes must not reach the zygote")
        accepted = sum(1 << GUARANTEES.index(name) for name in set(accept_missing))
        names = " ".join(arguments).encode("ascii")
        described = contract.to_json().encode()
        head = REQUEST.pack(len(source), len(described), accepted, len(names))
        with self._lock:
            for attempt in range(2):
                process = self._running()
                try:
                    return self._ask(process, head + source + described + names)
                except (OSError, EOFError, TimeoutError) as error:
                    self.stop()
                    if isinstance(error, TimeoutError):
                        return Reply(b"", (), timed_out=True)
                    if attempt:
                        return Reply(b"", (), failed=True)
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End the zygote and with it a child that may be running."""
        process, self._process, self._ready = self._process, None, False
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        _close(process)

    def launch(self) -> None:
        """Start the interpreter, without waiting until it is ready."""
        with self._lock:
            self._launched()

    def _launched(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        if self._process is not None:
            _close(self._process)
        self._process, self._ready = _start(self._without), False
        return self._process

    def _running(self) -> subprocess.Popen[bytes]:
        process = self._launched()
        if not self._ready:
            try:
                _await(process)
            except SandboxUnavailable:
                self._process = None
                raise
            self._ready = True
        return process

    def _ask(self, process: subprocess.Popen[bytes], request: bytes) -> Reply:
        assert process.stdin is not None and process.stdout is not None
        to, back = process.stdin.fileno(), process.stdout.fileno()
        deadline = time.monotonic() + WALL_SECONDS + _GRACE_SECONDS
        while request:
            request = request[os.write(to, request) :]
        outcome, number, mask, length = REPLY.unpack(_read(back, REPLY.size, deadline))
        if length > MAX_ANSWER_BYTES + 2:
            raise EOFError
        answer = _read(back, length, deadline)
        return Reply(
            answer,
            decode_layers(mask),
            timed_out=outcome == TIMED_OUT,
            signal=number if outcome == KILLED else 0,
            out_of_memory=outcome == EXITED and number == OUT_OF_MEMORY,
            failed=outcome == EXITED and number != OUT_OF_MEMORY,
        )

    def forget(self) -> None:
        """After a fork: this process is not the zygote's parent, so it neither talks to it nor ends it."""
        if self._process is not None:
            _close(self._process)
            self._process.returncode = 0
        self._process = None
        self._lock = threading.Lock()
        self._owner = os.getpid()


_ALIVE: weakref.WeakSet[Zygote] = weakref.WeakSet()


def _forget_all() -> None:
    for zygote in list(_ALIVE):
        zygote.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _start(without: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """A zygote that is starting. Raises SandboxUnavailable."""
    restricted = importlib.util.find_spec("RestrictedPython")
    if restricted is None or not restricted.submodule_search_locations:
        raise SandboxUnavailable(
            in_the_way("'RestrictedPython'")
            or "RestrictedPython is not installed; install it with: pip install 'RestrictedPython>=9.0'"
        )
    environment = {k: os.environ[k] for k in ("LD_LIBRARY_PATH",) if k in os.environ}  # where libpython may be
    program = [sys.executable, "-I", "-S", str(PROGRAM)]
    return subprocess.Popen(
        [*program, str(PACKAGE), restricted.submodule_search_locations[0], *without],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd="/",
        start_new_session=True,
        bufsize=0,
    )


def _await(process: subprocess.Popen[bytes]) -> None:
    """Wait until a zygote says that it is ready. Raises SandboxUnavailable."""
    assert process.stdout is not None and process.stderr is not None
    try:
        ready = _read(process.stdout.fileno(), len(READY), time.monotonic() + _START_SECONDS)
    except (EOFError, TimeoutError):
        ready = b""
    if ready != READY:
        process.kill()
        said = process.stderr.read(4096).decode("utf-8", "replace").strip().splitlines()
        process.wait()
        _close(process)
        raise SandboxUnavailable(f"the isolated interpreter did not start: {said[-1] if said else 'no message'}")


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _read(descriptor: int, length: int, deadline: float) -> bytes:
    parts = []
    while length:
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise TimeoutError
        part = os.read(descriptor, length)
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
