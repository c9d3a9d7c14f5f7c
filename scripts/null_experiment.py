#!/usr/bin/env python3
"""How often does a run claim a discovery where there is none to make?

One loss is entered many times, as the yardstick at each of its betas and learning rates and as every proposal, with
duplicate detection off and training seeds of its own for each entry. So all differences are luck. The race, the final
and the comparison are the real ones (`fitness.ladder`, `analysis.comparison.decide`); a run that ends with a finalist
distinguishable from the yardstick has made a false discovery, which may happen in at most 5 % of runs.

Each entry's trainings are drawn from a pool of real trainings, one per seed and rung, made first and kept in a file, so
that thousands of runs cost no more than the pool. For comparison, two rules that are not ours: the search's own scores
tested without correction, and the search's leader believed because it leads.

    python scripts/null_experiment.py --task classification --loss cross_entropy --pool 600 --runs 2000

Prints one table, or JSON with --json; exits with 1 if the rate of false discoveries is above the stated level.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from analysis import stats
from analysis.comparison import FINAL, decide
from analysis.snapshot import Snapshot
from archive.records import CandidateRow, EvaluationRow, EvaluationState, EventRow, Origin, RunRow, Spending
from fitness.ladder import Entry, Job, Seeds, Settings, final, final_rung, leaders
from fitness.pool import score_all
from fitness.race import run_race
from fitness.score import SeedResult
from fitness.task import TaskInfo, task_info
from sandbox import known

YARDSTICK = 0
SEARCH_SEEDS = 16


@dataclass(frozen=True)
class Outcome:
    """What one run would have said."""

    discovery: bool
    """A finalist is distinguishable from the yardstick, on fresh seeds and corrected: evopo's claim."""
    better: bool
    """It is so, and better."""
    uncorrected: bool
    """The leader's search score differs from the yardstick's by a t-test of the search's own seeds."""
    leads: bool
    """The leader's search score is higher than the yardstick's."""


def main() -> int:
    arguments = _arguments()
    options = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in arguments.set)}
    info = task_info(arguments.task, options)
    settings = Settings(
        contender_seeds=arguments.contender_seeds,
        finalists=arguments.finalists,
        finalist_seeds=arguments.finalist_seeds,
    )
    pool = _pool(arguments, info, options)
    rng = random.Random(arguments.seed)
    outcomes = [one_run(rng, pool, info, settings, arguments.proposals) for _ in range(arguments.runs)]
    figures = {
        "false_discovery": _rate(
            [o.discovery for o in outcomes], "fresh seeds, Holm over the finalists (evopo's claim)"
        ),
        "false_improvement": _rate([o.better for o in outcomes], "of these, the proposal above the yardstick"),
        "search_scores_tested": _rate([o.uncorrected for o in outcomes], "not done: t-test of the search's own seeds"),
        "leader_believed": _rate([o.leads for o in outcomes], "not done: the leader's search score is higher"),
    }
    stated = figures["false_discovery"]["interval"][0] <= stats.SIGNIFICANCE
    if arguments.json:
        print(json.dumps({"arguments": vars(arguments), "figures": figures, "as_stated": stated}, default=str))
    else:
        print(
            f"{arguments.runs} runs of {arguments.proposals} proposals; pool of {len(next(iter(pool.values())))} trainings per rung"
        )
        for name, figure in figures.items():
            low, high = figure["interval"]
            print(f"{name:22} {figure['value']:7.2%}  [{low:.2%}, {high:.2%}]  {figure['note']}")
        print(f"stated level {stats.SIGNIFICANCE:.0%}: {'kept' if stated else 'NOT kept'}")
    return 0 if stated else 1


def one_run(
    rng: random.Random, pool: Mapping[str, Sequence[float]], info: TaskInfo, settings: Settings, proposals: int
) -> Outcome:
    """Race and final of one run in which every entry is the same loss with luck of its own."""
    seeds = Seeds(tuple(range(SEARCH_SEEDS)), tuple(range(1000, 1000 + settings.finalist_seeds)))
    drawn: dict[tuple[object, ...], int] = {}

    def measure(job: Job) -> tuple[float, float]:
        # One training seed for one arm and run seed, whatever the rung: rungs of one seed share data and order.
        arm = (job.candidate_id, job.seed, job.beta, job.learning_rate)
        place = drawn.setdefault(arm, rng.randrange(len(pool[job.rung])))
        return pool[job.rung][place], info.rung(job.rung).estimated_seconds

    race = run_race(range(proposals + 1), measure, info, settings, seeds, baselines=[YARDSTICK])
    trained = {Job(e.candidate_id, *place): value for e in race.entries for place, value in e.results.items()}
    trained |= {job: measure(job)[0] for job in final(race.entries, info, settings, seeds)}
    snapshot = _snapshot(trained, info, seeds.final)
    decision = decide(snapshot)
    assert decision is not None and decision.best is not None and decision.fresh
    searched = {e.candidate_id: _searched(e, info, seeds) for e in race.entries}
    leader = leaders(race.entries, info, settings, seeds)[0].candidate_id
    pair = stats.paired(searched[leader], searched[YARDSTICK])
    return Outcome(
        # Any finalist, not only the best: the stated level is that of the whole family.
        discovery=any(c.distinguishable for c in decision.finalists),
        better=any(c.distinguishable and c.paired.difference > 0 for c in decision.finalists),
        uncorrected=pair is not None and pair.p_value is not None and pair.p_value < stats.SIGNIFICANCE,
        leads=pair is not None and pair.difference > 0,
    )


def _searched(entry: Entry, info: TaskInfo, seeds: Seeds) -> dict[int, float]:
    """Fitness by seed at the dearest search rung."""
    rung = info.search_rungs[-1].name
    return {seed: value for seed in seeds.search if (value := entry.results.get((rung, seed))) is not None}


def _snapshot(trained: Mapping[Job, float | None], info: TaskInfo, fresh: Sequence[int]) -> Snapshot:
    """What an archive of this run would hold, as far as comparisons read it."""
    rows = [
        EvaluationRow(
            id=0, candidate_id=job.candidate_id, task=info.name, rung=job.rung, seed=job.seed, beta=job.beta,
            learning_rate=job.learning_rate, state=EvaluationState.SCORED, fitness=value, metrics={}, seconds=None, tokens=None,
            attempts=1, reason=None, detail=None, queued_event=0, finished_event=0,
        )
        for job, value in trained.items()
    ]  # fmt: skip
    return Snapshot(
        run=RunRow("null", 0, info.name, info.contract),
        candidates={
            number: CandidateRow(
                number, None, Origin.SEED if number == YARDSTICK else Origin.PROPOSAL, "same", "", "", info.contract, 0, "",
            )
            for number in {job.candidate_id for job in trained}
        },
        parents={}, verdicts={}, findings={}, proposals={}, evaluations=tuple(rows),
        events=(EventRow(1, "", FINAL, None, None, None, {"rung": final_rung(info), "seeds": list(fresh)}),),
        spending=Spending(0, 0, 0, 0.0, 0.0, 0, 0, 0, 0.0, 0),
    )  # fmt: skip


def _pool(arguments: argparse.Namespace, info: TaskInfo, options: Mapping[str, Any]) -> dict[str, list[float]]:
    """Fitness of the loss at every rung, by training seed; from the file where it is there already."""
    rungs = [*(r.name for r in info.search_rungs), final_rung(info)]
    identity = json.loads(
        json.dumps({"task": info.identity, "loss": arguments.loss, "pool": arguments.pool, "rungs": rungs})
    )
    file = arguments.file or Path(tempfile.gettempdir()) / f"evopo-null-{arguments.task}-{arguments.loss}.json"
    if file.exists():
        kept = json.loads(file.read_text("utf-8"))
        if kept["identity"] == identity:
            return dict(kept["pool"])
    graph = known.graph(arguments.loss)
    requests = [(graph, rung, seed) for seed in range(arguments.pool) for rung in rungs]
    seconds = sum(info.rung(rung).estimated_seconds for _, rung, _ in requests) / arguments.workers
    print(f"training {len(requests)} times, about {seconds / 60:.1f} minutes; kept in {file}", file=sys.stderr)
    results = score_all(arguments.task, requests, options, arguments.workers)
    pool: dict[str, list[float]] = {rung: [] for rung in rungs}
    for seed in range(arguments.pool):
        row = results[seed * len(rungs) : (seed + 1) * len(rungs)]
        scored = [r.fitness for r in row if isinstance(r, SeedResult)]
        if len(scored) == len(rungs):  # a seed that failed anywhere is left out: the null is about scores
            for rung, value in zip(rungs, scored, strict=True):
                pool[rung].append(value)
    file.write_text(json.dumps({"identity": identity, "pool": pool}), "utf-8")
    return pool


def _rate(happened: Sequence[bool], note: str) -> dict[str, Any]:
    interval = stats.wilson(sum(happened), len(happened))
    assert interval is not None
    return {"value": sum(happened) / len(happened), "interval": [interval.low, interval.high], "note": note}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--task", default="classification", help="task (%(default)s)")
    parser.add_argument("--loss", default="cross_entropy", help="the known loss that every entry is (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="an option of the task")
    parser.add_argument("--pool", type=int, default=600, help="training seeds to draw from (%(default)s)")
    parser.add_argument("--file", type=Path, help="where the pool is kept (a temporary folder)")
    parser.add_argument("--runs", type=int, default=2000, help="runs to play (%(default)s)")
    parser.add_argument("--proposals", type=int, default=24, help="entries of a run beside the yardstick (%(default)s)")
    parser.add_argument("--contender-seeds", type=int, default=Settings().contender_seeds, help="(%(default)s)")
    parser.add_argument("--finalists", type=int, default=Settings().finalists, help="(%(default)s)")
    parser.add_argument("--finalist-seeds", type=int, default=Settings().finalist_seeds, help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="training processes for the pool (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
