#!/usr/bin/env python3
"""Benchmark of a large archive, as one table; `--json` prints one object, `--quick` fills 2,000 candidates.

    record       median and 99 % quantile of the transactions with which one archive is filled through `archive.store`
    reading      what a user asks for while a run goes on: status, leaderboard, one candidate with its ancestry
    analysis     GraphML, the report and `evopo status` (its comparisons are those of the report)
    memory       largest process while filling, in the last quarter of the candidates and in the first
    size         bytes of the one file, per candidate

The losses are made by the built-in proposer and vetted; each is recorded many times, with a prompt, a reply, findings and curves
like those of a campaign with a language model. Times are wall-clock seconds of this machine and its load.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
from bench_table import Figure, at_most, show

from archive.query import Reader
from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.proposing import genetic
from evo.proposing.prompting import BUILT_IN, Briefing, LandmarkView, ParentView, TaskView, render
from sandbox import known
from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers import to_python
from sandbox.vetting.vet import vet

CANDIDATES, QUICK = 100_000, 2_000
DISTINCT, QUICK_DISTINCT = 300, 40
"""Number of vetted losses that the archive is filled from."""
SEEDS = ("dpo", "slic", "ipo", "kto_pair")
RUNGS = ("short", "full")
CURVE_POINTS = 25
RECORD_MS, READ_MS, GRAPHML_SECONDS, BYTES = 2.0, 20.0, 10.0, 5_000.0
GROWTH = 1.1
"""Largest ratio of the last quarter of the candidates to the first, for the process's size and the CPU time of a candidate."""
BLOCK = 500
"""Number of candidates whose costs are one line of `costs_file`."""
READS = 30


@dataclass
class Loss:
    """A vetted loss, and how it was made."""

    name: str
    thought: str
    source: str
    graph: VerifiedGraph
    verdict: dict[str, Any]


def losses(count: int) -> list[Loss]:
    """The seed losses, then `count` proposals of the built-in proposer that the sandbox accepted."""
    found = [_vetted(name, f"the published loss {name}", known.graph(name)) for name in SEEDS]
    rng = random.Random(1)
    while len(found) < count + len(SEEDS):
        parents = [genetic.Parent(loss.graph, loss.name) for loss in rng.sample(found, 2)]
        made = genetic.propose(rng, "preference", rng.choice(["explore", "refine", "combine"]), parents)
        loss = _vetted(made.name, made.thought, made.graph)
        if loss.verdict["status"] == "accepted":
            found.append(loss)
    return found


def _vetted(name: str, thought: str, graph: VerifiedGraph) -> Loss:
    source = to_python(graph, name="loss")
    return Loss(name, thought, source, graph, vet(source).to_json())


@dataclass
class Block:
    """Cost of recording `BLOCK` candidates."""

    transactions: int
    median_ms: float
    slow_ms: float
    """99 % quantile."""
    cpu_s: float
    rss_mb: float


@dataclass
class Filling:
    """Records candidates as a campaign does, and keeps the time of every transaction.

    What is recorded of a candidate depends on its id alone, so that an interrupted filling can be continued.
    """

    archive: Archive
    pool: Sequence[Loss]
    milliseconds: list[float] = field(default_factory=list)
    prompts: dict[tuple[str, ...], list[tuple[str, str]]] = field(default_factory=dict)

    def candidate(self, id: int) -> None:
        if id <= len(SEEDS):
            self._seed_loss(self.pool[id - 1])
        else:
            self._proposal(id, random.Random(f"candidate {id}"))

    def _seed_loss(self, loss: Loss) -> None:
        id = self._timed(self.archive.add_candidate, "seed", loss.name, loss.thought, loss.source, "preference")
        self._timed(self.archive.record_verdict, id, loss.verdict)
        for rung in RUNGS:
            self._train(id, rung, range(4))

    def _proposal(self, id: int, rng: random.Random) -> None:
        """Request, reply, candidate, verdict, trainings. Some replies are refused."""
        operator, role = rng.choice([("explore", "explored_from"), ("refine", "refined"), ("combine", "combined")])
        drawn = {max(1, id - 1 - rng.randrange(400)) for _ in range(2)}
        parents = sorted(parent for parent in drawn if not _is_refused(parent)) or [1]
        loss = self.pool[len(SEEDS) + id % (len(self.pool) - len(SEEDS))]
        name = f"{loss.name}_{id}"
        told = [{"id": parent, "role": role} for parent in parents]
        step, seen = id - len(SEEDS), self.archive.last_event()
        asked = self._timed(
            self.archive.request_proposal, step, 1, operator, "openai", "model-a", 0.8, _template(operator),
            {"island": step % 4, "parents": told}, seen, self._prompt(step, operator, parents),
        )  # fmt: skip
        reply = json.dumps({"thought": loss.thought, "name": name, "code": loss.source})
        self._timed(self.archive.receive_proposal, asked, reply, 3_400, 410, 0.0021, 7.25)
        made = self._timed(
            self.archive.add_candidate, "proposal", name, loss.thought, loss.source, "preference", asked,
            [(parent, role) for parent in parents],
        )  # fmt: skip
        if _is_refused(id):
            self._timed(self.archive.record_verdict, made, _refused(loss.verdict))
            return
        self._timed(self.archive.record_verdict, made, loss.verdict | {"hash": f"{loss.verdict['hash'][:-6]}{id:06x}"})
        self._train(made, "short", [0])
        if rng.random() < 0.1:
            self._train(made, "full", range(2 if rng.random() < 0.8 else 4))

    def _train(self, id: int, rung: str, seeds: Sequence[int]) -> None:
        for seed in seeds:
            evaluation = self._timed(self.archive.queue_evaluation, id, "sentiment", rung, seed)
            self._timed(self.archive.start_evaluation, evaluation)
            rng = random.Random(f"{id} {rung} {seed}")
            fitness = _quality(id) + random.Random(f"{rung} {seed}").gauss(0, 0.03) + rng.gauss(0, 0.02)
            curves = {name: _curve(rng) for name in ("loss", "margin", "kl_estimate")}
            metrics = {name: rng.gauss(1, 0.1) for name in ("train_loss", "reward", "kl_per_sequence", "kl_per_token",
                       "preference_accuracy", "margin", "distinct", "length")}  # fmt: skip
            self._timed(self.archive.score_evaluation, evaluation, fitness, metrics, 1.75, 20_480, curves=curves)

    def _prompt(self, step: int, operator: str, parents: Sequence[int]) -> list[tuple[str, str]]:
        """A prompt of its own for each step. It is rendered once for the same operator and parents."""
        key = (operator, *(self.pool[parent % len(self.pool)].name for parent in parents[:1]))
        if key not in self.prompts:
            self.prompts[key] = self._rendered(operator, parents)
        *before, (role, text) = self.prompts[key]
        return [*before, (role, f"{text}\n\nThe best so far: {_quality(parents[0])}, step {step}.")]

    def _rendered(self, operator: str, parents: Sequence[int]) -> list[tuple[str, str]]:
        views = []
        for parent in parents:
            loss, quality = self.pool[parent % len(self.pool)], _quality(parent)
            views.append(
                ParentView(
                    loss.source, f"{loss.name}_{parent}", loss.thought, quality, 0.021, 1, True, None,
                    {"reward": quality + 0.1, "kl_per_sequence": 5.25}, loss.verdict["descriptors"],
                )
            )  # fmt: skip
        landmarks = [LandmarkView(name, 0.5, 0.01, 4) for name in SEEDS]
        task = TaskView("sentiment", "reward - 0.02 * KL")
        messages = render(operator, Briefing(contract_named("preference"), task, views, landmarks))
        return [(message.role, message.content) for message in messages]

    def _timed(self, record: Callable[..., Any], *values: Any, **more: Any) -> Any:
        began = time.perf_counter()
        result = record(*values, **more)
        self.milliseconds.append(1e3 * (time.perf_counter() - began))
        return result


@cache
def _template(operator: str) -> str:
    return BUILT_IN.hash(operator, contract_named("preference"))


def _is_refused(id: int) -> bool:
    return id > len(SEEDS) and random.Random(f"refused {id}").random() < 0.1


def _quality(id: int) -> float:
    return 0.5 if id <= len(SEEDS) else min(0.9, random.Random(f"quality {id}").gauss(0.5, 0.05))


def _curve(rng: random.Random) -> list[tuple[int, float]]:
    return [(step + 1, rng.gauss(0.6, 0.2)) for step in range(CURVE_POINTS)]


def _refused(verdict: dict[str, Any]) -> dict[str, Any]:
    finding = {"rule": "SBX304", "severity": "refuse", "message": "gradient is inf at rho = 400, beta = 0.05", "line": 3,
               "remedy": "clamp the margin before exp", "counterexample": {"rho": 400.0, "beta": 0.05}}  # fmt: skip
    return verdict | {"status": "refused", "findings": [finding], "hash": None, "fingerprint": None, "graph": None}


def fill(path: Path, candidates: int, distinct: int) -> None:
    """Fills a new archive, or continues one that was interrupted. Adds a line to `costs_file` for each `BLOCK` candidates."""
    there = _recorded(path) if path.exists() else 0
    if there >= candidates:
        return
    config = {"budget": {"proposals": candidates}}
    run = RunRow("bench", 0, "sentiment", "preference", {"task": "sentiment"}, config, "0", baseline="dpo")
    pool, process = losses(distinct), psutil.Process()
    with Archive.open(path) if path.exists() else Archive.create(path, run) as archive:
        archive.recover()
        archive.event(
            EventKind.SESSION_STARTED, {"config": config, "fitness": {"metric": dict.fromkeys(RUNGS, "reward")}}
        )
        filling, used = Filling(archive, pool), time.process_time()
        for id in range(there + 1, candidates + 1):
            filling.candidate(id)
            if id % BLOCK == 0:
                ordered, now = sorted(filling.milliseconds), time.process_time()
                slow, size = ordered[int(0.99 * len(ordered))], process.memory_info().rss / 1e6
                block = Block(len(ordered), median(ordered), slow, now - used, size)
                with costs_file(path).open("a", encoding="utf-8") as lines:
                    print(json.dumps(asdict(block)), file=lines)
                filling.milliseconds.clear()
                used = now
            if id % 10_000 == 0:
                print(f"{id} candidates, {used:.0f} s of CPU", file=sys.stderr, flush=True)


def _recorded(path: Path) -> int:
    with Reader.open(path) as reader:
        return reader.progress().candidates


def costs_file(path: Path) -> Path:
    """File of the costs of filling an archive, one JSON object a line."""
    return path.with_name("costs.jsonl")


def writing(path: Path, candidates: int) -> dict[str, Figure]:
    """Figures of writing, from the blocks."""
    blocks = [Block(**json.loads(line)) for line in costs_file(path).read_text(encoding="utf-8").splitlines()]
    count, quarter = sum(block.transactions for block in blocks), max(1, len(blocks) // 4)
    first, last = blocks[:quarter], blocks[-quarter:]

    def growth(value: Callable[[Block], float]) -> float:
        return median(map(value, last)) / median(map(value, first))

    middle, cpu = median(block.median_ms for block in blocks), sum(block.cpu_s for block in blocks)
    before, after = max(block.rss_mb for block in first), max(block.rss_mb for block in last)
    by = "last quarter by first quarter"
    return {
        "record, median": at_most(middle, "ms", RECORD_MS, f"of {count:,} transactions"),
        "record, 99 %": Figure(median(block.slow_ms for block in blocks), "ms"),
        "record, CPU": Figure(1e3 * cpu / count, "ms", note="a transaction, what is recorded included"),
        "candidate, CPU": Figure(1e3 * cpu / (BLOCK * len(blocks)), "ms"),
        "growth, wall clock": Figure(growth(lambda block: block.median_ms), "times", note=f"a transaction, {by}"),
        "growth, CPU": at_most(growth(lambda block: block.cpu_s), "times", GROWTH, f"a candidate, {by}"),
        "memory, filling": at_most(after / before, "times", GROWTH, f"{by}: {after:.0f} by {before:.0f} MB"),
        "size": at_most(path.stat().st_size / candidates, "bytes", BYTES, f"a candidate, in {path.stat().st_size:,}"),
    }


def reads(path: Path, candidates: int) -> dict[str, Figure]:
    """Times of what is asked for during a run. Each query opens the archive anew, as a command does."""
    ids = random.Random(3).sample(range(candidates // 2, candidates), READS)

    def ancestry(reader: Reader, id: int) -> int:
        return len(reader.ancestry(id))

    asked: dict[str, Callable[[Reader, int], Any]] = {
        "leaderboard": lambda reader, _: reader.leaders("sentiment", "full", 20),
        "leaderboard, first rung": lambda reader, _: reader.leaders("sentiment", "short", 20),
        "ancestry": ancestry,
        "status": lambda reader, _: reader.progress(),
    }
    figures = {}
    for name, query in asked.items():
        times = []
        for id in ids:
            began = time.perf_counter()
            with Reader.open(path) as reader:
                query(reader, id)
            times.append(1e3 * (time.perf_counter() - began))
        figures[name] = at_most(median(times), "ms", READ_MS, f"median of {READS}; opening included")
    return figures


def commands(path: Path, candidates: int) -> dict[str, Figure]:
    """Seconds and largest process of whole commands."""
    rundir = str(path.parent)
    figures = {}
    asked: dict[str, tuple[tuple[str, ...], float | None]] = {
        "evopo show ID": (("show", rundir, str(candidates // 2)), None),
        "evopo export": (("export", rundir, "--format", "graphml", "--out", str(path.parent / "x.graphml")), GRAPHML_SECONDS),
        "evopo status": (("status", rundir), None),
        "evopo report": (("report", rundir, "--no-pictures"), 20.0 if candidates <= 5_000 else None),
    }  # fmt: skip
    for name, (arguments, reach) in asked.items():
        began = time.perf_counter()
        code = "import resource, sys; from evo.cli.commands import main\ntry: main(sys.argv[1:])\nfinally: " \
               "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
        note = f"largest process {int(done.stderr.split()[-1]) / 1e3:.0f} MB"
        figures[name] = Figure(seconds, "s", note=note) if reach is None else at_most(seconds, "s", reach, note)
    return figures


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="evopo-bench-") as place:
        yield Path(place)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--quick", action="store_true", help=f"fill {QUICK:,} candidates")
    arguments.add_argument("--candidates", type=int, help=f"candidates to fill ({CANDIDATES:,})")
    arguments.add_argument("--dir", type=Path, help="keep the archive in this folder, and continue one that is there")
    chosen = arguments.parse_args()
    candidates = chosen.candidates or (QUICK if chosen.quick else CANDIDATES)
    with _folder(chosen.dir) as folder:
        path = folder / "archive.db"
        fill(path, candidates, QUICK_DISTINCT if chosen.quick else DISTINCT)
        figures = writing(path, candidates) | reads(path, candidates) | commands(path, candidates)
    figures["memory, here"] = Figure(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "MB")
    show(figures, ("evopo",), as_json=chosen.json)


if __name__ == "__main__":
    main()
