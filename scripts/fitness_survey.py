#!/usr/bin/env python3
"""Survey: trains many losses at every search rung with many seeds, without a ladder. `bench_fitness.py` uses its results.

The losses are all known losses of the task's contract and some proposals of the built-in proposer. Each is trained at all search
rungs on the same seeds, and at the highest one on further seeds (the truth seeds). Results are kept in an archive; the same command
continues an interrupted survey.

    python scripts/fitness_survey.py --task sentiment --dir runs/survey-sentiment --workers 2
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from task_settings import add_option, options_of

from archive.query import Reader
from archive.records import Origin
from archive.store import Archive
from evo.campaign.training import train_and_record
from evo.config.rundir import open_run
from evo.config.schema import parse_config
from evo.proposing import genetic
from evo.search.rng import derive
from fitness.schedule.ladder import Job
from fitness.task import TaskInfo, task_info
from fitness.workers.pool import WorkerPool
from sandbox import known
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.printers import to_python
from sandbox.verdicts.verdict import Verdict
from sandbox.vetting.pool import VetPool

OPERATORS = ("explore", "refine", "combine")


@dataclass(frozen=True)
class Survey:
    """Results of a survey: (fitness or None, seconds) by (candidate, rung, seed)."""

    info: TaskInfo
    names: Mapping[int, str]
    results: Mapping[tuple[int, str, int], tuple[float | None, float]]
    search_seeds: tuple[int, ...]
    truth_seeds: tuple[int, ...]

    def truth(self) -> dict[int, float]:
        """Mean fitness at the highest search rung over the truth seeds. Losses that failed on one are left out."""
        return self.means(self.info.search_rungs[-1].name, self.truth_seeds)

    def means(self, rung: str, seeds: tuple[int, ...]) -> dict[int, float]:
        """Mean fitness over seeds, of the losses with a score on all of them."""
        found = {}
        for candidate in self.names:
            values = [self.results.get((candidate, rung, seed), (None, 0.0))[0] for seed in seeds]
            scored = [v for v in values if v is not None]
            if values and len(scored) == len(values):
                found[candidate] = fmean(scored)
        return found


def survey(
    task: str, options: Mapping[str, Any], folder: Path, workers: int, *, proposals: int, search_seeds: int, truth_seeds: int
) -> Survey:  # fmt: skip
    """Runs the trainings that the archive in `folder` lacks, and returns all results."""
    config = parse_config({"name": f"survey-{task}", "task": task, "fitness": dict(options), "workers": workers})
    info = task_info(task, options)
    rundir, archive, resumed = open_run(folder, config, info, {}, None)
    searched = tuple(derive(0, "training", i) for i in range(search_seeds))
    truth = tuple(derive(0, "truth", i) for i in range(truth_seeds))
    with archive, Reader.open(rundir.archive) as reader:
        if resumed:
            archive.recover()
        with VetPool(workers=1, contract=info.contract) as vetter:
            _enter(archive, reader, info.contract, proposals, vetter)
        graphs = _trainable(reader)
        jobs = [Job(c, rung.name, seed) for seed in searched for rung in info.search_rungs for c in graphs]
        jobs += [Job(c, info.search_rungs[-1].name, seed) for seed in truth for c in graphs]
        done = {(e.candidate_id, e.rung, e.seed) for e in reader.evaluations() if e.finished_event is not None}
        jobs = [j for j in jobs if (j.candidate_id, j.rung, j.seed) not in done]
        if jobs:
            minutes = sum(info.rung(j.rung).estimated_seconds for j in jobs) / workers / 60
            print(
                f"survey of {len(graphs)} losses: {len(jobs)} trainings, about {minutes:.0f} minutes", file=sys.stderr
            )
            asyncio.run(_train_all(archive, reader, jobs, graphs, task, options, workers))
        results = {
            (e.candidate_id, e.rung, e.seed): (e.fitness, e.seconds or info.rung(e.rung).estimated_seconds)
            for e in reader.evaluations()
            if e.finished_event is not None and e.beta is None
        }
        names = {c.id: c.name for c in reader.candidates() if c.id in graphs}
    return Survey(info, names, results, searched, truth)


async def _train_all(
    archive: Archive, reader: Reader, jobs: list[Job], graphs: Mapping[int, VerifiedGraph], task: str,
    options: Mapping[str, Any], workers: int,
) -> None:  # fmt: skip
    async with WorkerPool(task, options, workers) as pool:
        turn = asyncio.Semaphore(workers)

        async def one(job: Job) -> None:
            async with turn:
                await train_and_record(archive, reader, pool, task, job, graphs[job.candidate_id])

        await asyncio.gather(*(one(job) for job in jobs))


def _enter(archive: Archive, reader: Reader, contract: str, proposals: int, vetter: VetPool) -> None:
    """Adds the known losses, then accepted proposals with distinct hashes. They are the same in every call."""
    for name in known.names(contract):
        loss = known.load(name)
        _add(archive, reader, name, loss.source, contract, vetter.vet_graph(known.graph(name)))
    hashes = {v.hash for v in reader.verdicts()[: len(known.names(contract))]}
    parents = [genetic.Parent(known.graph(name), name) for name in known.names(contract)]
    rng = Random("survey")
    numbers = itertools.count(1)
    made = 0
    while made < proposals:
        number = next(numbers)
        operator = OPERATORS[number % len(OPERATORS)]
        proposal = genetic.propose(rng, contract, operator, rng.sample(parents, 2))
        verdict = vetter.vet_graph(proposal.graph)
        if verdict.accepted and verdict.hash not in hashes:
            hashes.add(verdict.hash)
            name = f"{operator}_{number}_{proposal.name}"
            _add(archive, reader, name, to_python(proposal.graph, name="loss"), contract, verdict)
            made += 1


def _add(archive: Archive, reader: Reader, name: str, source: str, contract: str, verdict: Verdict) -> None:
    there = next((c for c in reader.candidates() if c.name == name), None)
    # They belong to no step of a search, so their origin is `seed`.
    candidate = there.id if there else archive.add_candidate(Origin.SEED, name, "", source, contract)
    if reader.verdict(candidate) is None:
        archive.record_verdict(candidate, verdict.to_json())


def _trainable(reader: Reader) -> dict[int, VerifiedGraph]:
    return {
        v.candidate_id: VerifiedGraph.from_json(v.graph)
        for v in reader.verdicts()
        if v.status == "accepted" and v.graph
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--task", default="sentiment", help="task (%(default)s)")
    add_option(parser)
    parser.add_argument("--dir", type=Path, help="directory of the archive (runs/survey-TASK)")
    parser.add_argument("--workers", type=int, default=2, help="training processes (%(default)s)")
    parser.add_argument(
        "--proposals", type=int, default=30, help="number of proposals of the built-in proposer (%(default)s)"
    )
    parser.add_argument("--search-seeds", type=int, default=5, help="seeds at every search rung (%(default)s)")
    parser.add_argument(
        "--truth-seeds", type=int, default=4, help="further seeds at the rung of highest fidelity (%(default)s)"
    )
    arguments = parser.parse_args()
    options = options_of(arguments.task, arguments.set)
    found = survey(
        arguments.task, options, arguments.dir or Path("runs") / f"survey-{arguments.task}", arguments.workers,
        proposals=arguments.proposals, search_seeds=arguments.search_seeds, truth_seeds=arguments.truth_seeds,
    )  # fmt: skip
    for candidate, value in sorted(found.truth().items(), key=lambda pair: -pair[1]):
        print(f"{value:8.4f}  {found.names[candidate]}")


if __name__ == "__main__":
    main()
