"""One worker process as its pool sees it: started, asked, listened to, ended, and what is known of its death."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fitness.costs import Usage
from fitness.score import ItemScores
from fitness.task.protocol import EvaluationFailed, FailureReason, SeedResult
from fitness.training.curves import from_json
from sandbox.vetting.path import in_the_way

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0  # from the end of stdin to SIGKILL
TAIL_BYTES = 4000  # of stderr, for the report of a death
LONGEST_LINE = 1 << 24  # bytes of one reply
_LAST_WORDS = re.compile(
    r"^(?:\[rank\d+\]: )?((?!\S*(?:ChildFailedError|CalledProcessError))[A-Za-z_][\w.]*(?:Error|Exception)\b.*)$",
    re.MULTILINE,
)
"""What a traceback ends with, but for those of launchers, which tell only that a process failed."""


class WorkerLost(EvaluationFailed):
    """The process ended or had to be ended, which need not be the candidate's fault; before it was ready it cannot be, and the
    reason is bad_data."""


class WorkerProcess:
    """One launch group, in a session of its own so that all of it can be killed; serves one request at a time."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], start_seconds: float) -> None:
        self.versions: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()
        self.judged: int | None = None
        self._command = command
        self._variables = variables
        self._start_seconds = start_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False
        self._tail = b""  # the last of stderr
        self._drain: asyncio.Task[None] | None = None
        self._ending = asyncio.Lock()
        self._requests = 0
        self._owed = Usage()  # what a judge was paid for showing that it is there; charged to the first training
        self._exit_status = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the process; the handshake is left to the first request."""
        self._ready, self._tail = False, b""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._variables),
            limit=LONGEST_LINE,
            start_new_session=True,
        )
        self._drain = asyncio.create_task(self._keep_tail(self._process))
        if self._closed:  # meanwhile
            await self._kill()
            raise self._post_mortem(0)

    async def ready(self) -> None:
        """Start the process where there is none, and wait until it has said that it is ready. Raises EvaluationFailed."""
        if self._process is not None and self._process.returncode is not None:
            await self._kill()
        if self._process is None:
            await self.start()
        if self._ready:
            return
        reply = await self._answer(self._start_seconds)
        self._owed += _paid(reply) or Usage()
        self.versions, self.notes = reply["versions"], tuple(reply.get("notes", ()))
        judged = reply.get("judged")
        self.judged = judged if isinstance(judged, int) else None
        self._ready = True

    async def score(self, request: Mapping[str, Any], limit: float) -> SeedResult:
        """Raises EvaluationFailed; WorkerLost, with the process gone, when it gave no answer within `limit` seconds."""
        if self._closed:
            raise self._post_mortem(_out_of_memory_kills())
        await self.ready()
        owed, self._owed = self._owed, Usage()
        try:
            result = await self._scored(request, limit)
        except EvaluationFailed as failure:
            failure.paid = together(failure.paid, owed)
            raise
        return replace(result, paid=together(result.paid, owed))

    async def _scored(self, request: Mapping[str, Any], limit: float) -> SeedResult:
        self._requests += 1
        reply = await self._answer(limit, {"id": self._requests, **request})
        try:
            return SeedResult(
                fitness=reply["fitness"],
                metrics=reply["metrics"],
                seconds=reply["seconds"],
                tokens=reply["tokens"],
                steps=reply["steps"],
                seed=reply["seed"],
                items=_items(reply.get("items")),
                paid=_paid(reply),
                curves=from_json(reply.get("curves", {})),
            )
        except ValueError as error:
            await self._kill()
            raise WorkerLost(FailureReason.WORKER_DIED, f"the worker's answer is not as agreed: {error}") from None

    async def close(self) -> None:
        """End the process for good: at the end of stdin it goes by itself, also in the middle of a training."""
        self._closed = True
        await self._kill(grace=CLOSE_SECONDS)

    async def _answer(self, limit: float, request: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The reply to `request`, or the first one of all. Raises EvaluationFailed; WorkerLost with the process gone."""
        kills = _out_of_memory_kills()
        try:
            if request is not None:
                await self._send(request)
            reply = await self._receive(limit)
            for line in reply.get("warnings", ()):
                logger.warning("%s", line)
            if request is None and reply["state"] == "failed":
                await self._kill()  # the task cannot be prepared; it has ended or is about to
            return _checked(reply)
        except TimeoutError:
            await self._kill()
            raise self._too_late(limit) from None
        except (EOFError, ConnectionError, ValueError):
            await self._kill(grace=CLOSE_SECONDS, dying=True)
            raise self._post_mortem(kills) from None
        except asyncio.CancelledError:
            # It works on a request that nobody waits for any more.
            await self._kill()
            raise

    async def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        await self._process.stdin.drain()

    async def _receive(self, limit: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), limit)
        if not line.endswith(b"\n"):
            raise EOFError
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def _kill(self, grace: float = 0.0, *, dying: bool = False) -> None:
        """End the whole group and reap it; with `grace` seconds to end by itself.

        One that is `dying` already keeps its stdin meanwhile: the end of it would make it exit as if all were well.
        """
        # Shielded, since a task that is cancelled twice would leave this half done; whoever closes the worker waits at the lock.
        await asyncio.shield(self._end(grace, dying))

    async def _end(self, grace: float, dying: bool) -> None:
        async with self._ending:
            process, self._process = self._process, None
            if process is None:
                return
            if process.stdin is not None and not dying:
                process.stdin.close()
            # Not process.wait: that waits for the pipes too, which a child of the process may hold open.
            until = time.monotonic() + grace
            while process.returncode is None and time.monotonic() < until:
                await asyncio.sleep(0.01)
            # Also when the leader has ended: the rest of its group may not have.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            self._exit_status = await process.wait()
            if process.stdin is not None:
                process.stdin.close()
            if self._drain is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._drain, CLOSE_SECONDS)

    async def _keep_tail(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(4096):
            self._tail = (self._tail + chunk)[-TAIL_BYTES:]

    def _post_mortem(self, kills_before: int) -> WorkerLost:
        if self._closed:
            return WorkerLost(FailureReason.WORKER_DIED, "the pool was closed")
        status = self._exit_status
        how = f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
        raised = _LAST_WORDS.findall(self._stderr())
        how += f": {raised[-1]}" if raised else ""
        reason = FailureReason.WORKER_DIED
        if status == -signal.SIGKILL and _out_of_memory_kills() > kills_before:
            reason, how = FailureReason.OUT_OF_MEMORY, f"{how}, by the kernel for want of memory"
        if not self._ready:
            reason, how = FailureReason.BAD_DATA, f"a worker ended before it was ready: {how}"
        return WorkerLost(reason, f"{how}{self._said()}")

    def _too_late(self, limit: float) -> WorkerLost:
        if not self._ready:
            return WorkerLost(FailureReason.BAD_DATA, f"a worker was not ready within {limit:g} s{self._said()}")
        return WorkerLost(
            FailureReason.TIMEOUT,
            f"no answer within {limit:g} s, so it counts as hung: if trainings take that long here, set timeout_seconds, or "
            f"fitness.seconds_per_step to what a step takes where the task has it{self._said()}",
        )

    def _stderr(self) -> str:
        return self._tail.decode("utf-8", "replace").strip()

    def _said(self) -> str:
        text = self._stderr()
        why = "" if self._ready else in_the_way(text)
        return f"; {why}" * bool(why) + f"; the end of its stderr:\n{text}" * bool(text)


def _checked(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    if reply["state"] == "failed":
        raise EvaluationFailed(reply["reason"], reply["detail"], _paid(reply), from_json(reply.get("curves", {})))
    return reply


def _items(found: Any) -> ItemScores | None:
    """Raises ValueError for anything but null, or an object with values and groups."""
    if found is None:
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in ("values", "groups")):
        raise ValueError("its items are no object with the lists values and groups")
    return ItemScores.of(found["values"], found["groups"])


def _paid(reply: Mapping[str, Any]) -> Usage | None:
    return Usage(*reply["paid"]) if "paid" in reply else None


def together(usage: Usage | None, more: Usage) -> Usage | None:
    """What a judge was paid, and more of it; None where nobody was asked."""
    return (usage or Usage()) + more if more else usage


def _out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
