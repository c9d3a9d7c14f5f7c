"""The supervisor of a worker process: start, requests with a time limit, end together with its children, restart.

Requests and replies are JSON objects, one per line; `serving` is the worker's side. The zygote has a binary protocol of its own. A
process that gives no reply is ended before `Lost` is raised, and the next request starts a fresh one.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, TypeVar

CLOSE_SECONDS = 5.0
"""Seconds from the end of its input to SIGKILL, and the longest wait for the rest of its stderr."""
LONGEST_LINE = 1 << 24
"""Bytes of one reply."""
_TAIL_BYTES = 16_000

Answer = TypeVar("Answer")


class Lost(Exception):
    """A process gave no reply: it died, sent something else, took too long or was ended meanwhile. It has been ended.

    `ready`: whether it had reported that it is ready. `status`: its exit status, or minus the number of the signal that ended it.
    `stderr`: the end of its error output.
    """

    def __init__(self, *, ready: bool, timed_out: bool = False, status: int = 0, stderr: str = "") -> None:
        super().__init__("no reply in time" if timed_out else ended(status))
        self.ready = ready
        self.timed_out = timed_out
        self.status = status
        self.stderr = stderr


def ended(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    names = {s.value: s.name for s in signal.Signals}  # most real-time signals have none
    return f"killed by {names.get(-status, f'signal {-status}')}"


class WorkerProcess:
    """One process at a time, in a session of its own so that its children end with it. Thread-safe; one request at a time.

    `greet` reads the first message of the process, within `start_seconds`. Its stderr is read all the time, and the end of it is
    kept. Its input ends when this process ends, in whatever way.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        start_seconds: float,
        *,
        greet: Callable[[Incoming], Any] | None = None,
        folder: str | None = None,
    ) -> None:
        self._command, self._environment, self._folder = list(command), dict(environment), folder
        self._start_seconds, self._greet = start_seconds, greet or Incoming.message
        self._changing = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        running = self._running
        return running.process.pid if running is not None and running.process.poll() is None else None

    def start(self) -> None:
        """Start the process if none is running, without waiting until it is ready. Raises OSError.

        Linux may signal the parent's death to a process when the thread that started it ends. So a thread that starts the process,
        or makes a request that starts it again, must live as long as the process is needed.
        """
        with self._changing:
            self._closed = False
            self._started()

    def ready(self) -> Any:
        """Start the process if none is running, and return its first message. Raises Lost, OSError."""
        running = self._current()
        self._exchange(running, lambda: None, 0.0)
        return running.greeting

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to a request, within `seconds` after the process is ready. Raises Lost, OSError."""
        return self.exchange(json.dumps(request).encode() + b"\n", seconds, Incoming.message)

    def exchange(self, request: bytes, seconds: float, receive: Callable[[Incoming], Answer]) -> Answer:
        """As `ask`, for a process with another protocol: send bytes, and read the answer with `receive`."""
        running = self._current()

        def attend() -> Answer:
            running.send(request)
            return receive(running.incoming)

        return self._exchange(running, attend, seconds)

    def end(self, grace: float = 0.0) -> None:
        """End the process with its children and reap it: close its input, and send SIGKILL after `grace` seconds."""
        with self._changing:
            self._end(grace)

    def close(self, grace: float = 0.0) -> None:
        """As `end`, but later requests do not start the process again; only `start` does."""
        with self._changing:
            self._closed = True
            self._end(grace)

    def forget(self) -> None:
        """Drop the process after a fork: the new process is not its parent, and must neither write to it nor end it."""
        running, self._running = self._running, None
        self._changing = threading.Lock()
        if running is not None:
            running.process.returncode = 0
            running.close_pipes()
            running.tail.close()

    def _current(self) -> _Running:
        with self._changing:
            if self._closed:
                raise Lost(ready=False)
            return self._started()

    def _started(self) -> _Running:
        if self._running is not None and self._running.process.poll() is not None:
            self._end()
        if self._running is None:
            self._running = _Running(self._command, self._environment, self._folder)
        return self._running

    def _exchange(self, running: _Running, attend: Callable[[], Answer], seconds: float) -> Answer:
        timed_out = False
        try:
            with running.talking:
                if running.over:
                    raise EOFError
                if not running.ready:
                    running.incoming.deadline = time.monotonic() + self._start_seconds
                    running.greeting = self._greet(running.incoming)
                    running.ready = True
                running.incoming.deadline = time.monotonic() + seconds
                return attend()
        except TimeoutError:
            timed_out = True
        except (EOFError, OSError, ValueError, RecursionError):  # end of output, or not JSON
            pass
        except BaseException:  # its late reply would be read as that to the next request
            self._lose(running, 0.0)
            raise
        # A dying process keeps its input: at the end of its input it would exit with status 0, which hides the cause.
        self._lose(running, 0.0 if timed_out else CLOSE_SECONDS, dying=not timed_out)
        raise Lost(ready=running.ready, timed_out=timed_out, status=running.process.wait(), stderr=running.tail.text())

    def _lose(self, running: _Running, grace: float, *, dying: bool = False) -> None:
        with self._changing:
            if self._running is running:
                self._end(grace, dying=dying)

    def _end(self, grace: float = 0.0, *, dying: bool = False) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.end(grace, dying)


class Incoming:
    """The stdout of a process. Reading raises EOFError at its end, TimeoutError at the deadline."""

    def __init__(self, descriptor: int, wake: int) -> None:
        self.deadline = 0.0
        self._descriptor = descriptor
        self._ready = _Readiness(descriptor, select.POLLIN, wake)
        self._held = bytearray()

    def read(self, length: int) -> bytes:
        """The next `length` bytes."""
        while len(self._held) < length:
            self._more()
        return self._take(length)

    def message(self) -> dict[str, Any]:
        """The next line, a JSON object. Raises ValueError if it is not JSON or too long."""
        seen = 0
        while (end := self._held.find(b"\n", seen)) < 0:
            seen = len(self._held)
            if seen > LONGEST_LINE:
                raise ValueError(f"expected a line of at most {LONGEST_LINE} bytes")
            self._more()
        message = json.loads(self._take(end + 1))
        if not isinstance(message, dict):
            raise ValueError(f"expected a JSON object, got {type(message).__name__}")
        return message

    def _take(self, length: int) -> bytes:
        taken = bytes(self._held[:length])
        del self._held[:length]
        return taken

    def _more(self) -> None:
        self._ready.wait(self.deadline)
        part = os.read(self._descriptor, 65536)
        if not part:
            raise EOFError
        self._held += part


class _Readiness:
    """Waits until a pipe can be read or written, or until the process is being ended (EOFError)."""

    def __init__(self, descriptor: int, event: int, wake: int) -> None:
        self._wake = wake
        self._poll = select.poll()
        self._poll.register(descriptor, event)
        self._poll.register(wake, select.POLLIN)

    def wait(self, deadline: float) -> None:
        while True:
            left = deadline - time.monotonic()
            events = dict(self._poll.poll(max(0.0, min(left, 3600.0)) * 1000))
            if self._wake in events:
                raise EOFError
            if events:
                return
            if left <= 0:
                raise TimeoutError


class _Running:
    """A started process with its pipes."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: str | None) -> None:
        self._wake, self._waker = os.pipe()
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
                bufsize=0,
            )
        except BaseException:
            os.close(self._wake)
            os.close(self._waker)
            raise
        assert self.process.stdin is not None and self.process.stdout is not None and self.process.stderr is not None
        self.talking = threading.Lock()
        self.over = False
        self.ready = False
        self.greeting: Any = None
        self._input: IO[bytes] = self.process.stdin
        self._output: IO[bytes] = self.process.stdout
        self.incoming = Incoming(self._output.fileno(), self._wake)
        self._writable = _Readiness(self._input.fileno(), select.POLLOUT, self._wake)
        self.tail = _Tail(self.process.stderr)

    def send(self, data: bytes) -> None:
        """Write all data to the process. Raises OSError or EOFError if it does not read any more, TimeoutError."""
        view = memoryview(data)
        while view:
            self._writable.wait(self.incoming.deadline)
            written = os.write(self._input.fileno(), view[: select.PIPE_BUF])  # a pipe takes this much without blocking
            view = view[written:]

    def end(self, grace: float, dying: bool) -> None:
        self.over = True
        os.write(self._waker, b"x")
        with self.talking:  # a thread that waited for a reply is awake now, and does not use these pipes any more
            if not dying:
                self._input.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
            # Even if the leader has ended: other processes of its group may still run.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.close_pipes()
        self.tail.finish(CLOSE_SECONDS)

    def close_pipes(self) -> None:
        for pipe in (self._input, self._output):
            pipe.close()
        os.close(self._wake)
        os.close(self._waker)


class _Tail:
    """The end of a process's stderr. A thread reads it all the time, so that the process never blocks."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._reader = threading.Thread(target=self._read, name="stderr of a worker", daemon=True)
        self._reader.start()

    def finish(self, seconds: float) -> None:
        """Wait for the rest, at most `seconds`: a process that left the session may keep the pipe open."""
        self._reader.join(seconds)

    def close(self) -> None:
        self._pipe.close()

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace").strip()

    def _read(self) -> None:
        with self._pipe:
            while part := self._pipe.read(4096):
                self._kept = (self._kept + part)[-_TAIL_BYTES:]
