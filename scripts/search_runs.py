"""Campaigns of `bench_search.py`, and the true fitness of what they found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from search_figures import RunTrace
from shared_scores import ScoreTable, SharingPool

from archive.query import Reader
from archive.records import EventKind, Origin
from evo.campaign.loop import Campaign
from evo.config.rundir import RunDir, open_run
from evo.config.schema import Config, parse_config
from evo.proposing.propose import BuiltinProposer, templates
from evo.search.population import Population
from evo.search.rng import derive
from fitness.schedule.ladder import leaders
from fitness.task import EvaluationFailed, TaskInfo, task_info
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.vetting.pool import VetPool

SEARCH_ONLY = {"finalists": 0, "finalist_seeds": 1, "baseline_learning_rates": [], "baseline_betas": []}
"""Settings of the ladder with the least that a final may be: the benchmark measures on seeds of its own."""

_ENDED = (EventKind.EVALUATION_SCORED, EventKind.EVALUATION_FAILED)
_STUDIED = (EventKind.VARIANT_SCORED, EventKind.VARIANT_FAILED)


class LongerRun(Exception):
    """A run that is there has more proposals than were asked for."""


@dataclass(frozen=True)
class Bench:
    """What all arms have in common."""

    task: str
    options: Mapping[str, Any]
    folder: Path
    table: ScoreTable
    workers: int
    proposals: int
    truth_seeds: int
    """Fresh seeds on which a leader is measured."""
    offspring: int
    """Proposals of a run, at equal distances, of which the true fitness is measured on one fresh seed."""

    @property
    def info(self) -> TaskInfo:
        """The task."""
        return task_info(self.task, self.options)


async def run_arm(
    bench: Bench, name: str, search: Mapping[str, Any], place: str, seeds: Iterable[int]
) -> list[RunTrace]:
    """Run or continue the campaigns of one arm, one for each run seed, and measure what they found. `place`: their folder.

    Runs with fewer proposals are continued. Raises LongerRun for one with more.
    """
    turn = asyncio.Semaphore(bench.workers)
    async with SharingPool(bench.table, bench.task, dict(bench.options), bench.workers) as workers:
        with VetPool(workers=1, contract=bench.info.contract) as vetter:

            async def one(seed: int) -> RunTrace:
                async with turn:
                    config = parse_config(
                        {
                            "name": "bench", "task": bench.task, "fitness": dict(bench.options), "seed": seed, "workers": 1,
                            "proposer": "builtin", "budget": {"proposals": bench.proposals}, "ladder": SEARCH_ONLY,
                            "search": {"in_flight": 1, **search},
                        }
                    )  # fmt: skip
                    folder = bench.folder / place / str(seed)
                    folder.mkdir(parents=True, exist_ok=True)
                    await _campaign(config, bench.info, folder, workers, vetter)
                    return await _trace(bench, config, folder, workers)

            return list(await asyncio.gather(*(one(seed) for seed in seeds)))


async def _campaign(config: Config, info: TaskInfo, folder: Path, workers: SharingPool, vetter: VetPool) -> None:
    population = Population(config, info, 1)
    rundir, archive, resumed = open_run(
        folder, config, info, templates(config, info.contract), population.baseline_name
    )
    with archive, Reader.open(rundir.archive) as reader:
        made, wanted = population.advance(reader).spent(0.0).proposals, config.budget.proposals or 0
        if made > wanted:
            raise LongerRun(f"{folder} has {made} proposals: give at least so many with --proposals, or another --dir")
        if made == wanted and reader.events(kind=EventKind.FINISHED):
            return
        if resumed:
            archive.recover()
        archive.event(
            EventKind.SESSION_STARTED, {"config": config.model_dump(mode="json"), "fitness": info.described()}
        )
        async with BuiltinProposer() as proposer:
            await Campaign(config, archive, reader, population, {"builtin": proposer}, vetter, workers).run()


async def _trace(bench: Bench, config: Config, folder: Path, workers: SharingPool) -> RunTrace:
    """What led after each training, and how good it and the offspring truly are."""
    with Reader.open(RunDir(folder).archive) as reader:
        population = Population(config, bench.info, 1)
        ladder, seeds = config.ladder, population.seeds
        leading: list[tuple[int, int, int]] = []
        trainings = 0
        for event in reader.events():
            trainings += event.kind in _STUDIED
            if event.kind not in _ENDED or event.evaluation_id is None:
                continue
            row = reader.evaluation(event.evaluation_id)
            if row.seed not in seeds.search:
                continue
            trainings += 1
            entries = population.advance(reader, upto=event.id).entries()
            best = leaders(entries, bench.info, ladder, seeds)
            if best and (not leading or leading[-1][2] != best[0].candidate_id):
                leading.append((trainings, population.spent(0.0).proposals, best[0].candidate_id))
        population.advance(reader)
        proposed = [
            (proposal.step, candidate.id)
            for candidate in reader.candidates()
            if candidate.origin is Origin.PROPOSAL
            and candidate.proposal_id is not None
            and population.individuals[candidate.id].trainable
            and (proposal := reader.proposal(candidate.proposal_id))
        ]
        graphs = {
            id: population.losses.graph(id, reader) for id in {*(i for *_, i in leading), *(i for _, i in proposed)}
        }
        baseline = population.baseline
        assert baseline is not None
        reference = population.losses.graph(baseline.id, reader)
    truth = {id: await _truth(bench, graphs[id], workers) for id in dict.fromkeys(id for *_, id in leading)}
    led = [(0, 0, await _truth(bench, reference, workers))]
    led += [(at, proposals, truth[id]) for at, proposals, id in leading]
    spaced = proposed[:: max(1, len(proposed) // bench.offspring)]
    offspring = []
    for step, id in spaced:
        gained = await _gain(bench, graphs[id], reference, step, workers)
        if gained is not None:
            offspring.append((step, gained))
    return RunTrace(led, trainings, bench.proposals, offspring)


async def _truth(bench: Bench, graph: VerifiedGraph, workers: SharingPool) -> float:
    """Mean fitness over the fresh seeds; a failed training counts as the worst score of the others, or 0."""
    rung = bench.info.search_rungs[-1].name
    values = [await _scored(workers, graph, rung, seed) for seed in _fresh(bench)]
    scored = [value for value in values if value is not None]
    worst = min(scored, default=0.0)
    return fmean(worst if value is None else value for value in values)


async def _gain(
    bench: Bench, graph: VerifiedGraph, reference: VerifiedGraph, step: int, workers: SharingPool
) -> float | None:
    """Difference to the baseline on one fresh seed, which changes from step to step; None if the training fails."""
    rung, fresh = bench.info.search_rungs[-1].name, _fresh(bench)
    seed = fresh[step % len(fresh)]
    own, other = await _scored(workers, graph, rung, seed), await _scored(workers, reference, rung, seed)
    return None if own is None or other is None else own - other


async def _scored(workers: SharingPool, graph: VerifiedGraph, rung: str, seed: int) -> float | None:
    try:
        return (await workers.score(graph, rung, seed)).fitness
    except EvaluationFailed:
        return None


def _fresh(bench: Bench) -> list[int]:
    return [derive(0, "fresh seeds of the benchmark", i) for i in range(bench.truth_seeds)]
