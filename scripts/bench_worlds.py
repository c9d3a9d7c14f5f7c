#!/usr/bin/env python3
"""Survey of the worlds of the embedded task: the known losses in each under one tuning budget, and what there is to find.

In each world, every known preference loss is tuned in the same way:

1. Each loss is trained at the rung `short` with every beta of one grid on one seed; the best ones go on, and the tuned DPO.
2. These are trained at `full` with every beta of the grid on two further seeds. This chooses the beta of each.
3. The best of them and DPO, each at its best beta, are measured at `full` on fresh seeds.

In the worlds `typical` and `unfamiliar`, hand-written losses enter at step 2. They use the structure of these worlds, and show what
there is to find.
Headroom is the mean paired difference to the tuned DPO on the fresh seeds, in units of one training's paired deviation (the
standard deviation of that difference over seeds).

Results are kept in a file of JSON lines as they come, so the same command continues an interrupted survey.

    python scripts/bench_worlds.py --world typical --cache runs/bench-worlds.jsonl
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_table import Figure, show

from fitness.sentiment.worlds import EMBEDDED, WORLDS
from fitness.task import EvaluationFailed, Task, make_task
from sandbox import known, vet
from sandbox.graph.loss_graph import VerifiedGraph

BETAS = (0.1, 0.3, 1.0)
SHORT_SEEDS, TUNING_SEEDS = (101,), (201, 202)
FRESH_SEEDS = tuple(range(301, 325))
DPO = "dpo"

_HEAD = """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    d = reference_chosen_logps - reference_rejected_logps
    s = reference_chosen_logps + reference_rejected_logps
    rho = policy_chosen_logps - policy_rejected_logps - d
    return """
HAND_WRITTEN = {
    "weighted by sigmoid(-d)": "-torch.nn.functional.logsigmoid(beta * rho) * torch.sigmoid(-d)",
    "weighted by sigmoid(-d / 2)": "-torch.nn.functional.logsigmoid(beta * rho) * torch.sigmoid(-0.5 * d)",
    "shifted by d / 2": "-torch.nn.functional.logsigmoid(beta * (rho + 0.5 * d))",
    "shifted by d": "-torch.nn.functional.logsigmoid(beta * (rho + d))",
    "weighted by sigmoid((s - mean s) / 2)": "-torch.nn.functional.logsigmoid(beta * rho) * torch.sigmoid(0.5 * (s - s.mean()))",
    "weighted by sigmoid((s - mean s) / 10)": "-torch.nn.functional.logsigmoid(beta * rho) * torch.sigmoid(0.1 * (s - s.mean()))",
}
"""Losses that read d, the reference's log-ratio of chosen to rejected, or s, its log-probability of both."""
STRUCTURED = ("typical", "unfamiliar")
"""The worlds in which wrong labels depend on d or s: only there the hand-written losses are measured."""

Key = tuple[str, str, str, float, int]
"""World, loss, rung, beta, seed."""


@dataclass(frozen=True)
class Row:
    """A loss at its best beta, on the fresh seeds."""

    loss: str
    beta: float
    scores: Mapping[int, float]

    def minus(self, other: Row) -> list[float]:
        """Paired differences of the seeds on which both were scored."""
        return [self.scores[seed] - other.scores[seed] for seed in self.scores if seed in other.scores]


class Scores:
    """Trainings of all worlds, those in the cache included. A failed training has the score -inf."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._tasks: dict[str, Task] = {}
        self._graphs: dict[str, VerifiedGraph] = {}
        self._found: dict[Key, float] = {}
        if cache.exists():
            for line in cache.read_text().splitlines():
                *key, fitness = json.loads(line)
                world, loss, rung, beta, seed = key
                self._found[world, loss, rung, beta, seed] = -math.inf if fitness is None else fitness

    def __call__(self, world: str, loss: str, rung: str, beta: float, seed: int) -> float:
        key = (world, loss, rung, beta, seed)
        if key not in self._found:
            self._found[key] = self._trained(*key)
            fitness = self._found[key]
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with self._cache.open("a") as file:
                file.write(json.dumps([*key, fitness if math.isfinite(fitness) else None]) + "\n")
        return self._found[key]

    def mean(self, world: str, loss: str, rung: str, beta: float, seeds: Iterable[int]) -> float:
        return fmean(self(world, loss, rung, beta, seed) for seed in seeds)

    def _trained(self, world: str, loss: str, rung: str, beta: float, seed: int) -> float:
        if world not in self._tasks:
            self._tasks[world] = make_task("sentiment", {"world": world})
        try:
            return self._tasks[world].score_seed(self._graph(loss), rung, seed, beta=beta).fitness
        except EvaluationFailed:
            return -math.inf

    def _graph(self, loss: str) -> VerifiedGraph:
        if loss not in self._graphs:
            self._graphs[loss] = _hand_written(loss) if loss in HAND_WRITTEN else known.graph(loss)
        return self._graphs[loss]


def _hand_written(name: str) -> VerifiedGraph:
    verdict = vet(_HEAD + HAND_WRITTEN[name] + "\n")
    if verdict.graph is None:
        raise SystemExit(f"the hand-written loss {name!r} is refused: {verdict.findings}")
    return verdict.graph


def survey(scores: Scores, world: str, kept: int, fresh: Sequence[int]) -> list[Row]:
    """The tuned DPO, the best tuned known losses, and the hand-written losses, on fresh seeds."""
    first = {
        name: max(scores.mean(world, name, "short", beta, SHORT_SEEDS) for beta in BETAS)
        for name in known.names("preference")
    }
    going_on = sorted(first, key=lambda name: -first[name])[:kept]
    tuned: dict[str, tuple[float, float]] = {}
    written = tuple(HAND_WRITTEN) if world in STRUCTURED else ()
    for name in dict.fromkeys([DPO, *going_on, *written]):
        tuned[name] = max((scores.mean(world, name, "full", beta, TUNING_SEEDS), beta) for beta in BETAS)
    known_ones = sorted((n for n in tuned if n in going_on and n != DPO), key=lambda name: -tuned[name][0])[: kept // 2]
    rows = []
    for name in [DPO, *known_ones, *written]:
        beta = tuned[name][1]
        values = {seed: scores(world, name, "full", beta, seed) for seed in fresh}
        rows.append(Row(name, beta, {seed: value for seed, value in values.items() if math.isfinite(value)}))
    return rows


def figures(world: str, rows: Sequence[Row]) -> dict[str, Figure]:
    """Fitness and difference to the tuned DPO of each row, and the headroom of the best known and of the best hand-written loss."""
    base, found = rows[0], {}
    best: dict[str, float] = {}
    for row in rows:
        mean = fmean(row.scores.values()) if row.scores else math.nan
        note = f"beta {row.beta:g}, {len(row.scores)} seeds"
        if row is not base and len(both := row.minus(base)) > 1:
            middle, deviation = fmean(both), stdev(both)
            units = middle / deviation
            note += f"; minus dpo {middle:+.3f} ± {deviation / math.sqrt(len(both)):.3f}, deviation {deviation:.3f}"
            note += f": {units:+.1f} deviations"
            kind = "hand-written" if row.loss in HAND_WRITTEN else "known"
            best[kind] = max(best.get(kind, 0.0), units)
        found[f"{world}: {row.loss}"] = Figure(mean, "", note=note)
    for kind, value in best.items():
        found[f"{world}: headroom of the best {kind} loss"] = Figure(value, "sd")
    return found


def main() -> None:
    arguments = _arguments()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    scores = Scores(arguments.cache)
    found: dict[str, Figure] = {}
    for world in arguments.world or [EMBEDDED, *(name for name in WORLDS if name != EMBEDDED)]:
        found |= figures(world, survey(scores, world, arguments.kept, FRESH_SEEDS[: arguments.seeds]))
    show(found, ("torch", "transformers", "trl"), as_json=arguments.json)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", action="append", choices=list(WORLDS), help="only this world (may be repeated)")
    parser.add_argument("--cache", type=Path, default=Path("runs/bench-worlds.jsonl"), help="results (%(default)s)")
    parser.add_argument("--kept", type=int, default=6, help="known losses that go on from `short` (%(default)s)")
    parser.add_argument(
        "--seeds", type=int, default=4, choices=range(2, 25), metavar="N", help="fresh seeds (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
