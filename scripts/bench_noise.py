#!/usr/bin/env python3
"""Where the noise of the embedded task comes from: the paired difference of two losses when one source alone is drawn anew.

    pairs        the training pairs and their labels
    order        the order of the pairs in training
    sampling     the prompts and the words that are drawn to measure a policy
    held-out     the same as sampling, by the held-out judge

Each source is drawn anew while the others stay, and the standard deviation of the difference of the two losses is printed. Sampling
is measured on the same policies by the plain mean of 512 rewards (as in the world `classic`) and as the world measures it.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev, variance
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_table import Figure, show

from fitness.sentiment.worlds import EMBEDDED, WORLDS
from sandbox import known

ORDERS, SETS = 9000, 8000
"""First seeds of redrawn orders and evaluation sets."""


class Laboratory:
    """Trains and measures with every source of noise given its own seed."""

    def __init__(self, world: str, losses: Sequence[tuple[str, float]]) -> None:
        import torch

        from fitness.sentiment.options import Options
        from fitness.sentiment.runner import SentimentRunner
        from fitness.sentiment.task import DATA

        torch.set_num_threads(1)
        self.losses = losses
        self.options = Options.model_validate({"world": world})
        self.runner = SentimentRunner(self.options, DATA)
        self.plain = SentimentRunner(Options(kl_weight=self.options.kl_weight), DATA)
        self.seconds: dict[str, list[float]] = {"plain": [], "own": [], "training": []}

    def trained(self, pairs: int, order: int) -> list[Any]:
        """A policy of each loss."""
        from fitness.training.curves import CurveRecorder

        rows, policies = self.runner._training_pairs(pairs), []
        for name, beta in self.losses:
            began = time.process_time()
            arguments = self.runner._arguments(self.options.full_steps, order, beta, self.options.learning_rate)
            trainer = self.runner._train(known.graph(name), rows, arguments, CurveRecorder())
            policies.append(trainer.model.eval())
            self.seconds["training"].append(time.process_time() - began)
        return policies

    def difference(self, policies: Sequence[Any], drawn: int, how: str, *, held_out: bool = False) -> float:
        """Fitness of the first loss minus that of the second."""
        runner = self.plain if how == "plain" else self.runner
        test = runner._evaluation_set(drawn, held_out)
        if how == "own" and self.options.record.controlled:
            runner._control(test.judge)  # once per judge and worker
        scores = []
        for policy in policies:
            began = time.process_time()
            values, _ = runner._measure(policy, test)
            self.seconds[how].append(time.process_time() - began)
            scores.append(math.fsum(values) / len(values))
        return scores[0] - scores[1]


def noise(laboratory: Laboratory, draws: int) -> dict[str, Figure]:
    """The standard deviation of each source, and what a training and its measurement cost."""
    by_pairs = [laboratory.trained(seed, ORDERS) for seed in range(1, draws + 1)]
    by_order = [by_pairs[0], *(laboratory.trained(1, ORDERS + i) for i in range(1, draws))]
    found: dict[str, Figure] = {}
    for how in ("plain", "own"):
        words = {"plain": "plain mean of 512 rewards", "own": f"as in {laboratory.options.world}"}[how]
        grid = [[laboratory.difference(each, SETS + i, how) for i in range(2)] for each in by_pairs]
        sampling = [
            variance([laboratory.difference(each, SETS + i, how) for i in range(2, 2 + draws)]) for each in by_pairs[:2]
        ]
        within = sum(sampling) / len(sampling)
        held_out = [laboratory.difference(by_pairs[0], SETS + i, how, held_out=True) for i in range(draws)]
        orders = [sum(laboratory.difference(each, SETS + i, how) for i in range(2)) / 2 for each in by_order]
        total = sum(stdev(column) ** 2 for column in zip(*grid, strict=True)) / 2
        rest = {"pairs": total - within, "order": variance(orders) - within / 2}
        found |= {f"{how}: sampling": Figure(math.sqrt(within), "", note=f"{words}; two policies, {draws} draws")}
        found |= {f"{how}: held-out": Figure(stdev(held_out), "", note=f"one policy, {draws} draws")}
        found |= {
            f"{how}: {source}": Figure(math.sqrt(max(0.0, value)), "", note=f"{draws} draws, sampling subtracted")
            for source, value in rest.items()
        }
        found |= {f"{how}: one training": Figure(math.sqrt(total), "", note="pairs and sampling drawn anew")}
        found |= {f"{how}: seconds": Figure(_mean(laboratory.seconds[how]), "CPU-s", note="one measurement")}
    found["training: seconds"] = Figure(_mean(laboratory.seconds["training"]), "CPU-s")
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default=EMBEDDED, choices=list(WORLDS), help="(%(default)s)")
    parser.add_argument("--losses", nargs=2, default=("dpo", "slic"), help="known losses (%(default)s)")
    parser.add_argument("--betas", nargs=2, type=float, default=(1.0, 1.0), help="their betas (%(default)s)")
    parser.add_argument(
        "--draws", type=int, default=8, choices=range(3, 65), metavar="N", help="of each source (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    laboratory = Laboratory(arguments.world, list(zip(arguments.losses, arguments.betas, strict=True)))
    show(noise(laboratory, arguments.draws), ("torch", "transformers", "trl"), as_json=arguments.json)


if __name__ == "__main__":
    main()
