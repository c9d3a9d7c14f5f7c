"""Pool of worker processes for one task: `WorkerPool` for asyncio, `score_all` for scripts.

If a worker dies, hangs or is killed for lack of memory, its request is tried once more in a fresh process. A second loss fails
the request and reports the exit status or signal and the end of stderr. An evaluation that fails by itself (diverged,
collapsed ...) is not tried again: the same seed would fail again.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fitness.chat.costs import Usage
from fitness.task import EvaluationFailed, FailureReason, SeedResult, TaskError, TaskInfo, task_info
from fitness.workers.devices import share_gpus, visible_gpus
from fitness.workers.free import FreeWorkers
from fitness.workers.outer_launch import note_on_dropped, without_outer_launch
from fitness.workers.process import TaskWorker, WorkerLost, sum_usage

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import LossGraph

PATIENCE = 20.0  # times a rung's estimate before a worker counts as hung ...
LEAST_SECONDS = 120.0  # ... but never less than this
TRIES = 2
Result = TypeVar("Result")

# -P keeps the current directory off sys.path: a stray dataclasses.py there would be imported.
DEFAULT_LAUNCHER = (sys.executable, "-P")


class WorkerPool:
    """`workers` launch groups of one task; an async context manager. `score` may be awaited by many tasks at once.

    `launcher` is the command that runs a Python module; `-m fitness.workers.worker ...` is appended. Examples:
    ("accelerate", "launch", "--num_processes", "2") or ("srun", "python", "-P"). The GPUs are divided among the workers.
    Variables that describe another launch (RANK, WORLD_SIZE ...) are not passed to the workers; those in `environment` are.
    `timeout` is the limit of one evaluation in seconds; by default 20 times the rung's estimate, at least two minutes.

    Raises TaskError for an unknown task, invalid options, or a launcher that is not a command.
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
            _program(launcher[0]), *launcher[1:], "-m", "fitness.workers.worker",
            "--task", task, "--options", json.dumps(dict(options or {})), "--threads", str(threads),
        ]  # fmt: skip
        grouped = tuple(launcher) != DEFAULT_LAUNCHER
        inherited, dropped = without_outer_launch(os.environ, grouped=grouped)
        self._note = note_on_dropped(dropped)
        variables = _environment(inherited, threads, self.info.offline) | dict(environment or {})
        shares = share_gpus(visible_gpus(variables), workers, grouped=grouped)
        self._timeout = timeout
        start = self.info.preparation_seconds
        # Three threads per worker: one waits for its reply, one kills the process, one closes it. They live as long as this pool.
        waiting = ThreadPoolExecutor(3 * workers, "worker")
        self._workers = [TaskWorker(command, variables | _only(gpus), start, waiting) for gpus in shares]
        self._free = FreeWorkers()
        self._open = False

    async def __aenter__(self) -> Self:
        """Start the workers. Returns before they are ready; the first requests wait for them."""
        try:
            for worker in self._workers:
                worker.start()
            self._free = FreeWorkers(self._workers)
        except BaseException:
            await self.close()
            raise
        self._open = True
        return self

    async def ready(self) -> tuple[str, ...]:
        """Wait until one worker has loaded model and data. So an unusable task fails here, and not as the failure of a loss.

        Returns notes on the start of the workers and the task's own notes. Raises EvaluationFailed("bad_data") with the reason.
        """
        worker = await self._free.take()
        try:
            await worker.ready()
            return (*filter(None, [self._note]), *worker.notes)
        finally:
            self._free.give_back(worker)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all workers: their stdin is closed, and what still runs after a few seconds is killed. No process remains."""
        self._open = False
        await asyncio.gather(*(worker.close() for worker in self._workers))

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self._workers)

    @property
    def busy(self) -> int:
        """Number of workers that prepare or train now."""
        return len(self._workers) - len(self._free) if self._open else 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def judged(self) -> int | None:
        """Number of item groups in the final's evaluation: exact once a worker is ready, before that an upper bound."""
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
        text = graph if isinstance(graph, str) else graph.to_json()
        request = {"graph": text, "rung": rung, "seed": seed, "beta": beta, "learning_rate": learning_rate}
        result, lost = await self._tried(TaskWorker.score, request, rung)
        return replace(result, paid=sum_usage(result.paid, lost))

    async def pair_margins(
        self, graph: "LossGraph", rung: str, seed: int, *, beta: float | None = None
    ) -> tuple[float, ...]:
        """Train one graph with one seed, and return the margins of the training pairs, in nats. Nothing is judged.

        Only for tasks that have a method `pair_margins`. Raises like `score`.
        """
        request = {"graph": graph.to_json(), "rung": rung, "seed": seed, "beta": beta}
        margins, _ = await self._tried(TaskWorker.pair_margins, request, rung)
        return margins

    async def save_policy(
        self, graph: "LossGraph | None", rung: str, seed: int, folder: Path, *, beta: float | None = None
    ) -> None:
        """Train one graph with one seed, and save the policy to `folder`; without a graph the untrained policy.

        Only for tasks that have a method `save_policy`. After an error, the folder may hold part of a policy. Raises like `score`.
        """
        text = None if graph is None else graph.to_json()
        request = {"graph": text, "rung": rung, "seed": seed, "beta": beta, "save": os.path.abspath(folder)}
        await self._tried(TaskWorker.save_policy, request, rung)

    async def _tried(
        self,
        ask: Callable[[TaskWorker, Mapping[str, Any], float], Awaitable[Result]],
        request: Mapping[str, Any],
        rung: str,
    ) -> tuple[Result, Usage]:
        """The result of a request, which is tried again if a worker is lost; a judge's usage in tries without an answer."""
        if not self._open:
            raise RuntimeError("the pool is not open: use it as `async with WorkerPool(...) as pool`")
        limit = self._timeout or max(LEAST_SECONDS, PATIENCE * self.info.rung(rung).estimated_seconds)
        lost = Usage()  # a judge's usage in tries without an answer: unknown, so the upper bound is counted
        for tries_left in reversed(range(TRIES)):
            worker = await self._free.take(request["seed"])
            try:
                return await ask(worker, request, limit), lost
            except EvaluationFailed as failure:
                if isinstance(failure, WorkerLost) and failure.reason is not FailureReason.BAD_DATA:
                    lost += self.info.judging(rung)
                lost += failure.paid or Usage()
                if not (isinstance(failure, WorkerLost) and tries_left):
                    failure.paid = lost or failure.paid
                    raise
            finally:
                self._free.give_back(worker)
        raise AssertionError("unreachable")


def score_all(
    task: str,
    requests: Iterable[tuple["LossGraph | str", str, int]],
    options: Mapping[str, Any] | None = None,
    workers: int = 1,
    **pool_options: Any,
) -> list[SeedResult | EvaluationFailed]:
    """Score (graph, rung, seed) triples with a new pool; results in the order of the requests. For scripts."""

    async def run() -> list[SeedResult | EvaluationFailed]:
        async def one(graph: "LossGraph | str", rung: str, seed: int) -> SeedResult | EvaluationFailed:
            try:
                return await pool.score(graph, rung, seed)
            except EvaluationFailed as failure:
                return failure

        async with WorkerPool(task, options, workers, **pool_options) as pool:
            return list(await asyncio.gather(*(one(*request) for request in requests)))

    return asyncio.run(run())


def _program(name: str) -> str:
    """Path of the launcher's command: on PATH, or next to this interpreter (whose environment may not be activated)."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=beside)
    if found is None:
        raise TaskError(
            f"the launcher {name!r} is not a command on PATH or in {beside}: install it, or give its full path in launcher"
        )
    return found


def _environment(inherited: Mapping[str, str], threads: int, offline: bool) -> dict[str, str]:
    """A worker's environment: the parent's variables, with `threads` threads for libraries that would use all cores."""
    root = str(Path(__file__).resolve().parents[2])
    variables = dict(inherited)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (root, inherited.get("PYTHONPATH"))))
    variables["PYTHONSAFEPATH"] = "1"  # as -P, for every Python that a launcher starts
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        variables[name] = str(threads)
    variables["PYTHONUTF8"], variables["PYTHONIOENCODING"] = "1", "utf-8"  # independent of this process's terminal
    variables["TOKENIZERS_PARALLELISM"] = "false"
    variables["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if offline:
        variables["HF_HUB_OFFLINE"] = variables["HF_DATASETS_OFFLINE"] = "1"
    return variables


def _only(gpus: list[str] | None) -> dict[str, str]:
    return {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
