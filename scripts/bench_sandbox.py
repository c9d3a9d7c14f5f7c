#!/usr/bin/env python3
"""Benchmark of vetting, as one table; `--json` prints one object, `--quick` ends within a minute.

    floor       unguarded exec of the code with the same numeric tests, in this process: vetting without any safety
    one, two    full verdicts with 1 and 2 worker processes, over the benign corpus, and over benign and hostile mixed
    naive       a fresh Python with torch per candidate, which executes the code and checks one batch
    trace       static checks, tracer and jail without numeric tests; one-shot `check --no-numeric` of one file
    memory      of the isolated interpreter and of a pool of two

Ratios are medians of at least five alternating rounds in one run. Absolute times hold for this machine and its load only. Only the
benign corpus is executed here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
import torch
import torch.nn.functional as F
from bench_table import Figure, at_least, at_most, show

from sandbox import VetPool
from sandbox.execute import evaluate
from sandbox.execute.evaluate import FAILURES, CannotCompute, Evaluator, Points
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.compare import canonical_hash, fingerprint
from sandbox.numeric import run
from sandbox.vetting.vet import Vetter

ROOT = Path(__file__).resolve().parent.parent
CORPORA = ROOT / "tests" / "sandbox" / "corpora"
FLOOR_SHARE = 0.8
MIXED_RATE = 100.0
TIMES_NAIVE = 200.0
ZYGOTE_MB, POOL_MB = 60.0, 600.0
ONE_SHOT_SECONDS = 0.25

NAIVE = """
import sys, math, torch, torch.nn.functional as F
from types import SimpleNamespace
scope = {"torch": torch, "F": F, "math": math}
exec(sys.stdin.read(), scope)
f = scope["loss"]
x = [torch.randn(10).requires_grad_() for _ in range(4)]
me = f.__code__.co_varnames[0] == "self"
out = f(SimpleNamespace(beta=0.1, label_smoothing=0.0), *x) if me else f(*x, 0.1)
out.sum().backward()
assert out.shape == (10,) and torch.isfinite(out).all()
"""


# ---- the floor -------------------------------------------------------------------------------------------------------


class CodeEvaluator(Evaluator):
    """Evaluates the executed code instead of its graph, batch by batch. The graph only locates conditions."""

    def __init__(self, graph: VerifiedGraph, function: Callable[..., Any]) -> None:
        super().__init__(graph)
        self._function = function

    def _values(self, wanted: Sequence[int], points: Points, tensors: Sequence[Any]) -> Sequence[Any]:
        if tuple(wanted) != (self.graph.output,):
            return super()._values(wanted, points, tensors)
        try:
            losses = [
                self._function(*[t[span] for t in tensors], float(beta))
                for span, beta in zip(points.spans, points.rows[0], strict=True)
            ]
            return [torch.cat(losses)]
        except FAILURES as error:
            raise CannotCompute(str(error)) from None


def executed(code: str) -> Callable[..., Any]:
    """The loss as a function of four tensors and beta, by unguarded exec. For benign code only."""
    scope: dict[str, Any] = {"torch": torch, "F": F, "math": math}
    exec(code, scope)
    function = scope["loss"]
    if function.__code__.co_varnames[0] == "self":
        return lambda *a: function(SimpleNamespace(beta=a[4], label_smoothing=0.0), *a[:4])
    return lambda *a: function(*a)


def floor(code: str, graph: VerifiedGraph) -> None:
    """Vetting without safety: executes the code, then runs the numeric tests and computes hash and fingerprint."""
    evaluate._latest = CodeEvaluator(graph, executed(code))
    report = run.run(graph)
    canonical_hash(graph)
    if report.passed:
        fingerprint(graph)


# ---- figures ---------------------------------------------------------------------------------------------------------


def rates(rounds: int, benign: list[str], mixed: list[str]) -> dict[str, Figure]:
    """Candidates per second of the floor, of one worker and of two, alternating."""
    with Vetter() as vetter:
        verdicts = [vetter.vet(code, numeric=False) for code in benign]
    traced = [(code, v.graph) for code, v in zip(benign, verdicts, strict=True) if v.graph is not None]
    assert len(traced) == len(benign), "every benign loss can be traced"
    per_candidate: list[float] = []

    def timed(action: Callable[[], Any], count: int) -> float:
        started = time.perf_counter()
        action()
        return count / (time.perf_counter() - started)

    def floors(losses: Sequence[tuple[str, VerifiedGraph]]) -> None:
        for code, graph in losses:
            floor(code, graph)

    def each(pool: VetPool, codes: Sequence[str]) -> None:
        for code in codes:
            started = time.perf_counter()
            pool.vet(code)
            per_candidate.append(time.perf_counter() - started)

    found: dict[str, list[float]] = {"floor": [], "one": [], "mixed": [], "mixed_two": [], "naive": []}
    with VetPool(1) as one, VetPool(2) as two, ThreadPoolExecutor(2) as threads:
        for code in benign:  # warm-up
            one.vet(code)
        list(threads.map(two.vet, benign * 2))
        for code, graph in traced:
            floor(code, graph)
        for i in range(rounds):
            found["floor"].append(timed(lambda: floors(traced), len(traced)))
            found["one"].append(timed(lambda: [one.vet(c) for c in benign], len(benign)))
            found["mixed"].append(timed(lambda: each(one, mixed), len(mixed)))
            found["mixed_two"].append(timed(lambda: list(threads.map(two.vet, mixed)), len(mixed)))
            found["naive"].append(timed(lambda i=i: naive(benign[i % len(benign)]), 1))  # type: ignore[misc]
    share = median(a / b for a, b in zip(found["one"], found["floor"], strict=True))
    over_naive = median(a / b for a, b in zip(found["mixed_two"], found["naive"], strict=True))
    times = sorted(1e3 * t for t in per_candidate)
    note = f"{len(mixed)} candidates, {rounds} rounds"
    return {
        "floor_rate": Figure(median(found["floor"]), "1/s", note="benign, exec and the same tests, in process"),
        "benign_rate_1_worker": Figure(median(found["one"]), "1/s", note="benign, full verdicts"),
        "benign_over_floor": at_least(share, "ratio", FLOOR_SHARE, "median of ratios per round"),
        "mixed_rate_1_worker": Figure(median(found["mixed"]), "1/s", note=note),
        "mixed_rate_2_workers": at_least(median(found["mixed_two"]), "1/s", MIXED_RATE, note),
        "mixed_median": Figure(median(times), "ms", note="1 worker, full verdict"),
        "mixed_p99": Figure(times[int(0.99 * (len(times) - 1))], "ms", note="1 worker, full verdict"),
        "naive_rate": Figure(median(found["naive"]), "1/s", note="a fresh Python with torch per candidate"),
        "mixed_over_naive": at_least(over_naive, "ratio", TIMES_NAIVE, "2 workers; median of ratios per round"),
    }


def naive(code: str) -> None:
    """One candidate in a fresh Python with torch."""
    subprocess.run([sys.executable, "-c", NAIVE], input=code, text=True, check=True, capture_output=True)


def tracing(benign: list[str], rounds: int) -> dict[str, Figure]:
    """Static checks, tracer and jail without numeric tests, and the one-shot command."""
    times = []
    with Vetter() as vetter:
        vetter.vet(benign[0], numeric=False)
        for code in benign * rounds:
            started = time.perf_counter()
            vetter.vet(code, numeric=False)
            times.append(1e3 * (time.perf_counter() - started))
    once = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loss.py"
        path.write_text(benign[0])
        program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sandbox.__main__ import main; main()"
        command = [sys.executable, "-c", program, "check", "--no-numeric", str(path)]
        for _ in range(max(rounds, 5)):
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            once.append(time.perf_counter() - started)
    times.sort()
    return {
        "trace_rate": Figure(1e3 / (sum(times) / len(times)), "1/s", note="static, trace, jail and verify; one zygote"),
        "trace_median": Figure(median(times), "ms"),
        "trace_p99": Figure(times[int(0.99 * (len(times) - 1))], "ms"),
        "one_shot_check": at_most(median(once), "s", ONE_SHOT_SECONDS, "check --no-numeric FILE; median"),
    }


def memory(mixed: list[str]) -> dict[str, Figure]:
    """Resident memory after the whole corpus. Shared pages count once per process, so the real sum is smaller."""
    with VetPool(2) as pool, ThreadPoolExecutor(2) as threads:
        list(threads.map(pool.vet, mixed))
        processes = [
            p for pid in pool.pids for p in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
        ]
        sizes = {p.pid: p.memory_info().rss / 2**20 for p in processes}
        zygotes = [size for pid, size in sizes.items() if pid not in pool.pids]
        total = sum(sizes.values())
    return {
        "zygote_memory": at_most(max(zygotes), "MB", ZYGOTE_MB, "resident"),
        "pool_memory": at_most(
            total, "MB", POOL_MB, "2 workers and their zygotes, resident, shared pages counted twice"
        ),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--quick", action="store_true", help="end within a minute")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    benign = [e["code"] for e in json.loads((CORPORA / "benign.json").read_text())]
    hostile = [e["code"] for e in json.loads((CORPORA / "hostile.json").read_text())]
    mixed = [code for i, code in enumerate(hostile) for code in (code, benign[i % len(benign)])]
    if chosen.quick:
        mixed = mixed[:60]
    figures = rates(5 if chosen.quick else 9, benign, mixed)
    figures |= tracing(benign, 5 if chosen.quick else 20) | memory(mixed)
    show(figures, ("torch",), as_json=chosen.json)


if __name__ == "__main__":
    main()
