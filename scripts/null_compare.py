#!/usr/bin/env python3
"""Null experiment of `evopo compare`: how often a strategy differs from itself.

Plays comparisons of two groups of runs of one strategy. Curves, values and tests are the real code (`analysis.compare`). Every call
of "better" is false; at most 5 % of comparisons may make one. Both tests are played: matched pairs, and Welch's test for other
seeds.

From recorded runs of one strategy, which differ in their seed: each comparison draws two groups of them without overlap.

    python scripts/null_compare.py --recorded runs/null-s* --group 3 5 10 --comparisons 4000

From simulated runs: the real ladder on trainings from a pool that `scripts/null_experiment.py --known` has made. A proposal is a
known loss that is better or worse by a random amount, of the size of the differences between known losses, so there is something to
find. The known losses have the same scores in two runs with the same seed, as in real runs.

    python scripts/null_compare.py --pool evopo-null-classification-known.json --group 3 5 10 --comparisons 500

Prints one table, or JSON with --json; exits with 1 if a rate is above the stated level.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from analysis import stats
from analysis.compare.curves import Against, Shrinkage, curve_of
from analysis.compare.differences import Measure, corrected, difference
from analysis.compare.runs import Run, deciding_rung
from analysis.snapshot import Snapshot
from archive.query import Reader
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
from fitness.schedule.ladder import Job, Seeds
from fitness.schedule.race import run_race
from fitness.schedule.settings import LadderSettings
from fitness.task import task_info
from fitness.task.protocol import TaskInfo
from sandbox.contracts.contract import contract_named

SEARCH_SEEDS = 16
PROPOSALS = 24
AT = "2000-01-01T00:00:00.000+00:00"

Pool = Mapping[tuple[str, str], Sequence[float]]
"""Fitness by known loss and rung, one per training seed."""


def main() -> int:
    arguments = _arguments()
    rng = random.Random(arguments.seed)
    draw = _recorded(arguments.recorded, rng) if arguments.recorded else _simulated(arguments, rng)
    rates = {
        (size, matched): _rate([_differs(*draw(size, matched), matched) for _ in range(arguments.comparisons)])
        for size in arguments.group
        for matched in (True, False)
    }
    kept = all(low <= stats.SIGNIFICANCE for _, low, _ in rates.values())
    if arguments.json:
        rows = [
            {"runs": size, "matched": matched, "rate": rate, "interval": [low, high]}
            for (size, matched), (rate, low, high) in rates.items()
        ]
        print(json.dumps({"arguments": vars(arguments), "rates": rows, "as_stated": kept}, default=str))
    else:
        for (size, matched), (rate, low, high) in rates.items():
            test = "matched pairs" if matched else "Welch's test"
            print(f"{size:3} runs each, {test:13} {rate:6.2%}  [{low:.2%}, {high:.2%}]")
        print(f"stated level {stats.SIGNIFICANCE:.0%}: {'kept' if kept else 'NOT kept'}")
    return 0 if kept else 1


Draw = Callable[[int, bool], tuple[Sequence[Run], Sequence[Run]]]
"""Two groups of so many runs of one strategy; where seeds can be chosen, with the same seeds (true) or with others."""


def _differs(ours: Sequence[Run], theirs: Sequence[Run], matched: bool) -> bool:
    """Whether any of the measures of `evopo compare` is distinguishable between two groups."""
    runs = [*ours, *theirs]
    rung = deciding_rung(runs)
    shrinkage = Shrinkage.of(list(s.values()) for run in runs for s in run.advantages[rung].values())
    curves = [[curve_of(run, rung, shrinkage, Against.TRAININGS) for run in group] for group in (ours, theirs)]
    upto = min(curve.end for group in curves for curve in group)
    # What a run is matched by: the place in its group, or nothing that the other group has.
    keys = [[(str(n), "" if matched else str(side)) for n in range(len(ours))] for side in (0, 1)]
    values = {
        Measure.END: [[curve.at(upto) for curve in group] for group in curves],
        Measure.AREA: [[curve.area(upto) for curve in group] for group in curves],
    }
    tests = [
        difference(
            "one", "other", measure, dict(zip(keys[0], own, strict=True)), dict(zip(keys[1], other, strict=True))
        )
        for measure, (own, other) in values.items()
    ]
    return any(test.distinguishable for test in corrected(tests))


def _rate(happened: Sequence[bool]) -> tuple[float, float, float]:
    interval = stats.wilson(sum(happened), len(happened))
    assert interval is not None
    return sum(happened) / len(happened), interval.low, interval.high


# ---- recorded runs -------------------------------------------------------------------------------------------------


def _recorded(directories: Sequence[Path], rng: random.Random) -> Draw:
    runs = []
    for directory in directories:
        with Reader.open(directory / "archive.db") as reader:
            runs.append(Run(str(directory), Snapshot.of(reader, every_event=True), {}))

    def draw(size: int, _: bool) -> tuple[Sequence[Run], Sequence[Run]]:
        if 2 * size > len(runs):
            raise SystemExit(f"two groups of {size} runs need {2 * size} recorded runs, got {len(runs)}")
        drawn = rng.sample(runs, 2 * size)
        return drawn[:size], drawn[size:]

    return draw


# ---- simulated runs ------------------------------------------------------------------------------------------------


def _simulated(arguments: argparse.Namespace, rng: random.Random) -> Draw:
    stored = json.loads(arguments.pool.read_text("utf-8"))["pool"]
    pool = {(loss, rung): values for (loss, factor, rung), values in stored if factor == 1.0}
    info = task_info(arguments.task, {})

    pairs = [[simulated(pool, info, seed, rng) for _ in range(2)] for seed in range(arguments.bank)]

    def draw(size: int, matched: bool) -> tuple[Sequence[Run], Sequence[Run]]:
        if matched:
            drawn = [rng.sample(pair, 2) for pair in rng.sample(pairs, size)]
            return [one for one, _ in drawn], [other for _, other in drawn]
        apart = [rng.choice(pair) for pair in rng.sample(pairs, 2 * size)]
        return apart[:size], apart[size:]

    return draw


def simulated(pool: Pool, info: TaskInfo, seed: int, rng: random.Random) -> Run:
    """A run with the given seed, which determines the scores of its known losses; `rng` draws the proposals and their scores."""
    contract = contract_named(info.contract)
    names = list(dict.fromkeys(filter(None, (contract.baseline, *contract.seeds))))
    top = info.search_rungs[-1].name
    between = statistics.stdev(stats.mean(pool[name, top]) for name in names)
    proposed = [(rng.choice(names), rng.gauss(0.0, between), rng.randrange(2**31)) for _ in range(PROPOSALS)]
    losses = [*((name, 0.0, seed) for name in names), *proposed]
    order: list[tuple[Job, float]] = []

    def measure(job: Job) -> tuple[float, float]:
        name, offset, luck = losses[job.candidate_id]
        # One training seed at all rungs, because rungs of one seed share data and order.
        place = random.Random(f"{luck} {job.candidate_id} {job.seed}").randrange(len(pool[name, job.rung]))
        value = pool[name, job.rung][place] + offset
        order.append((job, value))
        return value, 1.0

    settings = LadderSettings()
    run_race(range(len(losses)), measure, info, settings, Seeds(tuple(range(SEARCH_SEEDS)), ()), range(len(names)))
    return Run(f"simulated {seed}", _snapshot(order, [name for name, _, _ in losses], len(names), info, seed), {})


def _snapshot(
    order: Sequence[tuple[Job, float]], names: Sequence[str], known: int, info: TaskInfo, seed: int
) -> Snapshot:
    """The parts of a run's archive that curves read."""
    rows = [
        EvaluationRow(
            id=n, candidate_id=job.candidate_id, task=info.name, rung=job.rung, seed=job.seed, beta=None, learning_rate=None,
            state=EvaluationState.SCORED, fitness=value, metrics={}, seconds=None, tokens=None, attempts=1, reason=None,
            detail=None, queued_event=n, finished_event=n,
        )
        for n, (job, value) in enumerate(order, start=1)
    ]  # fmt: skip
    return Snapshot(
        run=RunRow("null", seed, info.name, info.contract, baseline=names[0]),
        candidates={
            id: CandidateRow(
                id, None, Origin.SEED if id < known else Origin.PROPOSAL, name, "", "", info.contract, 0, ""
            )
            for id, name in enumerate(names)
        },
        parents={}, verdicts={}, findings={}, proposals={}, evaluations=tuple(rows),
        events=tuple(EventRow(row.id, AT, EventKind.EVALUATION_SCORED, row.candidate_id, None, row.id, None) for row in rows),
        spending=Spending(0, 0, 0, 0.0, 0.0, 0, 0, 0, 0.0, 0), rungs=tuple(dict.fromkeys(row.rung for row in rows)),
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--recorded", type=Path, nargs="+", metavar="DIR", help="recorded runs of one strategy")
    source.add_argument("--pool", type=Path, help="a pool made by scripts/null_experiment.py --known")
    parser.add_argument("--task", default="classification", help="the task of the pool (%(default)s)")
    parser.add_argument(
        "--bank", type=int, default=200, help="pairs of runs with one seed to simulate and draw from (%(default)s)"
    )
    parser.add_argument("--group", type=int, nargs="+", default=[3, 5, 10], help="runs of each group (3 5 10)")
    parser.add_argument("--comparisons", type=int, default=500, help="comparisons to play of each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not arguments.recorded and 2 * max(arguments.group) > arguments.bank:
        parser.error(
            f"groups of {max(arguments.group)} runs need a --bank of twice as many pairs, got {arguments.bank}"
        )
    return arguments


if __name__ == "__main__":
    sys.exit(main())
