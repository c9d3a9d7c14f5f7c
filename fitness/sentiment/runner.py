"""Runner of the embedded task: model, preference pairs, training and measurement (imports torch and trl).

Sampling is the arg max of logits plus Gumbel noise, which is drawn from the seed independently of the model. So two similar
policies mostly write the same words, and the difference of two losses is less noisy than either fitness. Except in the world
`classic`, control variates take the luck of the draws out of the reward (`fitness.sentiment.control`).
"""

import copy
import math
import random
import tempfile
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoTokenizer, LlamaForCausalLM, PrinterCallback
from transformers.cache_utils import DynamicCache
from transformers.utils import logging as transformers_logging
from trl import DPOConfig

from fitness.score import over_sampling_seeds
from fitness.sentiment import control
from fitness.sentiment.collapse import refuse_collapsed
from fitness.sentiment.options import Options
from fitness.sentiment.reviews import (
    BOS,
    EOS,
    PAD,
    PolarityClassifier,
    Split,
    adjective_reward,
    lexicon_reward,
    prompts,
    write_reviews,
)
from fitness.sentiment.saving import save
from fitness.sentiment.worlds import flipped
from fitness.task.protocol import EvaluationFailed, ItemScores, Rung, SeedResult
from fitness.training.curves import CurveRecorder
from fitness.training.trainer import GraphDPOTrainer

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import VerifiedGraph

Judge = Callable[[str], float]

LONGEST_BODY = 27  # tokens of the longest review after its prompt, the end included
TEST_PAIRS = 128
KEPT_SEEDS = 32  # of training pairs and of evaluation sets, about 1 MB each
SEQUENCES_PER_PASS = 512
CONTROL_REVIEWS = 2048  # reviews of the reference that the control variates are fitted on


@dataclass(frozen=True)
class EvaluationSet:
    """Prompts and test pairs that a trained policy is measured on: one set per seed and judge, shared by all candidates."""

    prompt_ids: Tensor  # (samples, prompt tokens)
    noise_seeds: tuple[int, ...]  # one for each sampling seed
    pair_ids: Tensor  # (2 * TEST_PAIRS, tokens): better ones, then worse ones, label noise left out
    pair_reference: Tensor  # (2 * TEST_PAIRS,) summed log-probabilities in nats
    judge: Judge
    reference: Mapping[str, float] = field(default_factory=dict)  # reference_reward; empty with one sampling seed


class SentimentRunner:
    """Holds the model; scores one loss after another."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        transformers_logging.disable_progress_bar()  # it would fill the end of stderr that is reported when a worker dies
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            reference = LlamaForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise EvaluationFailed("bad_data", f"cannot load the model in {folder}: {error}") from error
        self.reference = reference.eval().requires_grad_(False)
        self.words: list[str] = self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer)))
        self.pad, self.end = self.tokenizer.convert_tokens_to_ids([PAD, EOS])
        self._states = control.WordStates(self.words)
        self._training: OrderedDict[int, Dataset] = OrderedDict()
        self._controls: dict[Judge, Tensor] = {}
        self._evaluation_sets: OrderedDict[tuple[int, bool], EvaluationSet] = OrderedDict()

    def score(self, graph: "VerifiedGraph", rung: Rung, seed: int, beta: float, learning_rate: float) -> SeedResult:
        """Train once and measure. Raises EvaluationFailed."""
        started = time.perf_counter()
        pairs = _kept(self._training, seed, lambda: self._training_pairs(seed))
        test = _kept(self._evaluation_sets, (seed, rung.held_out), lambda: self._evaluation_set(seed, rung.held_out))
        arguments, watch = self._arguments(rung.steps, seed, beta, learning_rate), CurveRecorder()
        with watch.kept_on_failure():
            trainer = self._train(graph, pairs, arguments, watch)
            values, measured = self._measure(trainer.model.eval(), test)
            metrics = _last_loss(trainer) | measured
            refuse_collapsed(metrics, self.options)
        return SeedResult(
            fitness=metrics["reward"] - self.options.kl_weight * metrics["kl_per_sequence"],
            metrics=metrics,
            seconds=time.perf_counter() - started,
            tokens=int(trainer._total_train_tokens),
            steps=rung.steps,
            seed=seed,
            items=ItemScores.of(values, self._texts(test.prompt_ids)),
            curves=watch.curves,
        )

    def pair_margins(
        self, graph: "VerifiedGraph", rung: Rung, seed: int, beta: float, learning_rate: float
    ) -> list[float]:
        """Train once like `score`, and return the margins of the training pairs, in nats. Raises EvaluationFailed."""
        pairs = _kept(self._training, seed, lambda: self._training_pairs(seed))
        arguments = self._arguments(rung.steps, seed, beta, learning_rate)
        trainer = self._train(graph, pairs, arguments, CurveRecorder())
        margins: list[float] = trainer.margins(pairs).tolist()
        return margins

    def save_policy(
        self, graph: "VerifiedGraph | None", rung: Rung, seed: int, path: Path, beta: float, learning_rate: float
    ) -> None:
        """Train once like `score`, and save the policy; without a graph the reference. Raises EvaluationFailed."""
        policy = self.reference
        if graph is not None:
            pairs = _kept(self._training, seed, lambda: self._training_pairs(seed))
            arguments = self._arguments(rung.steps, seed, beta, learning_rate)
            policy = self._train(graph, pairs, arguments, CurveRecorder()).model
        save(policy, self.tokenizer, path)

    def _train(
        self, graph: "VerifiedGraph", pairs: Dataset, arguments: DPOConfig, watch: CurveRecorder
    ) -> GraphDPOTrainer:
        trainer = GraphDPOTrainer(
            model=copy.deepcopy(self.reference).requires_grad_(True),
            args=arguments,
            loss_graph=graph,
            train_dataset=pairs,
            processing_class=self.tokenizer,
            watch=watch,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return trainer

    def _arguments(self, steps: int, seed: int, beta: float, learning_rate: float) -> DPOConfig:
        with warnings.catch_warnings():
            # TRL enables checkpointing by default, and the option's new name is missing in some supported transformers.
            warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
            return DPOConfig(
                output_dir=tempfile.gettempdir(),  # must exist; nothing is written there
                max_steps=steps,
                per_device_train_batch_size=self.options.batch_size,
                learning_rate=learning_rate,
                lr_scheduler_type="cosine",
                warmup_steps=max(1, round(0.1 * steps)),
                beta=beta,
                seed=seed,
                data_seed=seed,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                precompute_ref_log_probs=True,
                remove_unused_columns=False,
                max_length=None,
                save_strategy="no",
                logging_steps=max(1, steps // 8),
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            )

    def _training_pairs(self, seed: int) -> Dataset:
        """Training pairs of a seed: prompt_ids, chosen_ids, rejected_ids, ref_chosen_logps and ref_rejected_logps (nats)."""
        count, world = self.options.pairs, self.options.record
        labeller = adjective_reward if world.labeller == "adjectives" else lexicon_reward
        prompt_ids, better, worse = self._ranked_pairs(f"pairs {seed}", "train", count, labeller)
        reference = self._sequence_log_probs(self.reference, prompt_ids.size(1), _joined(prompt_ids, better, worse))
        best, worst = reference.chunk(2)
        longer = (better != self.pad).sum(dim=1) - (worse != self.pad).sum(dim=1)
        level = best + worst
        odds = -(world.per_nat * (best - worst) + world.per_token * longer + world.per_level * (level - level.median()))
        wrong = torch.zeros(count, dtype=torch.bool)
        wrong[flipped(random.Random(f"flips {seed}"), odds.tolist(), self.options.label_noise)] = True
        return Dataset.from_dict(
            {
                "prompt_ids": prompt_ids.tolist(),
                "chosen_ids": self._rows(torch.where(wrong[:, None], worse, better)),
                "rejected_ids": self._rows(torch.where(wrong[:, None], better, worse)),
                "ref_chosen_logps": torch.where(wrong, worst, best).tolist(),
                "ref_rejected_logps": torch.where(wrong, best, worst).tolist(),
            }
        )

    def _evaluation_set(self, seed: int, held_out: bool) -> EvaluationSet:
        judge = self._held_out_judge if held_out else lexicon_reward
        split: Split = "held_out" if held_out else "search"
        triple = self._ranked_pairs(f"test pairs {split} {seed}", split, TEST_PAIRS, judge)
        pair_ids = _joined(*triple)
        drawn = self._each_prompt if self.options.record.controlled else self._draw_prompts
        prompt_ids = drawn(f"prompts {split} {seed}", split, self.options.samples)
        names = [
            f"samples {split} {seed}" + (f" {draw}" if draw else "") for draw in range(self.options.sampling_seeds)
        ]
        made = EvaluationSet(
            prompt_ids=prompt_ids,
            noise_seeds=tuple(random.Random(name).getrandbits(63) for name in names),
            pair_ids=pair_ids,
            pair_reference=self._sequence_log_probs(self.reference, prompt_ids.size(1), pair_ids),
            judge=judge,
        )
        if len(names) == 1:
            return made
        return replace(made, reference={"reference_reward": self._written(self.reference, made)[1]["reward"]})

    @cached_property
    def _held_out_judge(self) -> Judge:
        return PolarityClassifier(write_reviews("judge", 4000)).reward

    def _ranked_pairs(self, name: str, split: Split, count: int, judge: Judge) -> tuple[Tensor, Tensor, Tensor]:
        """`count` pairs of reference samples: token ids of the prompts, the better completions and the worse completions."""
        draws = int(self.options.record.draws_per_pair * count) + 16
        prompt_ids = self._draw_prompts(name, split, draws)
        samples = self._sample(self.reference, prompt_ids.repeat(2, 1), random.Random(name).getrandbits(63))
        # The model may draw its padding as a word. A text has none, so all of it goes to the end.
        samples = samples.gather(1, (samples == self.pad).byte().argsort(dim=1, stable=True))
        rewards = torch.tensor([judge(text) for text in self._texts(samples)], dtype=torch.float64)
        first, second = rewards.chunk(2)
        kept = (first != second).nonzero()[:count, 0]
        if len(kept) < count:
            raise EvaluationFailed("bad_data", f"{draws} draws gave {len(kept)} pairs with a winner, expected {count}")
        left, right = samples[kept], samples[kept + draws]
        first_wins = (first > second)[kept, None]
        return prompt_ids[kept], torch.where(first_wins, left, right), torch.where(first_wins, right, left)

    def _draw_prompts(self, name: str, split: Split, count: int) -> Tensor:
        rng, pool = random.Random(name), prompts(split)
        return self._prompt_ids([rng.choice(pool) for _ in range(count)])

    def _each_prompt(self, name: str, split: Split, count: int) -> Tensor:
        """Each prompt of the split equally often; which ones are used once more if that leaves a rest is drawn."""
        rng, pool = random.Random(name), prompts(split)
        rounds = [rng.sample(pool, len(pool)) for _ in range(-(-count // len(pool)))]
        return self._prompt_ids([prompt for each in rounds for prompt in each][:count])

    def _prompt_ids(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor(self.tokenizer([f"{BOS} {text}" for text in texts])["input_ids"])

    @torch.inference_mode()
    def _sample(self, model: LlamaForCausalLM, prompt_ids: Tensor, noise_seed: int) -> Tensor:
        """Sampled completions, shape (n, LONGEST_BODY), padded after the end token."""
        generator = torch.Generator().manual_seed(noise_seed)
        return torch.cat(
            [self._sample_pass(model, part, generator) for part in torch.split(prompt_ids, SEQUENCES_PER_PASS)]
        )

    def _sample_pass(self, model: LlamaForCausalLM, prompt_ids: Tensor, generator: torch.Generator) -> Tensor:
        count, vocabulary = len(prompt_ids), len(self.words)
        gumbel = -torch.empty(LONGEST_BODY, count, vocabulary).exponential_(generator=generator).log()
        cache = DynamicCache(config=model.config)
        written = torch.full((count, LONGEST_BODY), self.pad)
        ended = torch.zeros(count, dtype=torch.bool)
        step_ids = prompt_ids
        for position in range(LONGEST_BODY):
            logits = model(input_ids=step_ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
            words = (logits / self.options.temperature + gumbel[position]).argmax(dim=1)
            written[:, position] = words.masked_fill(ended, self.pad)
            ended |= words == self.end
            if ended.all():
                break
            step_ids = words[:, None]
        return written

    @torch.inference_mode()
    def _measure(self, policy: LlamaForCausalLM, test: EvaluationSet) -> tuple[list[float], dict[str, float]]:
        """The fitness of each sample (reward minus KL penalty), a mean over sampling seeds, and the metrics."""
        values, metrics = self._written(policy, test)
        log_ratios = self._sequence_log_probs(policy, test.prompt_ids.size(1), test.pair_ids) - test.pair_reference
        margins = log_ratios[:TEST_PAIRS] - log_ratios[TEST_PAIRS:]
        metrics |= {
            "preference_accuracy": (margins > 0).double().mean().item(),
            "margin": margins.mean().item(),
            **test.reference,
        }
        if not all(map(math.isfinite, metrics.values())):
            raise EvaluationFailed("diverged", f"the trained policy's measurements are not finite: {metrics}")
        return values, metrics

    @torch.inference_mode()
    def _written(self, policy: LlamaForCausalLM, test: EvaluationSet) -> tuple[list[float], dict[str, float]]:
        """The fitness of each sample and the metrics of what a policy writes, means over the sampling seeds."""
        prompt_ids, fitness, draws = test.prompt_ids, [], []
        weights = self._control(test.judge) if self.options.record.controlled else None
        for noise_seed in test.noise_seeds:
            completions = self._sample(policy, prompt_ids, noise_seed)
            rewards = torch.tensor([test.judge(text) for text in self._texts(completions)], dtype=torch.float64)
            divergence, luck = self._along_samples(policy, prompt_ids, completions, weights)
            rewards -= luck
            lengths = (completions != self.pad).sum(dim=1)
            fitness.append(rewards - self.options.kl_weight * divergence)
            draws.append(
                {
                    "reward": sum(rewards.tolist()) / len(rewards),
                    "kl_per_sequence": divergence.mean().item(),
                    "kl_per_token": (divergence.sum() / lengths.sum()).item(),
                    "distinct": len({tuple(row) for row in completions.tolist()}) / len(completions),
                    "length": lengths.double().mean().item(),
                }
            )
        return torch.stack(fitness).mean(dim=0).tolist(), over_sampling_seeds(draws)

    def _along_samples(
        self, policy: LlamaForCausalLM, prompt_ids: Tensor, completions: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """KL(policy || reference) in nats along each of the policy's samples, and the luck of their words in the reward; both (n,).

        The KL is summed over the vocabulary at each position, which has the expectation of the samples' log-ratio and less noise.
        The luck, by the `weights` of control variates, has the expectation 0; without weights it is 0.
        """
        prompt, divergences, lucks = prompt_ids.size(1), [], []
        ids = torch.cat([prompt_ids, completions], dim=1)
        for part in torch.split(ids, SEQUENCES_PER_PASS):
            ours = _next_word(policy, part, prompt)
            per_token = (ours.exp() * (ours - _next_word(self.reference, part, prompt))).sum(dim=2)
            divergences.append((per_token * (part[:, prompt:] != self.pad)).sum(dim=1))
            lucks.append(
                torch.zeros(len(part)) if weights is None else self._increments(part[:, prompt:], ours) @ weights
            )
        return torch.cat(divergences).double(), torch.cat(lucks).double()

    def _control(self, judge: Judge) -> Tensor:
        """Weights of the control variates of a judge."""
        if judge not in self._controls:
            features, texts = self._control_reviews
            self._controls[judge] = control.fit(features, torch.tensor([judge(text) for text in texts]))
        return self._controls[judge]

    @cached_property
    def _control_reviews(self) -> tuple[Tensor, list[str]]:
        """Increments and texts of reviews that the reference writes for prompts of the training."""
        prompt_ids = self._draw_prompts("control", "train", CONTROL_REVIEWS)
        completions = self._sample(self.reference, prompt_ids, random.Random("control").getrandbits(63))
        parts = torch.split(torch.cat([prompt_ids, completions], dim=1), SEQUENCES_PER_PASS)
        prompt = prompt_ids.size(1)
        features = [self._increments(part[:, prompt:], _next_word(self.reference, part, prompt)) for part in parts]
        return torch.cat(features), self._texts(completions)

    def _increments(self, completions: Tensor, log_probs: Tensor) -> Tensor:
        chances = (log_probs / self.options.temperature).softmax(dim=2)
        return control.increments(completions, chances, self._states(completions), completions != self.pad)

    @torch.inference_mode()
    def _sequence_log_probs(self, model: LlamaForCausalLM, prompt: int, ids: Tensor) -> Tensor:
        """Summed log-probability in nats of the completions in `ids` (n, prompt + completion), shape (n,)."""
        parts = []
        for part in torch.split(ids, SEQUENCES_PER_PASS):
            completion = part[:, prompt:, None]
            log_probs = _next_word(model, part, prompt).gather(2, completion)
            parts.append(log_probs.masked_fill(completion == self.pad, 0.0).sum(dim=(1, 2)))
        return torch.cat(parts)

    def _texts(self, completions: Tensor) -> list[str]:
        return [" ".join(self.words[i] for i in row if i not in (self.pad, self.end)) for row in completions.tolist()]

    def _rows(self, completions: Tensor) -> list[list[int]]:
        return [[i for i in row if i != self.pad] for row in completions.tolist()]


def _next_word(model: LlamaForCausalLM, ids: Tensor, prompt: int) -> Tensor:
    """Log-probabilities of the words after the prompt, shape (n, completion tokens, vocabulary).

    Padding is on the right, where causal attention does not see it.
    """
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[:, prompt - 1 : -1].log_softmax(dim=2)


def _joined(prompt_ids: Tensor, better: Tensor, worse: Tensor) -> Tensor:
    return torch.cat([torch.cat([prompt_ids, side], dim=1) for side in (better, worse)])


def _kept(store: OrderedDict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
    """The stored value, computed if missing. Beyond KEPT_SEEDS values the least recently used is dropped."""
    if key not in store:
        store[key] = make()
    store.move_to_end(key)
    while len(store) > KEPT_SEEDS:
        store.popitem(last=False)
    return store[key]


def _last_loss(trainer: GraphDPOTrainer) -> dict[str, float]:
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"train_loss": float(losses[-1])} if losses else {}
