#!/usr/bin/env python3
"""Benchmark of the default campaign: how often does it end with a discovery, and does the discovery hold on further seeds?

For each run seed, `evo run --set proposer=builtin` is run as a user would run it, one run after another. Then each discovery of a
headline is trained again on seeds that no run has used, at the rung of the final, together with the arms of known losses that it
was claimed against: the baseline's best arm, and the arm of a known loss with the largest p-value. A discovery is confirmed if the
95 % interval of each of these mean paired differences lies above 0, else refuted.

Runs stay in the folder, results of the trainings in a file of JSON lines there: the same command continues after an interruption.

    python scripts/bench_default.py --runs 10 --folder runs/bench-default
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_table import Figure, at_least, at_most, show

from analysis import stats
from analysis.claims.comparison import Comparison, decide
from analysis.claims.headline import headline_of
from analysis.snapshot import Arm, Snapshot
from archive.query import Reader
from archive.records import EventKind
from evo.config.rundir import RunDir
from fitness.task import EvaluationFailed
from fitness.workers.pool import WorkerPool
from sandbox.graph.loss_graph import VerifiedGraph

FURTHER_SEEDS = range(2_000_000, 2_000_024)
"""Seeds of the second measurement. Those of a run are drawn from 2^31, so a run has hardly ever one of these."""
MINUTES = 4.0
FINDINGS = 7
"""Discoveries expected of ten runs."""


@dataclass(frozen=True)
class Ended:
    """A run that has ended, with what it claims."""

    seed: int
    wall: float
    """Seconds."""
    cpu: float
    """CPU seconds of all its processes."""
    snapshot: Snapshot

    @property
    def found(self) -> Comparison | None:
        """The discovery of the headline."""
        decision = decide(self.snapshot)
        best = decision.best if decision else None
        return best if best and best.discovery else None

    @property
    def rivals(self) -> list[Arm]:
        """The arms of known losses that the discovery was claimed against."""
        decision, found = decide(self.snapshot), self.found
        assert decision is not None and found is not None
        return list(dict.fromkeys([decision.baseline, *([found.rival.arm] if found.rival else [])]))


def run(seed: int, folder: Path, overrides: Sequence[str]) -> Ended | None:
    """Run or continue the campaign of one seed; None if it did not end."""
    place, costs = folder / f"s{seed}", folder / f"s{seed}.json"
    archive = RunDir(place).archive
    if not costs.exists():
        command = [
            sys.executable,
            "-m",
            "evo",
            "run",
            "--seed",
            str(seed),
            "--dir",
            str(place),
            "--set",
            "proposer=builtin",
        ]
        for override in overrides:
            command += ["--set", override]
        started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        continued = archive.exists()
        with (folder / f"s{seed}.log").open("a") as log:
            code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if code:
            print(f"run seed {seed}: exit code {code}, see {folder / f's{seed}.log'}", file=sys.stderr)
            return None
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        measured = {"wall": time.monotonic() - started, "cpu": cpu, "continued": continued}
        costs.write_text(json.dumps(measured))
    spent = json.loads(costs.read_text())
    with Reader.open(archive) as reader:
        snapshot = Snapshot.of(reader)
    assert any(event.kind == EventKind.FINISHED for event in snapshot.events)
    return Ended(seed, spent["wall"], spent["cpu"], snapshot)


Training = tuple[str, str, float | None, float | None, int]
"""Digest of the graph, rung, beta, learning rate, seed."""


class FurtherScores:
    """Fitness on further seeds, kept in a file. Runs share the trainings of the known losses."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._found: dict[Training, float | None] = {}
        if kept.exists():
            for line in kept.read_text().splitlines():
                *key, fitness = json.loads(line)
                digest, rung, beta, rate, seed = key
                self._found[digest, rung, beta, rate, seed] = fitness

    def of(self, ended: Ended, arm: Arm) -> Mapping[int, float]:
        """Fitness by seed, without the seeds on which the training failed."""
        scores = ((seed, self._found.get(_training(ended, arm, seed))) for seed in FURTHER_SEEDS)
        return {seed: fitness for seed, fitness in scores if fitness is not None}

    async def measure(self, runs: Sequence[Ended], workers: int) -> None:
        """Train the discoveries of the runs and their rivals on all further seeds, one seed after another."""
        wanted = {
            _training(one, arm, seed): _graph(one, arm)
            for seed in FURTHER_SEEDS
            for one in runs
            if one.found
            for arm in (one.found.arm, *one.rivals)
        }
        if not (missing := {key: graph for key, graph in wanted.items() if key not in self._found}):
            return
        row = runs[0].snapshot.run
        async with WorkerPool(row.task, row.config["fitness"], workers) as pool:
            turn = asyncio.Semaphore(workers)

            async def one(key: Training, graph: VerifiedGraph) -> None:
                _, rung, beta, rate, seed = key
                async with turn:
                    try:
                        fitness = (await pool.score(graph, rung, seed, beta=beta, learning_rate=rate)).fitness
                    except EvaluationFailed:
                        fitness = None
                self._found[key] = fitness
                with self._kept.open("a") as file:
                    file.write(json.dumps([*key, fitness]) + "\n")

            await asyncio.gather(*(one(key, graph) for key, graph in missing.items()))


def _graph(ended: Ended, arm: Arm) -> VerifiedGraph:
    graph = ended.snapshot.graph(arm.candidate)
    assert graph is not None
    return graph


def _training(ended: Ended, arm: Arm, seed: int) -> Training:
    digest = hashlib.sha256(_graph(ended, arm).to_json().encode()).hexdigest()[:16]
    return digest, arm.rung, arm.beta, arm.learning_rate, seed


def differences(ended: Ended, scores: FurtherScores) -> list[stats.Paired]:
    """The discovery minus each of its rivals on the further seeds."""
    assert ended.found is not None
    ours = scores.of(ended, ended.found.arm)
    return [pair for rival in ended.rivals if (pair := stats.paired(ours, scores.of(ended, rival))) is not None]


def confirmed(pairs: Sequence[stats.Paired]) -> bool:
    """Whether the 95 % interval of every difference lies above 0."""
    intervals = [stats.interval(pair) for pair in pairs]
    return bool(intervals) and all(found is not None and found.low > 0 for found in intervals)


def figures(ended: Sequence[Ended], again: Mapping[int, Sequence[stats.Paired]]) -> dict[str, Figure]:
    """One row for each run, and the rates over all of them."""
    found: dict[str, Figure] = {}
    for one in ended:
        headline = headline_of(one.snapshot)
        note = f"{one.wall:.0f} s, {one.cpu:.0f} CPU-s: {headline.text}"
        for pair in again.get(one.seed, ()):
            note += f" | again: {pair.difference:+.3f} ± {pair.standard_error or 0:.3f} on {len(pair.seeds)} seeds"
        found[f"run {one.seed}: difference claimed"] = Figure(headline.difference, "", note=note)
    claimed = [one for one in ended if one.found]
    refuted = [one for one in claimed if not confirmed(again[one.seed])]
    least = FINDINGS * len(ended) / 10
    found["runs that end with a discovery"] = at_least(len(claimed), f"of {len(ended)}", least)
    found["discoveries refuted on 24 further seeds"] = at_most(len(refuted), f"of {len(claimed)}", 0)
    found["minutes of a run, mean"] = at_most(fmean(one.wall for one in ended) / 60, "min", MINUTES)
    found["CPU minutes of a run, mean"] = Figure(fmean(one.cpu for one in ended) / 60, "min")
    return found


def main() -> int:
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.runs)
    ended = []
    for seed in seeds:
        one = run(seed, arguments.folder, arguments.set)
        if one is None:
            return 1
        ended.append(one)
        print(f"run seed {seed}: {one.wall:.0f} s; {headline_of(one.snapshot).text}", file=sys.stderr, flush=True)
    scores = FurtherScores(arguments.folder / "again.jsonl")
    asyncio.run(scores.measure(ended, arguments.workers))
    again = {one.seed: differences(one, scores) for one in ended if one.found}
    show(figures(ended, again), ("torch", "transformers", "trl"), as_json=arguments.json)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="number of run seeds (%(default)s)")
    parser.add_argument("--first-seed", type=int, default=1, help="the first of them (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/bench-default"), help="runs and results (%(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting of every run")
    parser.add_argument(
        "--workers", type=int, default=2, help="training processes of the second measurement (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
