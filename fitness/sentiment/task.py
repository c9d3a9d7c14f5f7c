"""The embedded task: preference training of a tiny language model towards positive movie reviews.

A small version of the IMDb experiment of Rafailov et al. 2023 and Lu et al. 2024, with nothing to download. The policy is a Llama
of 90,000 parameters that writes template reviews (`fitness.sentiment.reviews`). It is trained on pairs of its own samples,
ranked by a word list, with some of the labels flipped: which ones, and more, is the `world` (`fitness.sentiment.worlds`). Then it
writes reviews for prompts that it was not trained on:

    fitness = reward - kl_weight * KL(policy || reference), in nats per sequence

Both terms are means over the samples. The KL term penalises the distance from the reference, which the reward alone ignores.

A seed draws the pairs, the label noise, the order of training and the sampling noise. All candidates share them for one seed, so
their differences are less noisy than their values. Pairs, tokens and reference log-probabilities are computed once per seed
and kept for the next candidates. The rung `held_out` trains like `full`, and measures on prompts and with a classifier that
neither training nor search uses.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.sentiment.facts import facts_of
from fitness.sentiment.options import Options
from fitness.sentiment.worlds import EMBEDDED
from fitness.task.protocol import EvaluationFailed, Rung, SeedResult, TaskInfo, TaskOptions

if TYPE_CHECKING:
    from fitness.sentiment.runner import SentimentRunner
    from sandbox.graph.loss_graph import VerifiedGraph

NAME = "sentiment"
CONTRACT = "preference"
METRIC = "reward - kl_weight * KL, in reward units; KL in nats per sequence"
SHOWN = {"reward": "reward", "kl_per_sequence": "KL (nats)"}
DATA = Path(__file__).parent / "data"

# Measured on one core of a server of 2024, without the start of the worker (6 to 10 s), and rounded up.
SECONDS_PER_STEP = 0.003
SECONDS_PER_PAIR = 0.0017
"""For one pair in one step."""
SECONDS_PER_SAMPLE = 0.002
"""For one review that measures the trained policy."""
SECONDS_PER_NEW_PAIR = 0.002
"""For one pair of a seed that a worker has not used before: it is drawn, ranked and tokenised once."""

begins = {"world": EMBEDDED}


def info(options: TaskOptions) -> TaskInfo:
    """Contract, metric, rungs and identity; needs no torch."""
    assert isinstance(options, Options)
    world = options.record
    return TaskInfo(
        name=NAME,
        contract=CONTRACT,
        metric=METRIC.replace("kl_weight", f"{options.kl_weight:g}"),
        shown=SHOWN,
        rungs=_rungs(options),
        identified=lambda: {"task": NAME, "options": _identifying(options), "data": _data_version()},
        beta=options.beta,
        learning_rate=options.learning_rate,
        seed_seconds=SECONDS_PER_NEW_PAIR * options.pairs,
        deviation=world.deviation if options == Options(world=world.name) else None,
        opening=f"World {world.name}: {world.structure}.",
        facts=facts_of(options),
    )


def _identifying(options: Options) -> dict[str, Any]:
    """The options without the later ones at their first values: older runs, which do not have them, keep their identity."""
    later = {"world": "classic", "sampling_seeds": 1}
    return {key: value for key, value in options.model_dump().items() if key not in later or value != later[key]}


def make(options: TaskOptions) -> "SentimentTask":
    """The task; nothing is loaded before `prepare`."""
    assert isinstance(options, Options)
    return SentimentTask(options)


class SentimentTask:
    """The embedded task; see the module's docstring."""

    name = NAME
    contract = CONTRACT
    metric = METRIC

    def __init__(self, options: Options) -> None:
        self.options = options
        self.rungs: Mapping[str, Rung] = _rungs(options)
        self._runner: SentimentRunner | None = None

    def prepare(self) -> None:
        """Import the training stack and load the model; about 8 s of CPU time, nearly all of it imports."""
        from fitness.sentiment.runner import SentimentRunner

        if self._runner is None:
            self._runner = SentimentRunner(self.options, DATA)

    def score_seed(
        self,
        graph: "VerifiedGraph",
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> SeedResult:
        """Train a fresh copy of the model with `graph` and measure the reviews it writes.

        Metrics: reward, kl_per_sequence and kl_per_token (nats), preference_accuracy and margin (nats, of fresh pairs),
        distinct (fraction of samples), length (tokens per sample), train_loss; with several sampling seeds also reference_reward
        and standard errors over these seeds.
        Raises EvaluationFailed: diverged, collapsed, unsupported_loss, bad_data; KeyError for an unknown rung.
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

        Raises EvaluationFailed: diverged, unsupported_loss, bad_data; KeyError for an unknown rung.
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

        Raises EvaluationFailed: diverged, unsupported_loss, bad_data; KeyError for an unknown rung.
        """
        chosen, own = self.rungs[rung], self.options
        runner = self._ready_for(graph)
        runner.save_policy(graph, chosen, seed, Path(path), beta or own.beta, learning_rate or own.learning_rate)

    def _ready_for(self, graph: "VerifiedGraph | None") -> "SentimentRunner":
        if graph is not None and graph.contract != CONTRACT:
            raise EvaluationFailed("unsupported_loss", f"expected a {CONTRACT!r} loss, got {graph.contract!r}")
        self.prepare()
        assert self._runner is not None
        return self._runner


def _rungs(options: Options) -> dict[str, Rung]:
    full = options.full_steps
    short = min(options.short_steps, full)

    def seconds(steps: int) -> float:
        measuring = SECONDS_PER_SAMPLE * options.samples * options.sampling_seeds
        return round(measuring + (SECONDS_PER_STEP + SECONDS_PER_PAIR * options.batch_size) * steps, 2)

    rungs = (
        Rung("short", short, seconds(short), note="the whole schedule in fewer steps"),
        Rung("full", full, seconds(full), note="the whole training"),
        Rung("held_out", full, seconds(full), held_out=True, note="the whole training; fresh prompts, another judge"),
    )
    return {rung.name: rung for rung in rungs}


@cache
def _data_version() -> str:
    """Digest of the shipped model: a fitness holds for this model only."""
    digest: Any = hashlib.sha256()
    for path in sorted(DATA.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return str(digest.hexdigest()[:16])
