#!/usr/bin/env python3
"""Null experiment on test items: the rate of false discoveries that come from a small test set.

In the simulated finals, no loss is better than the baseline. Baseline and finalists are trained on the same seeds and measured on
the same items, each right or wrong. Items differ in difficulty. Each loss finds some items easier than the other losses do, by
chance and on every seed. Each training has its own noise. Over all possible items the losses are equal, so every claim is a false
discovery. The t-test over seeds ignores that the test set is a sample of items. The comparison that covers seeds and items
(`analysis.claims.crossed`) should keep its level.

    python scripts/null_items.py --items 6 20 200 --seeds 4 24

Prints one table, or JSON with --json; exits with 1 if false discoveries over seeds and items are above the stated level.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from analysis import stats
from analysis.claims.crossed import paired_crossed
from archive.records import Items
from fitness.schedule.settings import LadderSettings

HARDNESS = 1.0
"""Standard deviation of the difficulty of items, common to all losses, on the scale of a unit normal threshold."""

NOISE = 1.0
"""Standard deviation of the noise of each measurement (one loss, seed and item)."""


def main() -> int:
    arguments = _arguments()
    rows = [
        {"items": items, "seeds": seeds, **_figures(arguments, items, seeds)}
        for seeds in arguments.seeds
        for items in arguments.items
    ]
    stated = all(row["seeds_and_items"]["interval"][0] <= stats.SIGNIFICANCE for row in rows)
    if arguments.json:
        print(json.dumps({"arguments": vars(arguments), "rows": rows, "as_stated": stated}))
    else:
        print(f"{arguments.runs} runs with {arguments.finalists} finalists each; false discoveries [95 %]")
        print(f"{'seeds':>5} {'items':>5}  {'t-test over seeds':>24}  {'seeds and items':>24}")
        for row in rows:
            print(f"{row['seeds']:5} {row['items']:5}  {_shown(row['seeds_alone'])}  {_shown(row['seeds_and_items'])}")
        print(f"stated level {stats.SIGNIFICANCE:.0%}: {'kept' if stated else 'NOT kept'}")
    return 0 if stated else 1


def _figures(arguments: argparse.Namespace, items: int, seeds: int) -> dict[str, Any]:
    rng = np.random.default_rng([arguments.seed, items, seeds])
    alone = both = 0
    for _ in range(arguments.runs):
        baseline, *finalists = final(rng, items, seeds, arguments.finalists, arguments.taste, arguments.training)
        alone += any(p < stats.SIGNIFICANCE for p in stats.holm([over_seeds(ours, baseline) for ours in finalists]))
        both += any(p < stats.SIGNIFICANCE for p in stats.holm([over_both(ours, baseline) for ours in finalists]))
    return {"seeds_alone": _rate(alone, arguments.runs), "seeds_and_items": _rate(both, arguments.runs)}


def final(
    rng: np.random.Generator, items: int, seeds: int, finalists: int, taste: float, training: float
) -> list[dict[int, Items]]:
    """Results of a baseline and its finalists in a simulated final, by seed: for each item 1 (right) or 0 (wrong)."""
    hardness = HARDNESS * rng.normal(size=items)
    losses = []
    for _ in range(finalists + 1):
        score = hardness + taste * rng.normal(size=items) + training * rng.normal(size=(seeds, 1))
        right = score + NOISE * rng.normal(size=(seeds, items)) > 0
        groups = tuple(map(str, range(items)))
        losses.append({seed: Items(tuple(map(float, row)), groups) for seed, row in enumerate(right)})
    return losses


def over_seeds(ours: Mapping[int, Items], theirs: Mapping[int, Items]) -> float:
    """p-value of the t-test over the means of seeds."""
    pair = stats.paired(_means(ours), _means(theirs))
    return 1.0 if pair is None or pair.p_value is None else pair.p_value


def _means(results: Mapping[int, Items]) -> dict[int, float]:
    return {seed: stats.mean(items.values) for seed, items in results.items()}


def over_both(ours: Mapping[int, Items], theirs: Mapping[int, Items]) -> float:
    """p-value of the comparison that covers seeds and items."""
    found = paired_crossed(ours, theirs)
    return 1.0 if found is None else found.p_value


def _rate(happened: int, runs: int) -> dict[str, Any]:
    interval = stats.wilson(happened, runs)
    assert interval is not None
    return {"value": happened / runs, "interval": [interval.low, interval.high]}


def _shown(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:8.2%} [{low:6.2%},{high:6.2%}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--items", type=int, nargs="+", default=[6, 20, 200], help="items of the test set (%(default)s)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 24], help="fresh seeds of the final (%(default)s)")
    parser.add_argument(
        "--finalists", type=int, default=LadderSettings().finalists, help="finalists of the final (%(default)s)"
    )
    parser.add_argument(
        "--taste",
        type=float,
        default=1.0,
        help="deviation of what one loss finds easier than others, on every seed (%(default)s)",
    )
    parser.add_argument("--training", type=float, default=0.2, help="deviation of a training's noise (%(default)s)")
    parser.add_argument("--runs", type=int, default=2000, help="number of runs to simulate of each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
