#!/usr/bin/env python3
"""Null experiment: the rate of false discoveries in simulated runs without a new loss.

No proposal of these runs is new. By default one loss is entered many times: as the baseline at each of its betas and learning
rates, and as every proposal. With `--known` a run starts from its usual seed losses, and each proposal is one of these at half,
once or twice its beta (or learning rate, where the task has no beta), and times a factor. Duplicate detection is off, and each
entry has its own training seeds. So all differences are random, or differences between known losses. Ladder, final and comparison
are the real code (`fitness.schedule.ladder`, `analysis.claims.comparison.decide`). A run that calls a finalist a discovery makes a
false claim; at most 5 % of runs may do so.

The comparison by function would recognise most of these proposals. So the stated rate is that of the statistical tests alone: each
proposal counts as a slight variation of its loss, which the final then trains at that beta too. Rates with the comparison by
function, on the real graphs, are printed too. For comparison, so are the rates of three rules that evopo does not use: the claim
against the baseline alone, an uncorrected test of the search's own scores, and the leader's higher score without a test.

Trainings of the entries are drawn from a pool of real trainings, one per seed and rung, which is made first and kept in a file. So
thousands of runs cost no more than the pool.

    python scripts/null_experiment.py --task classification --loss cross_entropy --pool 600 --runs 2000
    python scripts/null_experiment.py --task classification --known --pool 200 --runs 2000

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

from task_settings import add_option, options_of

from analysis import stats
from analysis.claims.comparison import decide
from analysis.snapshot import Snapshot
from archive.records import (
    CandidateRow,
    EvaluationRow,
    EvaluationState,
    EventKind,
    EventRow,
    Origin,
    RunRow,
)
from archive.spending import Spending
from evo.campaign.final_setup import final_event
from evo.proposing.genetic.builder import Builder
from fitness.schedule.final import baseline_grid, final, final_rung
from fitness.schedule.ladder import Job, RaceEntry, Seeds, leaders
from fitness.schedule.race import run_race
from fitness.schedule.settings import LadderSettings
from fitness.score import SeedResult
from fitness.task import TaskInfo, task_info
from fitness.workers.pool import score_all
from sandbox import known
from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.nearest import nearest_known
from sandbox.identity.relation import Kind, Part, Relation

SEARCH_SEEDS = 16
FACTORS = (0.5, 1.0, 2.0)
"""Multiples of beta, or of the learning rate, at which known losses are trained for the pool."""
SCALES = (1.0, 2.0)
"""Factors of a loss. Adam's steps do not depend on them, so they share a pool."""

Pool = Mapping[tuple[str, float, str], Sequence[float]]
"""Fitness by (loss, multiple of beta or learning rate, rung), one per training seed."""


@dataclass(frozen=True)
class Entry:
    """One entry of a run: a known loss at a multiple of its beta, and its relation by the comparison by function."""

    loss: str
    factor: float = 1.0
    relation: Relation | None = None


@dataclass(frozen=True)
class Outcome:
    """Claims of one run."""

    discovery: bool
    """A finalist is called better than every known loss, by the statistical tests alone."""
    announced: bool
    """A finalist is called a discovery, with the comparison by function."""
    above: bool
    """A finalist is called better than the baseline."""
    different: bool
    """A finalist is distinguishable from the baseline, in either direction."""
    uncorrected: bool
    """The leader's search score differs from the baseline's by a t-test of the search's own seeds."""
    leads: bool
    """The leader's search score is higher than the baseline's."""


def main() -> int:
    arguments = _arguments()
    options = options_of(arguments.task, arguments.set)
    info = task_info(arguments.task, options)
    settings = LadderSettings(
        contender_seeds=arguments.contender_seeds,
        finalists=arguments.finalists,
        finalist_seeds=arguments.finalist_seeds,
    )
    pool = _pool(arguments, info, options)
    rng = random.Random(arguments.seed)
    baselines, proposals = _entries(arguments, info)
    outcomes = []
    for _ in range(arguments.runs):
        entered = [rng.choice(proposals) for _ in range(arguments.proposals)]
        outcomes.append(one_run(rng, pool, info, settings, [*baselines, *entered], len(baselines)))
    # Known losses do differ, so it is not false to distinguish them. With --known only a discovery is a false claim.
    claim = [o.discovery for o in outcomes] if arguments.known else [o.different for o in outcomes]
    figures = {
        "false_discovery": _rate(claim, "fresh seeds, corrected (evopo's claim, by the tests alone)"),
        "announced": _rate([o.announced for o in outcomes], "the same after the comparison by function"),
        "above_baseline": _rate([o.above for o in outcomes], "a finalist called better than the baseline"),
        "search_scores_tested": _rate([o.uncorrected for o in outcomes], "not used: t-test of the search's own seeds"),
        "leader_believed": _rate([o.leads for o in outcomes], "not used: the leader's search score is higher"),
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
    rng: random.Random, pool: Pool, info: TaskInfo, settings: LadderSettings, entries: Sequence[Entry], baselines: int
) -> Outcome:
    """Search and final of one run. The first `baselines` entries are its seed losses, the first one its baseline."""
    seeds = Seeds(tuple(range(SEARCH_SEEDS)), tuple(range(1000, 1000 + settings.finalist_seeds)))
    drawn: dict[tuple[object, ...], int] = {}

    def measure(job: Job) -> tuple[float, float]:
        # One training seed per arm and run seed at all rungs, because rungs of one seed share data and order.
        arm = (job.candidate_id, job.seed, job.beta, job.learning_rate)
        values = _values(pool, entries[job.candidate_id], job, info)
        place = drawn.setdefault(arm, rng.randrange(len(values)))
        return values[place], info.rung(job.rung).estimated_seconds

    race = run_race(range(len(entries)), measure, info, settings, seeds, seed_losses=range(baselines))
    chosen = leaders(race.entries, info, settings, seeds)[: settings.finalists]
    also = [arm for entry in chosen if (arm := _near_arm(entries, entry.candidate_id, baselines, info)) is not None]
    by_id = {entry.candidate_id: entry for entry in race.entries}
    while jobs := final(race.entries, info, settings, seeds, also):
        for job in jobs:
            value, _ = measure(job)
            _note(by_id[job.candidate_id], job, value)
    names = {number: (part.loss if number < baselines else "entered") for number, part in enumerate(entries)}
    as_variations = {e.candidate_id: _as_variation(entries[e.candidate_id]) for e in chosen}
    relations = {e.candidate_id: entries[e.candidate_id].relation for e in chosen}
    decision = decide(_snapshot(race.entries, info, settings, seeds.final, names, as_variations))
    by_function = decide(_snapshot(race.entries, info, settings, seeds.final, names, relations))
    assert decision is not None and decision.best is not None and decision.fresh and by_function is not None
    searched = {e.candidate_id: _searched(e, info, seeds) for e in race.entries}
    leader = leaders(race.entries, info, settings, seeds)[0].candidate_id
    pair = stats.paired(searched[leader], searched[0])
    return Outcome(
        # Any finalist, not only the best: the stated level is the family-wise error rate.
        discovery=any(c.discovery for c in decision.finalists),
        announced=any(c.discovery for c in by_function.finalists),
        above=any(c.above for c in decision.finalists),
        different=any(c.distinguishable for c in decision.finalists),
        uncorrected=pair is not None and pair.p_value is not None and pair.p_value < stats.SIGNIFICANCE,
        leads=pair is not None and pair.difference > 0,
    )


def _entries(arguments: argparse.Namespace, info: TaskInfo) -> tuple[list[Entry], list[Entry]]:
    """The seed losses of a run, its baseline first, and the entries that proposals are drawn from."""
    if not arguments.known:
        return [Entry(arguments.loss)], [Entry(arguments.loss, relation=Relation(Kind.SAME, (Part(arguments.loss),)))]
    contract = contract_named(info.contract)
    names = list(dict.fromkeys(filter(None, (contract.baseline, *contract.seeds))))
    factors = FACTORS if info.beta is not None else (1.0,)
    drawn = [
        Entry(name, factor, nearest_known(_variant(name, factor, scale), info.beta))
        for name in names
        for factor in factors
        for scale in SCALES
        if factor == 1.0 or "beta" in known.graph(name).inputs
    ]
    return [Entry(name) for name in names], drawn


def _variant(name: str, factor: float, scale: float) -> VerifiedGraph:
    """The graph of a known loss at a multiple of beta and times a factor."""
    loss = known.graph(name)
    builder = Builder(loss.contract)
    place = next((i for i, n in enumerate(loss.nodes) if n.op == "input" and n.attrs["name"] == "beta"), None)
    replaced = {} if place is None or factor == 1.0 else {place: builder.input("beta") * factor}
    output = builder.graft(loss, replaced)[loss.output]
    return builder.finish(output if scale == 1.0 else output * scale)


def _values(pool: Pool, part: Entry, job: Job, info: TaskInfo) -> Sequence[float]:
    """The pool of a training: that of the nearest factor in the pool."""
    factor = part.factor
    if job.beta is not None and info.beta is not None:
        factor *= job.beta / info.beta
    if job.learning_rate is not None and info.learning_rate is not None:
        factor *= job.learning_rate / info.learning_rate
    there = [at for loss, at, rung in pool if loss == part.loss and rung == job.rung]
    nearest = min(there, key=lambda at: (abs(at / factor - 1), at))
    return pool[part.loss, nearest, job.rung]


def _near_arm(
    entries: Sequence[Entry], candidate: int, baselines: int, info: TaskInfo
) -> tuple[int, tuple[float | None, float | None]] | None:
    part = entries[candidate]
    if info.beta is None or part.factor == 1.0:
        return None
    number = next(n for n in range(baselines) if entries[n].loss == part.loss)
    return number, (info.beta * part.factor, None)


def _as_variation(part: Entry) -> Relation:
    """The relation of a loss that differs slightly more than the tolerance of the comparison by function."""
    return Relation(Kind.NEAR, (Part(part.loss, 1.0, part.factor),), 0.01)


def _note(entry: RaceEntry, job: Job, value: float) -> None:
    results, tuned = entry.results, entry.tuned
    assert isinstance(results, dict) and isinstance(tuned, dict)
    if job.beta is None and job.learning_rate is None:
        results[job.rung, job.seed] = value
    else:
        tuned[job.rung, job.seed, job.beta, job.learning_rate] = value


def _searched(entry: RaceEntry, info: TaskInfo, seeds: Seeds) -> dict[int, float]:
    """Fitness by seed at the highest search rung."""
    rung = info.search_rungs[-1].name
    return {seed: value for seed in seeds.search if (value := entry.results.get((rung, seed))) is not None}


def _snapshot(
    entries: Sequence[RaceEntry], info: TaskInfo, settings: LadderSettings, fresh: Sequence[int], names: Mapping[int, str],
    relations: Mapping[int, Relation | None],
) -> Snapshot:  # fmt: skip
    """The parts of this run's archive that comparisons read."""
    trained = {Job(e.candidate_id, *place): value for e in entries for place, value in e.results.items()}
    trained |= {Job(e.candidate_id, *place): value for e in entries for place, value in e.tuned.items()}
    rows = [
        EvaluationRow(
            id=0, candidate_id=job.candidate_id, task=info.name, rung=job.rung, seed=job.seed, beta=job.beta,
            learning_rate=job.learning_rate, state=EvaluationState.SCORED, fitness=value, metrics={}, seconds=None, tokens=None,
            attempts=1, reason=None, detail=None, queued_event=0, finished_event=0,
        )
        for job, value in trained.items()
    ]  # fmt: skip
    baselines = {e.candidate_id for e in entries if e.baseline}
    grid = baseline_grid(entries, info, settings)
    payload = final_event(final_rung(info), fresh, relations, info, grid)
    return Snapshot(
        run=RunRow("null", 0, info.name, info.contract, baseline=names[0]),
        candidates={
            number: CandidateRow(
                number, None, Origin.SEED if number in baselines else Origin.PROPOSAL, names[number], "", "", info.contract, 0, "",
            )
            for number in (e.candidate_id for e in entries)
        },
        parents={}, verdicts={}, findings={}, proposals={}, evaluations=tuple(rows),
        events=(EventRow(1, "", EventKind.FINAL, None, None, None, payload),),
        spending=Spending(0, 0, 0, 0.0, 0.0, 0, 0, 0, 0.0, 0), rungs=tuple(dict.fromkeys(row.rung for row in rows)),
    )  # fmt: skip


def _pool(arguments: argparse.Namespace, info: TaskInfo, options: Mapping[str, Any]) -> Pool:
    """Fitness of each known loss at every multiple and rung, read from the file if it has them."""
    rungs = [*(r.name for r in info.search_rungs), final_rung(info)]
    losses = contract_named(info.contract).seeds if arguments.known else (arguments.loss,)
    # In a task without beta, proposals have its own settings only; the baseline has other learning rates in the final.
    wanted = [
        (loss, factor, rung)
        for loss in losses
        for factor in (FACTORS if arguments.known else (1.0,))
        for rung in rungs
        if factor == 1.0 or info.beta is not None or rung == rungs[-1]
    ]
    identity = json.loads(json.dumps({"task": info.identity, "wanted": wanted, "pool": arguments.pool}))
    name = "known" if arguments.known else arguments.loss
    file = arguments.file or Path(tempfile.gettempdir()) / f"evopo-null-{arguments.task}-{name}.json"
    if file.exists():
        kept = json.loads(file.read_text("utf-8"))
        if kept["identity"] == identity:
            return {(loss, factor, rung): values for (loss, factor, rung), values in kept["pool"]}
    seconds = sum(info.rung(rung).estimated_seconds for *_, rung in wanted) * arguments.pool / arguments.workers
    print(
        f"training {len(wanted) * arguments.pool} times, about {seconds / 60:.1f} minutes; kept in {file}",
        file=sys.stderr,
    )
    pool: dict[tuple[str, float, str], list[float]] = {}
    for loss in losses:
        own = [key for key in wanted if key[0] == loss]
        results = {key: _trained(arguments, info, options, key) for key in own}
        # A seed on which any training failed is left out, because the experiment is about scores.
        whole = [i for i in range(arguments.pool) if all(isinstance(r[i], SeedResult) for r in results.values())]
        for key, row in results.items():
            pool[key] = [result.fitness for i in whole if isinstance(result := row[i], SeedResult)]
    file.write_text(json.dumps({"identity": identity, "pool": [[list(k), v] for k, v in pool.items()]}), "utf-8")
    return pool


def _trained(
    arguments: argparse.Namespace, info: TaskInfo, options: Mapping[str, Any], key: tuple[str, float, str]
) -> Sequence[object]:
    loss, factor, rung = key
    if factor == 1.0:
        settings = dict(options)
    elif info.beta is not None:
        settings = {**options, "beta": info.beta * factor}
    else:
        settings = {**options, "learning_rate": (info.learning_rate or 1.0) * factor}
    requests = [(known.graph(loss), rung, seed) for seed in range(arguments.pool)]
    return score_all(arguments.task, requests, settings, arguments.workers)


def _rate(happened: Sequence[bool], note: str) -> dict[str, Any]:
    interval = stats.wilson(sum(happened), len(happened))
    assert interval is not None
    return {"value": sum(happened) / len(happened), "interval": [interval.low, interval.high], "note": note}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--task", default="classification", help="task (%(default)s)")
    parser.add_argument("--loss", default="cross_entropy", help="the known loss of every entry (%(default)s)")
    parser.add_argument("--known", action="store_true", help="enter all seed losses at several betas instead of --loss")
    add_option(parser)
    parser.add_argument("--pool", type=int, default=600, help="training seeds to draw from (%(default)s)")
    parser.add_argument("--file", type=Path, help="file of the pool (default: in the temporary folder)")
    parser.add_argument("--runs", type=int, default=2000, help="number of runs to simulate (%(default)s)")
    parser.add_argument(
        "--proposals", type=int, default=48, help="entries of a run in addition to its seed losses (%(default)s)"
    )
    ladder = LadderSettings()
    for option, default, meaning in (
        ("--contender-seeds", ladder.contender_seeds, "most seeds of a contender in the search"),
        ("--finalists", ladder.finalists, "finalists of a run"),
        ("--finalist-seeds", ladder.finalist_seeds, "fresh seeds of the final"),
    ):
        parser.add_argument(option, type=int, default=default, help=f"{meaning} (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="training processes for the pool (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
