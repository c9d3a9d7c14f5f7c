#!/usr/bin/env python3
"""Benchmark of training and scoring, and of the ladder, as one table; `--json` prints one object, `--quick` ends within a minute.

    step time       evopo's TRL trainer, a bare PyTorch loop over the same tensors, and stock DPOTrainer, alternating
    overhead        share of a candidate's time that is neither optimiser steps nor evaluation
    workers         candidates per minute at each rung with 1 and 2 workers
    memory          of a worker, and its growth over 500 different losses
    rungs, race     Spearman's correlation of the lowest rung with the full one, and training time with and without the ladder,
                    from a survey of losses (scripts/fitness_survey.py; slow if its archive does not exist yet)

The embedded task is in the world `classic`. Ratios are medians measured in one run. Absolute times hold for this machine and its
load only.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_table import Figure, at_least, at_most, show
from fitness_survey import OPERATORS, survey
from survey_figures import race, rungs

from evo.proposing import genetic
from fitness.task import EvaluationFailed, FailureReason, task_info
from fitness.workers.pool import WorkerPool
from sandbox import known
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.vetting.pool import VetPool

PARTS = ("steps", "overhead", "workers", "memory", "rungs")
MARGIN = {"sentiment": 0.03, "classification": 0.01}
"""Difference in fitness to the best loss up to which a loss counts as equally good: about the standard error of the difference of
two means over the survey's truth seeds."""
QUICK_SURVEY = {"train_items": 300, "epochs": 6, "short_epochs": 2}
SLOWER_THAN_BARE = 1.25
SLOWER_THAN_STOCK = 0.8
MEMORY_GROWTH = 10.0  # MiB within the last 400 of 500 candidates
MEMORY_OPTIONS = {"pairs": 128, "epochs": 1, "samples": 128}


# ---- step time -------------------------------------------------------------------------------------------------------


def step_times(rounds: int, steps: int) -> dict[str, Figure]:
    """CPU milliseconds per optimiser step of DPO on the embedded task's model and pairs, batch of 16 pairs, one thread.

    CPU time, because the wall clock would include other work of the machine, and nothing here waits.
    """
    runner = _runner()
    pairs = runner._training_pairs(0)
    paths: dict[str, Callable[[], float]] = {
        "trl": lambda: _trl_step(runner, pairs, steps, ours=True),
        "bare": lambda: _bare_step(runner, pairs, steps),
        "stock": lambda: _trl_step(runner, pairs, steps, ours=False),
    }
    for path in paths.values():
        path()
    times = {name: [0.0] * rounds for name in paths}
    for number in range(rounds):
        for name, path in paths.items():
            times[name][number] = path()
    note = f"median of {rounds} alternating rounds of {steps} steps; ours {1e3 * median(times['trl']):.1f} ms"
    bare = median(a / b for a, b in zip(times["trl"], times["bare"], strict=True))
    stock = median(a / b for a, b in zip(times["trl"], times["stock"], strict=True))
    return {
        "step_ms": Figure(1e3 * median(times["trl"]), "ms", note=note),
        "step_over_bare_loop": at_most(bare, "ratio", SLOWER_THAN_BARE, f"bare {1e3 * median(times['bare']):.1f} ms"),
        "step_over_stock_trl": at_most(
            stock, "ratio", SLOWER_THAN_STOCK, f"stock {1e3 * median(times['stock']):.1f} ms"
        ),
    }


def _runner() -> Any:
    import gc

    import torch
    from transformers.utils import logging

    from fitness.sentiment.options import Options
    from fitness.sentiment.runner import SentimentRunner
    from fitness.sentiment.task import DATA

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    runner = SentimentRunner(Options(), DATA)
    gc.collect()
    gc.freeze()  # as a worker does
    return runner


def _clock() -> Any:
    """A trainer callback that records the start of the first step and the end of the last one, in CPU seconds."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        begun = ended = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.begun = self.begun or time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ended = time.process_time()

    return Clock()


def _trl_step(runner: Any, pairs: Any, steps: int, *, ours: bool) -> float:
    """CPU seconds per step of a trainer: evopo's, or TRL's with its own loss on the same cached columns."""
    from transformers import PrinterCallback
    from trl import DPOTrainer

    from fitness.training.trainer import GraphDPOTrainer

    class Stock(DPOTrainer):  # type: ignore[misc]
        """TRL's trainer without the work outside of steps: tokenising and the reference pass."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    clock = _clock()
    arguments = runner._arguments(steps, 0, runner.options.beta, runner.options.learning_rate)
    arguments.logging_steps = max(1, runner.options.full_steps // 8)  # as in a whole training
    common = {
        "model": copy.deepcopy(runner.reference).requires_grad_(True),
        "args": arguments,
        "train_dataset": pairs,
        "processing_class": runner.tokenizer,
        "callbacks": [clock],
    }
    trainer = GraphDPOTrainer(loss_graph=known.graph("dpo"), **common) if ours else Stock(**common)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return float(clock.ended - clock.begun) / steps


def _bare_step(runner: Any, pairs: Any, steps: int) -> float:
    """CPU seconds per step of the same work without a trainer: batches, forward, loss, backward, clipping, AdamW, schedule."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    from fitness.training.batches import PreferenceCollator
    from sandbox.execute.interpreter import compile_loss

    loss = compile_loss(known.graph("dpo"))
    model = copy.deepcopy(runner.reference).requires_grad_(True).train()
    arguments = runner._arguments(steps, 0, runner.options.beta, runner.options.learning_rate)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=arguments.learning_rate, weight_decay=arguments.weight_decay, fused=True
    )
    schedule = get_cosine_schedule_with_warmup(optimiser, arguments.warmup_steps, steps)
    collate = PreferenceCollator(pad_token_id=runner.pad)
    size = arguments.per_device_train_batch_size
    batches = [collate([pairs[i] for i in range(at, at + size)]) for at in range(0, len(pairs) - size + 1, size)]
    began = time.process_time()
    for step in range(steps):
        batch = batches[step % len(batches)]
        ids, mask = batch["input_ids"], batch["completion_mask"][:, 1:].bool()
        logits = model(input_ids=ids, attention_mask=batch["attention_mask"], use_cache=False).logits[:, :-1]
        log_probs = logits.log_softmax(dim=-1).gather(2, ids[:, 1:, None]).squeeze(2).masked_fill(~mask, 0.0)
        chosen, rejected = log_probs.sum(dim=1).chunk(2)
        reference = (batch["ref_chosen_logps"], batch["ref_rejected_logps"])
        loss(chosen, rejected, *reference, arguments.beta).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return (time.process_time() - began) / steps


# ---- overhead, workers, memory ---------------------------------------------------------------------------------------


def overhead(rounds: int, rung: str) -> dict[str, Figure]:
    """Percentage of a candidate's time, from request to result, that is neither optimiser steps nor evaluation."""
    from fitness.sentiment import runner as sentiment_runner
    from fitness.sentiment.options import Options as SentimentOptions
    from fitness.sentiment.task import make
    from fitness.training.trainer import GraphDPOTrainer

    clocks: list[Any] = []

    class Timed(GraphDPOTrainer):
        def __init__(self, **options: Any) -> None:
            clocks.append(_clock())
            super().__init__(**options, callbacks=[clocks[-1]])

    task = make(SentimentOptions())
    task.prepare()
    runner = task._runner
    assert runner is not None
    evaluation = [0.0]
    measure = runner._measure

    def timed_measure(*arguments: Any) -> Any:
        began = time.process_time()
        try:
            return measure(*arguments)
        finally:
            evaluation.append(time.process_time() - began)

    setattr(runner, "_measure", timed_measure)  # noqa: B010
    setattr(sentiment_runner, "GraphDPOTrainer", Timed)  # noqa: B010  (the name that the runner looks up)
    names = [name for name in ("dpo", "slic", "ipo", "exponential", "cell", "padll", "sppo_hard") for _ in range(2)]
    shares = []
    try:
        for name in names[: rounds + 1]:
            began = time.process_time()
            task.score_seed(known.graph(name), rung, 0)
            total = time.process_time() - began
            shares.append(100 * (1 - (clocks[-1].ended - clocks[-1].begun + evaluation[-1]) / total))
    finally:
        setattr(sentiment_runner, "GraphDPOTrainer", GraphDPOTrainer)  # noqa: B010
    inside = median(shares[1:])  # the first candidate also makes the seed's pairs, which later candidates reuse
    outside, memory = asyncio.run(_protocol(rounds, rung))
    return {
        "overhead": at_most(
            inside + outside, "%", 5.0, f"rung {rung}: {inside:.1f} % in the task, {outside:.1f} % in pipe and pool"
        ),
        "worker_memory": Figure(memory, "MiB", note=f"resident set of one worker after {rounds} candidates"),
    }


async def _protocol(rounds: int, rung: str) -> tuple[float, float]:
    """Percentage of the wall clock outside of the worker's task, and the worker's memory in MiB."""
    import psutil

    shares = []
    async with WorkerPool("sentiment", {}, 1) as pool:
        await pool.score(known.graph("dpo"), rung, 0)
        for _ in range(rounds):
            began = time.perf_counter()
            result = await pool.score(known.graph("dpo"), rung, 0)
            shares.append(100 * (1 - result.seconds / (time.perf_counter() - began)))
        memory = psutil.Process(pool.pids[0]).memory_info().rss / 2**20
    return median(shares), memory


async def memory(candidates: int) -> dict[str, Figure]:
    """Growth of a worker's resident set over many different losses, in real but short trainings."""
    import psutil

    graphs = _different_losses(candidates)
    sizes: list[float] = []
    failed = 0
    async with WorkerPool("sentiment", MEMORY_OPTIONS, 1) as pool:
        for number, graph in enumerate(graphs):
            try:
                await pool.score(graph, "full", number % 8)
            except EvaluationFailed as failure:  # a loss that collapses was trained too
                failed += failure.reason not in (FailureReason.DIVERGED, FailureReason.COLLAPSED)
            sizes.append(psutil.Process(pool.pids[0]).memory_info().rss / 2**20)
    tenth = candidates // 10
    early, late = median(sizes[tenth : 2 * tenth]), median(sizes[-tenth:])
    note = f"{candidates} losses; {early:.0f} MiB after {2 * tenth}, {late:.0f} at the end, {max(sizes):.0f} at most"
    return {
        "worker_memory_growth": at_most(late - early, "MiB", MEMORY_GROWTH, f"{note}; {failed} could not be trained")
    }


def _different_losses(count: int) -> list[VerifiedGraph]:
    """Distinct losses: known ones, and proposals of the built-in proposer that the sandbox accepts."""
    rng, names = Random("memory"), known.names("preference")
    parents = [genetic.Parent(known.graph(name), name) for name in names]
    found = {known.graph(name).to_json(): known.graph(name) for name in names}
    with VetPool(workers=2, contract="preference") as vetter:
        while len(found) < count:
            operator = OPERATORS[len(found) % len(OPERATORS)]
            verdict = vetter.vet_graph(genetic.propose(rng, "preference", operator, rng.sample(parents, 2)).graph)
            if verdict.accepted and verdict.graph is not None:
                found[verdict.graph.to_json()] = verdict.graph
    return list(found.values())[:count]


async def throughput(rounds: int, rungs: Sequence[str]) -> dict[str, Figure]:
    """Candidates per minute of the embedded task with one worker and with two, alternating."""
    figures: dict[str, Figure] = {}
    async with WorkerPool("sentiment", {}, 1) as one, WorkerPool("sentiment", {}, 2) as two:
        for pool, count in ((one, 1), (two, 2)):
            await asyncio.gather(*(pool.score(known.graph("dpo"), rungs[0], 0) for _ in range(2 * count)))
        for rung in rungs:
            rates: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(rounds):
                for pool, count in ((one, 1), (two, 2)):
                    began = time.perf_counter()
                    await asyncio.gather(*(pool.score(known.graph("dpo"), rung, 0) for _ in range(2 * count)))
                    rates[count].append(60 * 2 * count / (time.perf_counter() - began))
            gain = median(b / a for a, b in zip(rates[1], rates[2], strict=True))
            for count in (1, 2):
                figures[f"candidates_per_minute_{rung}_{count}"] = Figure(median(rates[count]), "1/min")
            cores = os.cpu_count() or 1
            note = f"median of {rounds}; load average {os.getloadavg()[0]:.1f} on {cores} cores"
            figures[f"two_workers_over_one_{rung}"] = at_least(gain, "ratio", 1.8, note)
    return figures


# ---- the whole -------------------------------------------------------------------------------------------------------


def main() -> None:
    arguments = _arguments()
    wanted = set(arguments.only or PARTS)
    quick = arguments.quick
    figures: dict[str, Figure] = {}
    if "steps" in wanted:
        figures |= step_times(rounds=5 if quick else 9, steps=16 if quick else 64)
    if "overhead" in wanted:
        figures |= overhead(rounds=3 if quick else 7, rung="short" if quick else "full")
    if "workers" in wanted and not quick:
        figures |= asyncio.run(throughput(rounds=5, rungs=("short", "full")))
    if "memory" in wanted and not quick:
        figures |= asyncio.run(memory(candidates=500))
    if "rungs" in wanted:
        task = "classification" if quick else arguments.task
        options = QUICK_SURVEY if quick else {}
        found = survey(
            task, options, arguments.survey or Path("runs") / f"survey-{task}{'-quick' * quick}", arguments.workers,
            proposals=3 if quick else 30, search_seeds=3 if quick else 5, truth_seeds=2 if quick else 4,
        )  # fmt: skip
        figures |= rungs(found) | race(found, replicas=5 if quick else 25, margin=MARGIN[task_info(task).name])
        if quick:  # a dozen losses are too few to measure what the ladder saves
            figures["race_time_saved"] = replace(figures["race_time_saved"], reach=None, reached=None)
    show(figures, ("torch", "transformers", "trl"), as_json=arguments.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="end within a minute, with a smaller survey")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part (may be repeated)")
    parser.add_argument("--task", default="sentiment", choices=sorted(MARGIN), help="of the survey (%(default)s)")
    parser.add_argument("--survey", type=Path, help="the survey's directory (runs/survey-TASK)")
    parser.add_argument("--workers", type=int, default=2, help="of the survey (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
