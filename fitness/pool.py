"""Worker processes for one task, restarted when they die: `WorkerPool` for asyncio, `score_all` for scripts.

A worker that dies, hangs or is killed for memory costs one more try of the request that it held, in a fresh process.
A second time fails the request with what is known: exit status or signal, and the end of stderr. An evaluation that fails
by itself (diverged, collapsed ...) is not tried again: the same seed would fail again.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fitness.costs import Usage
from fitness.curves import from_json
from fitness.devices import share_gpus, visible_gpus
from fitness.score import ItemScores
from fitness.task import EvaluationFailed, FailureReason, SeedResult, TaskError, TaskInfo, task_info

if TYPE_CHECKING:
    from sandbox.graph import LossGraph

PATIENCE = 20.0  # times a rung's estimate before a worker counts as hung ...
LEAST_SECONDS = 120.0  # ... but never less than this
CLOSE_SECONDS = 5.0  # from the end of stdin to SIGKILL
TAIL_BYTES = 4000  # of stderr, for the report of a death
LONGEST_LINE = 1 << 24  # bytes of one reply
TRIES = 2

# -P keeps the current directory off sys.path: a stray dataclasses.py there would be imported.
DEFAULT_LAUNCHER = (sys.executable, "-P")


class WorkerPool:
    """`workers` launch groups of one task; an async context manager. `score` may be awaited by many tasks at once.

    `launcher` is the command that runs a Python module, `-m fitness.worker ...` is appended: for example
    ("accelerate", "launch", "--num_processes", "2") or ("srun", "python", "-P"). GPUs are shared out among the workers.
    `timeout` bounds one evaluation in seconds; by default 20 times the rung's estimate, and at least two minutes.

    Raises TaskError for an unknown task, wrong options, or a launcher that is no command.
    """

    def __init__(
        self,
        task: str,
        options: Mapping[str, Any] | None = None,
        workers: int = 1,
        *,
        launcher: Sequence[str] = DEFAULT_LAUNCHER,
        threads: int = 1,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"a pool needs at least one worker, got {workers}")
        self.info: TaskInfo = task_info(task, options)
        command = [
            _program(launcher[0]), *launcher[1:], "-m", "fitness.worker",
            "--task", task, "--options", json.dumps(dict(options or {})), "--threads", str(threads),
        ]  # fmt: skip
        variables = _environment(threads, self.info.offline) | dict(environment or {})
        shares = share_gpus(visible_gpus(variables), workers, grouped=tuple(launcher) != DEFAULT_LAUNCHER)
        self._timeout = timeout
        start = self.info.preparation_seconds
        self._workers = [_Worker(command, variables | _only(gpus), start) for gpus in shares]
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._open = False

    async def __aenter__(self) -> Self:
        """Start the workers; they prepare while this returns, and the first requests wait for them."""
        try:
            for worker in self._workers:
                await worker.start()
                self._idle.put_nowait(worker)
        except BaseException:
            await self.close()
            raise
        self._open = True
        return self

    async def ready(self) -> tuple[str, ...]:
        """Wait until a worker has loaded model and data: what makes the task unusable is known then, and charged to no loss.

        Returns the task's notes on what it has loaded. Raises EvaluationFailed("bad_data") with the reason.
        """
        worker = await self._idle.get()
        try:
            await worker.ready()
            return worker.notes
        finally:
            self._idle.put_nowait(worker)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all workers: politely when idle, at once when busy. No process of theirs stays."""
        self._open = False
        await asyncio.gather(*(worker.close() for worker in self._workers))

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    @property
    def busy(self) -> int:
        """How many of them prepare or train now."""
        return len(self._workers) - self._idle.qsize() if self._open else 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the libraries that the workers run, once one has been ready."""
        return next((worker.versions for worker in self._workers if worker.versions), {})

    @property
    def judged(self) -> int | None:
        """How many groups of items finals are judged on: as a worker has found them once it was ready, else at most so many."""
        found = [worker.judged for worker in self._workers if worker.judged is not None]
        return found[0] if found else self.info.judged

    async def score(
        self,
        graph: "LossGraph | str",
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> SeedResult:
        """Train and measure one graph with one seed.

        Raises EvaluationFailed; TaskError for an unknown rung; RuntimeError when the pool is not open.
        """
        if not self._open:
            raise RuntimeError("the pool is not open: use it as `async with WorkerPool(...) as pool`")
        limit = self._timeout or max(LEAST_SECONDS, PATIENCE * self.info.rung(rung).estimated_seconds)
        text = graph if isinstance(graph, str) else graph.to_json()
        request = {"graph": text, "rung": rung, "seed": seed, "beta": beta, "learning_rate": learning_rate}
        lost = Usage()  # what a judge may have been paid in tries that brought no answer: nobody knows, so the most
        for tries_left in reversed(range(TRIES)):
            worker = await self._idle.get()
            try:
                result = await worker.score(request, limit)
                return replace(result, paid=_together(result.paid, lost))
            except EvaluationFailed as failure:
                if isinstance(failure, _WorkerLost) and failure.reason is not FailureReason.BAD_DATA:
                    lost += self.info.judging(rung)
                lost += failure.paid or Usage()
                if not (isinstance(failure, _WorkerLost) and tries_left):
                    failure.paid = lost or failure.paid
                    raise
            finally:
                self._idle.put_nowait(worker)
        raise AssertionError("unreachable")


def score_all(
    task: str,
    requests: Iterable[tuple["LossGraph | str", str, int]],
    options: Mapping[str, Any] | None = None,
    workers: int = 1,
    **pool_options: Any,
) -> list[SeedResult | EvaluationFailed]:
    """Score (graph, rung, seed) triples with a pool of their own; results in the order of the requests. For scripts."""

    async def run() -> list[SeedResult | EvaluationFailed]:
        async def one(graph: "LossGraph | str", rung: str, seed: int) -> SeedResult | EvaluationFailed:
            try:
                return await pool.score(graph, rung, seed)
            except EvaluationFailed as failure:
                return failure

        async with WorkerPool(task, options, workers, **pool_options) as pool:
            return list(await asyncio.gather(*(one(*request) for request in requests)))

    return asyncio.run(run())


class _WorkerLost(EvaluationFailed):
    """The process ended or had to be ended, which need not be the candidate's fault; before it was ready it cannot be, and the
    reason is bad_data."""


class _Worker:
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
        """Raises EvaluationFailed; _WorkerLost, with the process gone, when it gave no answer within `limit` seconds."""
        if self._closed:
            raise self._post_mortem(_out_of_memory_kills())
        await self.ready()
        owed, self._owed = self._owed, Usage()
        try:
            result = await self._scored(request, limit)
        except EvaluationFailed as failure:
            failure.paid = _together(failure.paid, owed)
            raise
        return replace(result, paid=_together(result.paid, owed))

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
            raise _WorkerLost(FailureReason.WORKER_DIED, f"the worker's answer is not as agreed: {error}") from None

    async def close(self) -> None:
        """End the process for good: at the end of stdin it goes by itself, also in the middle of a training."""
        self._closed = True
        await self._kill(grace=CLOSE_SECONDS)

    async def _answer(self, limit: float, request: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The reply to `request`, or the first one of all. Raises EvaluationFailed; _WorkerLost with the process gone."""
        kills = _out_of_memory_kills()
        try:
            if request is not None:
                await self._send(request)
            reply = await self._receive(limit)
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

    def _post_mortem(self, kills_before: int) -> "_WorkerLost":
        if self._closed:
            return _WorkerLost(FailureReason.WORKER_DIED, "the pool was closed")
        status = self._exit_status
        how = f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
        reason = FailureReason.WORKER_DIED
        if status == -signal.SIGKILL and _out_of_memory_kills() > kills_before:
            reason, how = FailureReason.OUT_OF_MEMORY, f"{how}, by the kernel for want of memory"
        if not self._ready:
            reason, how = FailureReason.BAD_DATA, f"a worker ended before it was ready: {how}"
        return _WorkerLost(reason, f"{how}{self._said()}")

    def _too_late(self, limit: float) -> "_WorkerLost":
        if not self._ready:
            return _WorkerLost(FailureReason.BAD_DATA, f"a worker was not ready within {limit:g} s{self._said()}")
        return _WorkerLost(
            FailureReason.TIMEOUT,
            f"no answer within {limit:g} s, so it counts as hung: if trainings take that long here, set timeout_seconds, or "
            f"fitness.seconds_per_step to what a step takes where the task has it{self._said()}",
        )

    def _said(self) -> str:
        text = self._tail.decode("utf-8", "replace").strip()
        return f"; the end of its stderr:\n{text}" if text else ""


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


def _together(usage: Usage | None, more: Usage) -> Usage | None:
    return (usage or Usage()) + more if more else usage


def _program(name: str) -> str:
    """The launcher's command: on PATH, or beside this interpreter, whose environment need not be activated."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=beside)
    if found is None:
        raise TaskError(
            f"the launcher {name!r} is no command on PATH or in {beside}: install it, or give its full path in launcher"
        )
    return found


def _environment(threads: int, offline: bool) -> dict[str, str]:
    """The parent's variables, with one thread each for every library that would take all cores."""
    root = str(Path(__file__).resolve().parent.parent)
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        variables[name] = str(threads)
    variables["TOKENIZERS_PARALLELISM"] = "false"
    variables["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if offline:
        variables["HF_HUB_OFFLINE"] = variables["HF_DATASETS_OFFLINE"] = "1"
    return variables


def _only(gpus: list[str] | None) -> dict[str, str]:
    return {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}


def _out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
