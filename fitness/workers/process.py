"""One worker process of a task's pool: its replies as scores or failures, and reports on lost processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fitness.chat.costs import Usage
from fitness.score import ItemScores
from fitness.task.protocol import EvaluationFailed, FailureReason, SeedResult
from fitness.training.curves import from_json
from sandbox.vetting.path import in_the_way
from sandbox.vetting.process import CLOSE_SECONDS, Lost, WorkerProcess, ended

logger = logging.getLogger(__name__)

TAIL_CHARACTERS = 4000  # of stderr, for the report on a lost process
Result = TypeVar("Result")

_LAST_EXCEPTION = re.compile(
    r"^(?:\[rank\d+\]: )?((?!\S*(?:ChildFailedError|CalledProcessError))[A-Za-z_][\w.]*(?:Error|Exception)\b.*"
    r"|fitness\.workers\.worker: .+)$",
    re.MULTILINE,
)
"""The last line of a traceback, or a worker's own last line, which names a part of a task that failed. Launchers' own exceptions
are excluded: they say only that a process failed."""


class WorkerLost(EvaluationFailed):
    """The process ended or was killed, which may not be the candidate's fault.

    Before the process was ready the candidate cannot be at fault, and the reason is bad_data.
    """


class TaskWorker:
    """One launch group of a task; serves one request at a time. Blocking waits run in `threads`, not in the event loop."""

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], start_seconds: float, threads: Executor
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self.judged: int | None = None
        self._process = WorkerProcess(command, variables, start_seconds)
        self._start_seconds = start_seconds
        self._threads = threads
        self._greeted: object = None
        self._requests = 0
        self._owed = Usage()  # a judge's usage for the availability check; charged to the first training
        self._closed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def start(self) -> None:
        """Start the process. The first request waits until it is ready."""
        self._process.start()

    async def ready(self) -> None:
        """Start the process if it does not run, and wait for its first reply. Raises EvaluationFailed."""
        reply: Mapping[str, Any] = await self._until_reply_or_loss(self._process.ready, self._start_seconds)
        if reply is self._greeted:
            return
        self._greeted = reply
        _warn(reply)
        if reply["state"] == "failed":  # the task cannot be prepared; the process has ended or is about to
            await self._in_thread(self._process.end)
        _checked(reply)
        self._owed += _paid(reply) or Usage()
        self.notes = tuple(reply.get("notes", ()))
        judged = reply.get("judged")
        self.judged = judged if isinstance(judged, int) else None

    async def score(self, request: Mapping[str, Any], limit: float) -> SeedResult:
        """The result of one request. Raises EvaluationFailed; WorkerLost, with the process gone, after `limit` seconds."""
        await self.ready()
        owed, self._owed = self._owed, Usage()
        try:
            result = await self._scored(request, limit)
        except EvaluationFailed as failure:
            failure.paid = sum_usage(failure.paid, owed)
            raise
        return replace(result, paid=sum_usage(result.paid, owed))

    async def pair_margins(self, request: Mapping[str, Any], limit: float) -> tuple[float, ...]:
        """Margins of the training pairs after a training, in nats. Raises EvaluationFailed, WorkerLost like `score`."""
        await self.ready()
        reply = await self._answer({**request, "margins": True}, limit)
        margins = reply.get("margins")
        if not isinstance(margins, list) or not all(isinstance(m, float) and math.isfinite(m) for m in margins):
            await self._in_thread(self._process.end)
            raise WorkerLost(
                FailureReason.WORKER_DIED, "the worker's answer is invalid: its margins are no finite numbers"
            )
        return tuple(margins)

    async def save_policy(self, request: Mapping[str, Any], limit: float) -> None:
        """Train and save the policy to the folder in `save`. Raises EvaluationFailed, WorkerLost like `score`."""
        await self.ready()
        await self._answer(request, limit)

    async def _answer(self, request: Mapping[str, Any], limit: float) -> Mapping[str, Any]:
        self._requests += 1
        numbered = {"id": self._requests, **request}
        reply: Mapping[str, Any] = await self._until_reply_or_loss(lambda: self._process.ask(numbered, limit), limit)
        _warn(reply)
        _checked(reply)
        return reply

    async def _scored(self, request: Mapping[str, Any], limit: float) -> SeedResult:
        reply = await self._answer(request, limit)
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
            await self._in_thread(self._process.end)
            raise WorkerLost(FailureReason.WORKER_DIED, f"the worker's answer is invalid: {error}") from None

    async def close(self) -> None:
        """End the process for good. It exits when its stdin ends, even in the middle of a training."""
        self._closed = True
        await self._in_thread(self._process.close, CLOSE_SECONDS)

    async def _until_reply_or_loss(self, wait: Callable[[], Result], limit: float) -> Result:
        """The value of `wait()`, which takes at most `limit` seconds. Raises WorkerLost, with the process gone."""
        kills = _out_of_memory_kills()
        try:
            return await self._in_thread(wait)
        except Lost as lost:
            raise self._report(lost, limit, kills) from None
        except asyncio.CancelledError:
            # The process works on a request whose result is not needed any more, so it is killed. Shielded: a second cancellation
            # must not interrupt this. `close` waits for it.
            await asyncio.shield(self._in_thread(self._process.end))
            raise

    def _in_thread(self, function: Callable[..., Result], *arguments: object) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _report(self, lost: Lost, limit: float, kills_before: int) -> WorkerLost:
        if self._closed:
            return WorkerLost(FailureReason.WORKER_DIED, "the pool was closed")
        stderr = lost.stderr[-TAIL_CHARACTERS:].strip()
        why = "" if lost.ready else in_the_way(lost.stderr)
        said = (f"; {why}" if why else "") + (f"; the end of its stderr:\n{stderr}" if stderr else "")
        if lost.timed_out and not lost.ready:
            return WorkerLost(FailureReason.BAD_DATA, f"a worker was not ready within {limit:g} s{said}")
        if lost.timed_out:
            return WorkerLost(
                FailureReason.TIMEOUT,
                f"no answer within {limit:g} s, so it counts as hung: if trainings take that long here, set timeout_seconds, or "
                f"fitness.seconds_per_step to what a step takes where the task has it{said}",
            )
        how, reason = ended(lost.status), FailureReason.WORKER_DIED
        raised = _LAST_EXCEPTION.findall(stderr)
        how += f": {raised[-1].removeprefix('fitness.workers.worker: ')}" if raised else ""
        if lost.status == -signal.SIGKILL and _out_of_memory_kills() > kills_before:
            reason, how = FailureReason.OUT_OF_MEMORY, f"{how}, by the kernel for lack of memory"
        if not lost.ready:
            reason, how = FailureReason.BAD_DATA, f"a worker ended before it was ready: {how}"
        return WorkerLost(reason, f"{how}{said}")


def _warn(reply: Mapping[str, Any]) -> None:
    for line in reply.get("warnings", ()):
        logger.warning("%s", line)


def _checked(reply: Mapping[str, Any]) -> None:
    if reply["state"] == "failed":
        raise EvaluationFailed(reply["reason"], reply["detail"], _paid(reply), from_json(reply.get("curves", {})))


def _items(found: Any) -> ItemScores | None:
    """The items of a reply. Raises ValueError unless they are null or an object with the lists values and groups."""
    if found is None:
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in ("values", "groups")):
        raise ValueError("its items are not an object with the lists values and groups")
    return ItemScores.of(found["values"], found["groups"])


def _paid(reply: Mapping[str, Any]) -> Usage | None:
    return Usage(*reply["paid"]) if "paid" in reply else None


def sum_usage(usage: Usage | None, more: Usage) -> Usage | None:
    """The sum of a judge's usages; None if no judge was called."""
    return (usage or Usage()) + more if more else usage


def _out_of_memory_kills() -> int:
    """Number of processes that the kernel killed for lack of memory since it started; 0 if it does not report this."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
