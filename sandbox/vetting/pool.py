"""VetPool: long-lived vetting processes, for programs that must not load torch, be blocked or crash because of a bad loss.

Each worker is a trusted process with torch (one thread) and a zygote of its own. Workers read requests until their input ends, so
they end with the process that owns the pool, however that ends.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sandbox.contracts.argument_names import check_arguments
from sandbox.contracts.contract import ContractError, adopt, contract_named
from sandbox.contracts.references import BrokenReference
from sandbox.graph.loss_graph import LossGraph, VerifiedGraph
from sandbox.identity.relation import Relation
from sandbox.identity.sameness import Sameness
from sandbox.verdicts.render import plain
from sandbox.verdicts.unavailable import NO_TORCH, SandboxUnavailable
from sandbox.verdicts.verdict import Verdict, VerdictStatus
from sandbox.vetting.path import in_the_way, search_path
from sandbox.vetting.process import Lost, WorkerProcess

if TYPE_CHECKING:
    from sandbox.vetting.vet import Vetter

_START = "import sys; sys.path[:] = sys.argv[2:]; from sandbox.vetting.pool import serve; serve(numeric=sys.argv[1] == 'numeric')"
_START_SECONDS = 120.0
_VET_SECONDS = 60.0


class PoolClosed(RuntimeError):
    """The pool was used outside of its `with` block."""


class WorkerFailed(RuntimeError):
    """A vetting process could not be started (the message has the last line of its error output), or it reports that the
    sandbox or the contract cannot be used here."""


class VetPool:
    """A fixed number of vetting processes. Use in a `with`; `vet` and `vet_graph` may be called from any thread.

    with VetPool(workers=2) as pool:
        verdict = pool.vet(source)
    """

    def __init__(
        self,
        workers: int = 1,
        contract: str = "preference",
        *,
        numeric: bool = True,
        accept_missing: Iterable[str] = (),
        arguments: Sequence[str] = (),
    ) -> None:
        terms = contract_named(contract)
        check_arguments(terms, arguments)
        if workers < 1:
            raise ValueError(f"a pool needs at least one worker, got {workers}")
        self._terms = terms.to_json()
        self._options = {
            "contract": contract,
            "numeric": numeric,
            "accept_missing": sorted(accept_missing),
            "arguments": list(arguments),
        }
        self._workers = [_process(numeric) for _ in range(workers)]
        self._idle: queue.Queue[WorkerProcess] = queue.Queue()
        self._open = False

    def __enter__(self) -> VetPool:
        for worker in self._workers:
            worker.start()
            self._idle.put(worker)
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all workers at once, even while they are vetting."""
        self._open = False
        for worker in self._workers:
            worker.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return tuple(w.pid for w in self._workers if w.pid is not None)

    def vet(self, source: str | bytes) -> Verdict:
        """Vet the source of one loss; waits for a free worker. Raises PoolClosed, WorkerFailed."""
        from sandbox.vetting.vet import readable

        text = readable(source)
        if not isinstance(text, str):
            return Verdict(VerdictStatus.REFUSED, (text,), str(self._options["contract"]))
        return self._judge({"source": text, **self._options})

    def vet_graph(self, graph: LossGraph | str | bytes) -> Verdict:
        """Vet a loss that is given as a graph. Raises PoolClosed, WorkerFailed."""
        if isinstance(graph, LossGraph):
            graph = graph.to_json()
        text = graph if isinstance(graph, str) else graph.decode("utf-8", "replace")
        return self._judge({"graph": text, "numeric": self._options["numeric"]})

    def same_loss(self, a: VerifiedGraph, b: VerifiedGraph) -> Sameness:
        """Whether two losses train identically, compared at fresh points; not the same if the comparison fails.

        The result has `same`, `difference` and `message` only. Raises PoolClosed, WorkerFailed.
        """
        try:
            reply = self._ask({"same": [a.to_json(), b.to_json()]})
        except Lost:
            return Sameness(False, None, message="the comparison did not finish", difference=math.inf)
        difference = math.inf if reply["difference"] is None else float(reply["difference"])
        same = bool(reply["same"])
        return Sameness(same, "exact" if same else None, message=str(reply["message"]), difference=difference)

    def nearest_known(self, graph: VerifiedGraph, beta: float | None = None) -> Relation | None:
        """How a loss relates to the known losses at a beta; see `sandbox.identity.nearest`. None if the comparison fails.

        Raises PoolClosed, WorkerFailed.
        """
        try:
            return Relation.from_json(self._ask({"nearest": graph.to_json(), "beta": beta}))
        except Lost:
            return None

    def _check_open(self) -> None:
        if not self._open:
            raise PoolClosed("the pool is not open: use it as `with VetPool() as pool:`")

    def _judge(self, request: dict[str, Any]) -> Verdict:
        contract = str(self._options["contract"])
        try:
            return Verdict.from_json(self._ask(request))
        except Lost as lost:
            return Verdict(VerdictStatus.REFUSED, (plain("SBX240" if lost.timed_out else "SBX247"),), contract)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply of a free worker. A worker that dies is replaced and the request tried once more. Raises Lost."""
        self._check_open()
        request = {"terms": self._terms, **request}
        worker = self._idle.get()
        try:
            self._check_open()
            for attempt in range(2):
                try:
                    return _checked(worker.ask(request, _VET_SECONDS))
                except Lost as lost:
                    if not self._open:
                        raise PoolClosed("the pool was closed while it was vetting") from None
                    if not lost.ready:
                        raise _not_started(lost.stderr) from None
                    if attempt or lost.timed_out:
                        raise
                except OSError as error:
                    raise WorkerFailed(f"a vetting process did not start: {error}") from None
            raise AssertionError("unreachable")
        finally:
            self._idle.put(worker)


def _process(numeric: bool) -> WorkerProcess:
    command = [sys.executable, "-I", "-c", _START, "numeric" if numeric else "plain", *search_path()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return WorkerProcess(command, environment, _START_SECONDS)


def _checked(reply: dict[str, Any]) -> dict[str, Any]:
    if "error" in reply:
        raise WorkerFailed(str(reply["error"]))
    return reply


def _not_started(stderr: str) -> Exception:
    said = (stderr.splitlines() or ["no message"])[-1]
    if why := in_the_way(stderr):
        return WorkerFailed(f"a vetting process did not start: {said}; {why}")
    if "No module named 'torch'" in said:
        return SandboxUnavailable(NO_TORCH)
    return WorkerFailed(f"a vetting process did not start: {said}")


def serve(*, numeric: bool) -> None:
    """The worker's side: answer requests until its input ends."""
    from sandbox.vetting import serving
    from sandbox.vetting.vet import Vetter

    replies = serving.take_over()
    # Before torch, which takes seconds to load: from here on the end of the input ends this process.
    requests = serving.requests()
    if numeric:
        import torch

        torch.set_num_threads(1)
    serving.send(replies, {"ready": True})
    with Vetter() as vetter:
        while True:
            request = json.loads(requests.get())
            try:
                reply = _answered(vetter, request)
            except (SandboxUnavailable, ContractError, BrokenReference) as error:
                reply = {"error": str(error)}
            serving.send(replies, reply)


def _answered(vetter: Vetter, request: dict[str, Any]) -> dict[str, Any]:
    adopt(request["terms"])  # the contract may be of a package, or of the caller
    if "same" in request:
        from sandbox.identity.compare import same_loss

        found = same_loss(*map(VerifiedGraph.from_json, request["same"]))
        difference = found.difference if math.isfinite(found.difference) else None
        return {"same": found.same, "difference": difference, "message": found.message}
    if "nearest" in request:
        from sandbox.identity.nearest import nearest_known

        relation = nearest_known(VerifiedGraph.from_json(request["nearest"]), request["beta"])
        return relation.to_json() if relation else {}
    if "graph" in request:
        return vetter.vet_graph(request["graph"], numeric=request["numeric"]).to_json()
    return vetter.vet(
        request["source"],
        request["contract"],
        numeric=request["numeric"],
        accept_missing=request["accept_missing"],
        arguments=request["arguments"],
    ).to_json()
