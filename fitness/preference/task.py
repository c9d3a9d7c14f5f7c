"""The preference task: preference training of any Hugging Face causal language model on any preference data set.

TRL's DPOTrainer trains with the candidate in place of DPO's loss: full fine-tuning, LoRA or QLoRA, on a CPU, a GPU, or several
GPUs under `accelerate launch` (DDP, FSDP, DeepSpeed). The tokens and the reference log-probabilities are computed once and kept
on disk for all candidates.

The option `evaluation.by` selects one of five kinds of fitness:

    accuracy      fraction of held-out pairs whose margin rho is positive
    margin        mean margin rho of held-out pairs, in nats
    reward_model  mean reward of sampled answers - kl_weight * KL to the reference, in nats per sequence
    vader         likewise, with the sentiment of the answers by a word list as the reward
    judge         win rate of sampled answers over the reference's (or the data's chosen ones), as an LLM judges

Test pairs are split into two halves: one for the search, the other for the rung `held_out`. A seed draws training pairs,
their order, test pairs, adapter weights and sampling noise, the same for all candidates.

This module needs no torch; `fitness.preference.runner` trains and evaluates.
"""

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fitness.chat.costs import Service, Usage
from fitness.preference.judge.costs import judge_service
from fitness.preference.options import (
    LEAST_TEST_PAIRS,
    JudgeEvaluation,
    Options,
    PairEvaluation,
    RewardEvaluation,
    VaderEvaluation,
    essential,
    evaluations,
    named,
)
from fitness.preference.pairs.digests import path_digest
from fitness.preference.pairs.reading.folders import is_saved
from fitness.task.protocol import EvaluationFailed, Rung, SeedResult, TaskError, TaskInfo, TaskOptions

if TYPE_CHECKING:
    from fitness.preference.runner import PreferenceRunner
    from sandbox.graph.loss_graph import VerifiedGraph

PREPARATION_SECONDS = 6 * 3600.0
"""Time limit for the preparation, in seconds: download of a large model, and the reference pass over all pairs."""

NAME = "preference"
CONTRACT = "preference"

KERNELS = {
    "flash_attention_2": "flash_attn",
    "flash_attention_3": "flash_attn_interface",
    "flash_attention_4": "flash_attn",
}
"""Modules of attention kernels. Without them transformers uses the package `kernels`."""


def info(options: TaskOptions) -> TaskInfo:
    """Contract, metric, rungs and identity; needs no torch."""
    assert isinstance(options, Options)
    return TaskInfo(
        name=NAME,
        contract=CONTRACT,
        metric=_metric(options.evaluation),
        shown=_shown(options.evaluation, options.held_out_evaluation),
        rungs=_rungs(options),
        identified=lambda: {"task": NAME, "options": essential(options), "data": _version(options)},
        beta=options.beta,
        learning_rate=options.learning_rate,
        counted=lambda: most_judged(options),
        preparation_seconds=PREPARATION_SECONDS,
        offline=_offline(options),
        services=_services(options),
        facts=_facts(options),
    )


def check(options: TaskOptions) -> None:
    """Raises TaskError, one line per fault, if a package is missing or the options name something unusable."""
    from fitness.preference.caches import cache_faults
    from fitness.preference.checks import faults

    assert isinstance(options, Options)
    if found := [*_missing_packages(options), *faults(options), *cache_faults(options)]:
        raise TaskError("\n".join(found))


def check_online(options: TaskOptions) -> None:
    """Raises TaskError, one line per fault, if the hub does not have a name in the options."""
    from fitness.preference.checks import faults_online

    assert isinstance(options, Options)
    if found := faults_online(options):
        raise TaskError("\n".join(found))


def show_data(options: TaskOptions, say: Callable[[str], None], shown: int, *, whole: bool) -> None:
    """Print through `say` the data as a model sees it, with `shown` training pairs. Raises EvaluationFailed("bad_data")."""
    from fitness.preference.view import show_data as show

    assert isinstance(options, Options)
    show(options, say, shown, whole=whole)


def _missing_packages(options: Options) -> list[str]:
    found = []
    if options.lora and find_spec("peft") is None:
        found.append("fitness.lora needs peft, not installed here; run: pip install 'evopo[train]'")
    if any(isinstance(e, JudgeEvaluation) for e in evaluations(options)) and find_spec("openai") is None:
        found.append("a judge (fitness.evaluation) needs openai, not installed here; run: pip install 'evopo[llm]'")
    kernel = KERNELS.get(options.attention or "")
    if kernel and find_spec(kernel) is None and find_spec("kernels") is None:
        found.append(
            f"fitness.attention={options.attention} needs the module {kernel} (or the package kernels), not installed here; "
            "install it, or set fitness.attention=sdpa"
        )
    if any(isinstance(e, VaderEvaluation) for e in evaluations(options)) and find_spec("vaderSentiment") is None:
        found.append("an evaluation by vader needs vaderSentiment, not installed here; run: pip install 'evopo[vader]'")
    if options.quantization and find_spec("bitsandbytes") is None:
        found.append("fitness.quantization needs bitsandbytes, not installed here; run: pip install bitsandbytes")
    return found


def make(options: TaskOptions) -> "PreferenceTask":
    """The task; nothing is loaded before `prepare`."""
    assert isinstance(options, Options)
    return PreferenceTask(options)


class PreferenceTask:
    """The preference task; see the module's docstring."""

    name = NAME
    contract = CONTRACT

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metric = _metric(options.evaluation)
        self.rungs: Mapping[str, Rung] = _rungs(options)
        self._runner: PreferenceRunner | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the data: pairs left out, columns not read, and findings. Empty before `prepare`."""
        return self._runner.notes if self._runner else ()

    @property
    def paid(self) -> Usage | None:
        """Usage of the judges' availability checks; None if no judge was called."""
        return self._runner.paid if self._runner else None

    @property
    def judged(self) -> int | None:
        """Number of prompts in the final's evaluation; None before `prepare`."""
        return self._runner.judged if self._runner else None

    def prepare(self) -> None:
        """Run all checks, load model, data and evaluators, and compute the reference cache if it does not exist.

        Raises EvaluationFailed("bad_data") that names the remedy; "out_of_memory" in the reference pass.
        """
        from fitness.preference.caches import no_room
        from fitness.preference.runner import PreferenceRunner

        if self._runner is not None:
            return
        try:
            self._runner = PreferenceRunner(self.options)
        except Exception as error:
            if full := no_room(error, self.options):
                raise EvaluationFailed("bad_data", full) from error
            raise

    def score_seed(
        self,
        graph: "VerifiedGraph",
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> SeedResult:
        """Train a fresh policy with `graph` and evaluate it.

        Metrics: accuracy, margin (nats) and reward_margin (beta * margin) of the test pairs, and train_loss. If the evaluation
        samples answers, also reward or win_rate, kl_per_sequence and kl_per_token (nats), and length (tokens).
        Raises EvaluationFailed: diverged, out_of_memory, unsupported_loss, collapsed (too many of a judge's replies about the
        answers are unreadable), bad_data (also if a judge stopped answering).
        """
        chosen, own = self.rungs[rung], self.options
        runner = self._ready_for(graph)
        return runner.score(graph, chosen, seed, beta or own.beta, learning_rate or own.learning_rate)

    def pair_margins(
        self,
        graph: "VerifiedGraph",
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> list[float]:
        """Train like `score_seed`, and return the margins rho of the training pairs under the trained policy, in nats.

        Raises EvaluationFailed: diverged, unsupported_loss, out_of_memory; KeyError for an unknown rung.
        """
        chosen, own = self.rungs[rung], self.options
        runner = self._ready_for(graph)
        return runner.pair_margins(graph, chosen, seed, beta or own.beta, learning_rate or own.learning_rate)

    def save_policy(
        self,
        graph: "VerifiedGraph | None",
        rung: str,
        seed: int,
        path: str | Path,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> None:
        """Train like `score_seed`, and save the policy and its tokenizer to the folder `path`; without a graph the untrained one.

        An adapter is merged into its base model. Raises EvaluationFailed: diverged, unsupported_loss, out_of_memory; KeyError for
        an unknown rung.
        """
        chosen, own = self.rungs[rung], self.options
        runner = self._ready_for(graph)
        runner.save_policy(graph, chosen, seed, Path(path), beta or own.beta, learning_rate or own.learning_rate)

    def _ready_for(self, graph: "VerifiedGraph | None") -> "PreferenceRunner":
        if graph is not None and graph.contract != CONTRACT:
            raise EvaluationFailed("unsupported_loss", f"expected a {CONTRACT!r} loss, got {graph.contract!r}")
        self.prepare()
        assert self._runner is not None
        return self._runner


def _metric(evaluation: PairEvaluation | RewardEvaluation | JudgeEvaluation) -> str:
    match evaluation:
        case PairEvaluation(by="accuracy"):
            return "accuracy on held-out pairs, a fraction"
        case PairEvaluation():
            return "mean margin of held-out pairs, in nats"
        case RewardEvaluation(kl_weight=weight):
            mean = "mean sentiment (VADER)" if isinstance(evaluation, VaderEvaluation) else "mean reward"
            return mean + (f" - {weight:g} * KL, KL in nats per sequence" if weight else "")
        case JudgeEvaluation(opponent=opponent):
            return (
                f"win rate over {'the reference' if opponent == 'reference' else 'chosen answers'}, a tie is one half"
            )


def _shown(*evaluations: PairEvaluation | RewardEvaluation | JudgeEvaluation | None) -> dict[str, str]:
    """Metrics to show next to the fitness, by the evaluations used, with their headings."""
    found: dict[str, str] = {}
    for evaluation in evaluations:
        match evaluation:
            case PairEvaluation():
                found |= {"accuracy": "accuracy", "margin": "margin (nats)"}
            case RewardEvaluation():
                found |= {"reward": "reward", "kl_per_sequence": "KL (nats)"}
            case JudgeEvaluation():
                found |= {"win_rate": "win rate", "kl_per_sequence": "KL (nats)"}
    return found


def _facts(options: Options) -> dict[str, str]:
    """What a proposer should know of a training, by name; all of it follows from the options.

    Paths are left out: only the last part of a model's or data set's name is given.
    """
    trained = f"a LoRA adapter of rank {options.lora.r} is trained" if options.lora else "all weights are trained"
    steps, short = options.full_steps, min(options.short_steps, options.full_steps)
    found = {
        "model": f"{_last_part(options.model)}, a causal language model; {trained}",
        "data": f"{_last_part(options.data)}; {options.pairs} training pairs per seed",
        "training": (
            f"{steps} optimiser steps (passes over the pairs: {options.epochs}, batches of {options.batch_size} pairs); a first "
            f"selection uses {short} steps"
        ),
        "optimiser": (
            f"{options.optimizer}, peak learning rate {options.learning_rate:g}, {100 * options.warmup:g} % warm-up, cosine to "
            f"zero, gradient norm clipped at {options.max_grad_norm:g}"
        ),
        "beta": f"{options.beta:g} per nat",
        "longest prompt plus completion": f"{options.max_length} tokens",
    }
    if options.statistics == "micro_batch":
        found["batch"] = (
            f"a loss is computed on {options.micro_batch} pairs at a time; statistics over the batch are of these"
        )
    if isinstance(options.evaluation, RewardEvaluation):
        found["weight of the KL term"] = f"{options.evaluation.kl_weight:g} of reward per nat of KL per sequence"
    return found


def _last_part(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def _rungs(options: Options) -> dict[str, Rung]:
    full, short = options.full_steps, min(options.short_steps, options.full_steps)

    def seconds(steps: int) -> float:
        return options.seconds_per_step * steps + options.evaluation_seconds * options.sampling_seeds

    final = _metric(options.held_out_evaluation) if options.held_out_evaluation else ""
    rungs = (
        Rung("short", short, seconds(short), note="the whole schedule in fewer steps"),
        Rung("full", full, seconds(full), note="the whole training"),
        Rung(
            "held_out",
            full,
            seconds(full),
            held_out=True,
            note="the whole training; test pairs that the search never used",
            metric=final,
        ),
    )
    return {rung.name: rung for rung in rungs}


def _services(options: Options) -> tuple[Service, ...]:
    """The judges' endpoints, each with the rungs at which it is used."""
    asked = {True: options.held_out_evaluation or options.evaluation, False: options.evaluation}
    keys = {True: "held_out_evaluation" if options.held_out_evaluation else "evaluation", False: "evaluation"}
    judges = {keys[held_out]: judge for held_out, judge in asked.items() if isinstance(judge, JudgeEvaluation)}
    return tuple(
        judge_service(
            f"fitness.{key}",
            judge,
            options.max_length,
            [rung.name for rung in _rungs(options).values() if keys[rung.held_out] == key],
        )
        for key, judge in judges.items()
    )


def most_judged(options: Options) -> int | None:
    """Upper bound on the number of prompts in the held-out half, from the options and a local .jsonl file; else None.

    The actual number is lower if pairs share a prompt or are left out.
    """
    tests = [] if options.test_pool is None else [options.test_pool]
    path = Path(options.data)
    if options.test_split is None and path.suffix == ".jsonl" and os.path.isfile(path):
        with path.open("rb") as file:
            rows = sum(1 for line in file if line.strip())
        tests.append(max(LEAST_TEST_PAIRS, round(options.test_fraction * rows)))
    return -(-min(tests) // 2) if tests else None


def _offline(options: Options) -> bool:
    """Whether every model and data set is a path on this machine."""
    return all(os.path.exists(name) for name in named(options).values())


def _version(options: Options) -> dict[str, str]:
    """Version of each named model and data set: the digest of a local path, else the revision on the hub."""
    revisions = {"model": options.model_revision, "data": options.data_revision}
    # Digests of save_to_disk folders have always included hidden files. Other folders may hold files of the hub or of git.
    hidden = is_saved(Path(options.data))
    return {
        key: path_digest(Path(name), hidden=key != "data" or hidden) or revisions.get(key) or "main"
        for key, name in named(options).items()
    }
