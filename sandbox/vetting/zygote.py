"""The parent's side of the zygote: start it, have candidates traced, and start it again if it died.

The answer is untrusted, because it comes from a process that has read hostile code. Its size is limited here; its content is
checked in `child.protocol.Answer.decode`, and its graph in `graph.loss_graph.VerifiedGraph.from_json`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
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
from sandbox.vetting.process import Incoming, Lost, WorkerProcess

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package `sandbox`, from which the zygote imports."""
PROGRAM = PACKAGE / "child" / "jail" / "zygote_main.py"
_START_SECONDS = 30.0
_GRACE_SECONDS = 5.0
"""Seconds after the zygote's own deadline until the zygote itself counts as hanging."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of one child. `signal` is the signal that ended it, 0 if none did; `answer` has its bytes, unchecked."""

    answer: bytes
    layers: tuple[str, ...]
    timed_out: bool = False
    signal: int = 0
    out_of_memory: bool = False
    failed: bool = False
    """The child ended without an answer and without a signal, or the zygote itself died."""


class Zygote:
    """A zygote process. Thread-safe; one candidate at a time. It starts with the first request, and again after it died.

    `without` names layers of the jail to leave out, as if this machine did not have them.
    """

    def __init__(self, without: Iterable[str] = ()) -> None:
        self._without = tuple(without)
        self._process: WorkerProcess | None = None
        self._described: tuple[Contract, bytes] | None = None  # the last contract, as its JSON
        self._lock = threading.Lock()
        _ALIVE.add(self)

    @property
    def pid(self) -> int | None:
        """The zygote's process id while it runs."""
        return self._process.pid if self._process is not None else None

    def trace(
        self,
        source: bytes,
        contract: Contract,
        accept_missing: Iterable[str] = (),
        arguments: Iterable[str] = (),
    ) -> Reply:
        """Have one candidate traced in a child of its own, which has ended when this returns.

        `arguments` are the names of the contract's arguments in the source, if they are given.
        Raises SandboxUnavailable if no zygote can be started.
        """
        if len(source) > MAX_SOURCE_BYTES:
            raise ValueError(f"a source of {len(source)} bytes must not reach the zygote")
        accepted = sum(1 << GUARANTEES.index(name) for name in set(accept_missing))
        names = " ".join(arguments).encode("ascii")
        last = self._described
        if last is None or last[0] is not contract:
            last = self._described = contract, contract.to_json().encode()
        described = last[1]
        head = REQUEST.pack(len(source), len(described), accepted, len(names))
        with self._lock:
            process = self._own()
            for _ in range(2):
                try:
                    return process.exchange(head + source + described + names, WALL_SECONDS + _GRACE_SECONDS, _reply)
                except Lost as lost:
                    if not lost.ready:
                        said = lost.stderr.splitlines()[-1:] or ["no message"]
                        raise _not_started(said[0]) from None
                    if lost.timed_out:
                        return Reply(b"", (), timed_out=True)
                except OSError as error:
                    raise _not_started(error) from None
        return Reply(b"", (), failed=True)

    def stop(self) -> None:
        """End the zygote, and its child if one is running."""
        if self._process is not None:
            self._process.end()

    def launch(self) -> None:
        """Start the isolated interpreter, without waiting until it is ready. Raises SandboxUnavailable."""
        with self._lock:
            try:
                self._own().start()
            except OSError as error:
                raise _not_started(error) from None

    def forget(self) -> None:
        """Drop the zygote after a fork: the new process is not its parent, and must neither write to it nor end it."""
        if self._process is not None:
            self._process.forget()
        self._lock = threading.Lock()

    def _own(self) -> WorkerProcess:
        if self._process is None:
            self._process = _process(self._without)
        return self._process


_ALIVE: weakref.WeakSet[Zygote] = weakref.WeakSet()


def _forget_all() -> None:
    for zygote in list(_ALIVE):
        zygote.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _process(without: tuple[str, ...]) -> WorkerProcess:
    """A zygote that is not started yet. Raises SandboxUnavailable if RestrictedPython is not installed."""
    restricted = importlib.util.find_spec("RestrictedPython")
    if restricted is None or not restricted.submodule_search_locations:
        raise SandboxUnavailable(
            in_the_way("'RestrictedPython'")
            or "RestrictedPython is not installed; install it with: pip install 'RestrictedPython>=9.0'"
        )
    program = [sys.executable, "-I", "-S", str(PROGRAM)]
    environment = {k: os.environ[k] for k in ("LD_LIBRARY_PATH",) if k in os.environ}  # where libpython may be
    return WorkerProcess(
        [*program, str(PACKAGE), restricted.submodule_search_locations[0], *without], environment, _START_SECONDS,
        greet=_greeting, folder="/",
    )  # fmt: skip


def _not_started(why: object) -> SandboxUnavailable:
    return SandboxUnavailable(f"the isolated interpreter did not start: {why}")


def _greeting(incoming: Incoming) -> None:
    if incoming.read(len(READY)) != READY:
        raise EOFError


def _reply(incoming: Incoming) -> Reply:
    outcome, number, mask, length = REPLY.unpack(incoming.read(REPLY.size))
    if length > MAX_ANSWER_BYTES + 2:
        raise EOFError
    answer = incoming.read(length)
    return Reply(
        answer,
        decode_layers(mask),
        timed_out=outcome == TIMED_OUT,
        signal=number if outcome == KILLED else 0,
        out_of_memory=outcome == EXITED and number == OUT_OF_MEMORY,
        failed=outcome == EXITED and number != OUT_OF_MEMORY,
    )
