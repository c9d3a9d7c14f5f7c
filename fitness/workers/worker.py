"""Worker process: holds a task's model and data, and scores one graph after another.

    python -m fitness.workers.worker --task sentiment --options '{"beta": 0.1}' --threads 1

The protocol is JSON, one object per line: requests on stdin, replies on the stdout that the process was started with.

    first reply  {"state": "ready", "task", "pid", "seconds", "notes": [...],
                  "judged": number of item groups in the final's evaluation, or null}
                 or {"state": "failed", "reason", "detail"} if the task cannot be prepared; then it exits with status 3
    request      {"id", "graph": "...", "rung", "seed", "beta": optional, "learning_rate": optional}
                 with "margins": true, the task's `pair_margins` is called instead of `score_seed`, and
                 the reply is {"id", "state": "margins", "margins": [nats, ...]}, or a failure
                 with "save": folder, the task's `save_policy` is called, with a graph that may be null (the
                 untrained policy), and the reply is {"id", "state": "saved"}, or a failure
    reply        {"id", "state": "scored", "fitness", "metrics", "seconds", "tokens", "steps", "seed",
                  "items": null or {"values", "groups"}, "curves": {name: [[step, value], ...]}}
                 or {"id", "state": "failed", "reason", "detail", "curves": if any}

If a judge was called, each reply also has "paid", its usage: [prompt tokens, reply tokens, USD or null]. Any reply may have
"warnings", sentences for the user.

The worker is a trust boundary: it verifies every graph it receives. Anything that is printed goes to stderr, so no library can
corrupt the replies. An unexpected exception ends the process with its traceback on stderr: a fresh worker is safer than one in
an unknown state. The worker ends when its stdin ends or, on Linux, when its parent does. It ignores SIGINT, which is for its
parent.

A launcher (`accelerate launch`, `torchrun`) starts one process per rank, and the group acts as one worker: the first rank reads
requests, sends replies, and passes each request on to the other ranks.
"""

import argparse
import ctypes
import gc
import json
import logging
import math
import os
import queue
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fitness.chat.costs import Usage
from fitness.score import is_out_of_memory
from fitness.task import EvaluationFailed, FailureReason, SeedResult, Task, TaskError
from fitness.task.record import TaskRecord
from fitness.task.registry import task_record
from fitness.training.curves import to_json
from sandbox.vetting import serving
from sandbox.vetting.path import in_the_way

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import VerifiedGraph

EXIT_NOT_PREPARED = 3
EXIT_OUT_OF_MEMORY = 4
PR_SET_PDEATHSIG = 1
LONGEST_DETAIL = 2000  # characters


def main() -> None:
    replies = serving.take_over()
    _die_with_parent()
    arguments = _arguments()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # read by torch when it is imported
    warnings = _Warnings()
    logging.getLogger("fitness").addHandler(warnings)
    talks = int(os.environ.get("RANK", "0")) == 0
    requests = serving.requests() if talks else None

    started = time.perf_counter()
    record = task_record(arguments.task)
    task = record.make(json.loads(arguments.options))
    try:
        task.prepare()
    except Exception as error:
        if not isinstance(error, EvaluationFailed):
            traceback.print_exc()
            why = in_the_way(traceback.format_exc())
            message = f"the task cannot be prepared: {_cause(record, error)}" + (f"; {why}" if why else "")
            error = EvaluationFailed(FailureReason.BAD_DATA, message)
        if talks:
            serving.send(replies, _failed(error) | warnings.taken())
        sys.exit(EXIT_NOT_PREPARED)
    # Everything loaded so far stays until the end, so the garbage collector can skip it after every training (0.3 s).
    gc.collect()
    gc.freeze()
    if talks:
        seconds = round(time.perf_counter() - started, 3)
        serving.send(
            replies,
            {
                "state": "ready",
                "task": arguments.task,
                "pid": os.getpid(),
                "seconds": seconds,
                "notes": list(getattr(task, "notes", ())),
                "judged": getattr(task, "judged", None),
                **_paid(getattr(task, "paid", None)),
                **warnings.taken(),
            },
        )
    grouped = int(os.environ.get("WORLD_SIZE", "1")) > 1
    next_request = _shared(requests) if grouped or requests is None else requests.get
    while True:
        try:
            reply = answer(task, json.loads(next_request()))
        except Exception as error:
            if broken := record.broken("score_seed", error):
                raise broken from None
            raise
        _return_memory()
        if talks:
            serving.send(replies, reply | warnings.taken())
        if grouped and reply.get("reason") == FailureReason.OUT_OF_MEMORY:
            # The other ranks may wait for this one in the middle of a step. The launcher ends them when this process ends.
            print(reply["detail"], file=sys.stderr, flush=True)
            os._exit(EXIT_OUT_OF_MEMORY)


class _Warnings(logging.Handler):
    """Collects warnings that are logged in this process, to send them with the next reply."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep its message."""
        self._lines.append(record.getMessage())

    def taken(self) -> dict[str, Any]:
        """The warnings since the last call, as part of a reply."""
        lines, self._lines = self._lines, []
        return {"warnings": lines} if lines else {}


def answer(task: Task, request: Mapping[str, Any]) -> dict[str, Any]:
    """The reply to one request. Unexpected exceptions propagate."""
    part = "pair_margins" if request.get("margins") else "save_policy" if request.get("save") else "score_seed"
    asked = getattr(task, part, None)
    if asked is None:
        raise TypeError(f"{type(task).__name__} has no method {part}")
    try:
        untrained = part == "save_policy" and request["graph"] is None
        graph = None if untrained else _verified(request["graph"])
        place = [request["save"]] if part == "save_policy" else []
        tuning = {"beta": request.get("beta"), "learning_rate": request.get("learning_rate")}
        result: Any = asked(graph, request["rung"], int(request["seed"]), *place, **tuning)
    except EvaluationFailed as failure:
        return {"id": request["id"], **_failed(failure)}
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _release_memory()
        return {"id": request["id"], **_failed(EvaluationFailed(FailureReason.OUT_OF_MEMORY, str(error)))}
    if part == "save_policy":
        return {"id": request["id"], "state": "saved"}
    if part == "pair_margins":
        return {"id": request["id"], "state": "margins", "margins": [float(margin) for margin in result]}
    if not isinstance(result, SeedResult):
        raise TypeError(f"expected a fitness.task.SeedResult, got {type(result).__name__}")
    for name, value in {"fitness": result.fitness, **result.metrics}.items():
        if not isinstance(value, float | int):
            raise TypeError(f"{name}: expected a float in the SeedResult, got {type(value).__name__}")
        if not math.isfinite(value):
            remedy = "raise EvaluationFailed" if name == "fitness" else "leave it out"
            raise ValueError(
                f"{name}: expected a finite number in the SeedResult, got {value}: {remedy} if there is none"
            )
    return {
        "id": request["id"],
        "state": "scored",
        "fitness": result.fitness,
        "metrics": dict(result.metrics),
        "seconds": result.seconds,
        "tokens": result.tokens,
        "steps": result.steps,
        "seed": result.seed,
        "items": None if result.items is None else {"values": result.items.values, "groups": result.items.groups},
        **_paid(result.paid),
        "curves": to_json(result.curves),
    }


def _verified(text: str) -> "VerifiedGraph":
    from sandbox.graph.loss_graph import VerifiedGraph
    from sandbox.graph.nodes import GraphError

    try:
        return VerifiedGraph.from_json(text)
    except GraphError as error:
        raise EvaluationFailed(FailureReason.UNSUPPORTED_LOSS, f"{error.code}: {error.message}") from error


def _failed(failure: EvaluationFailed) -> dict[str, Any]:
    reply = {"state": "failed", "reason": failure.reason.value, "detail": failure.detail[:LONGEST_DETAIL]}
    return reply | ({"curves": to_json(failure.curves)} if failure.curves else {}) | _paid(failure.paid)


def _paid(usage: Usage | None) -> dict[str, Any]:
    return {} if usage is None else {"paid": [usage.tokens_in, usage.tokens_out, usage.usd]}


def _cause(record: TaskRecord, error: Exception) -> str:
    broken = None if is_out_of_memory(error) else record.broken("prepare", error)
    return str(broken) if broken else _described(error)


def _described(error: Exception) -> str:
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"memory ran out ({said}): free memory, or set fewer workers" if is_out_of_memory(error) else said


def _release_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _return_memory() -> None:
    """Return freed memory to the system: fragmentation alone adds 180 MB in 240 evaluations of the embedded task."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _shared(requests: "queue.SimpleQueue[str] | None") -> Callable[[], str]:
    """A function that returns the next request on every rank of the launch group."""
    from accelerate import PartialState
    from torch import distributed

    PartialState()  # joins the process group, if the task has not
    # A separate process group with a long timeout: a long wait for the next request is not a hang.
    group = distributed.new_group(backend="gloo", timeout=timedelta(days=30))

    def next_request() -> str:
        line = ["" if requests is None else requests.get()]
        distributed.broadcast_object_list(line, src=0, group=group)
        return line[0]

    return next_request


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fitness.workers.worker", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--task", required=True, help="name of the task")
    parser.add_argument("--options", default="{}", help="options of the task, a JSON object (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except TaskError as error:
        sys.exit(f"fitness.workers.worker: {error}")
