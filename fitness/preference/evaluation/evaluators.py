"""Evaluators of a trained policy: by test pairs, by a reward model, or by a judge (a language model)."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from fitness.chat.costs import Usage
from fitness.preference.evaluation.answers import (
    Answers,
    Trained,
    check_sampling,
    divergence,
    policy_answers,
    reference_answers,
)
from fitness.preference.judge.judge import Judge
from fitness.preference.options import JudgeEvaluation, PairEvaluation, RewardModelEvaluation, Sampling
from fitness.preference.pairs.limits import beyond_reward_model, positions, reward_length
from fitness.preference.pairs.seen import PROMPT_COLUMN
from fitness.preference.pairs.sources import loading
from fitness.preference.pairs.tokens import TEMPLATE_ERRORS
from fitness.preference.policies import check_whole, never_sharded
from fitness.score import EvaluationFailed, bad_data

Metrics = dict[str, float]
PairScores = Mapping[Literal["accuracy", "margin"], list[float]]
"""Per test pair: accuracy (1.0 if its margin is positive, 0.5 if it is 0, else 0.0) and margin in nats."""

CLASSIFIER = "a sequence classification model, as reward models are stored"
AN_ANSWER = "An answer. "  # at least one token
KEPT_SEEDS = 64  # of the reference's answers, a few kB each


class Evaluator(Protocol):
    """Scores trained policies."""

    @property
    def size(self) -> int:
        """Number of test pairs to draw per training."""

    def check(self, state: PartialState) -> Usage | None:
        """Check quickly whether everything is available. Raises EvaluationFailed("bad_data").

        Returns a judge's usage for the check; None without a judge.
        """

    def prepare(self, state: PartialState) -> None:
        """Load models."""

    def rehearse(self, prompts: Sequence[Any]) -> None:
        """Try the evaluation before any training: a fault would fail every training at its end.

        `prompts` are the raw prompts of all test pairs. Raises EvaluationFailed("bad_data").
        """

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user, available after `rehearse`."""

    def measure(self, trained: Trained, pairs: PairScores) -> tuple[list[float], Metrics, Usage | None]:
        """Scores by test pair, whose mean is the fitness; further metrics; and a judge's usage (None without a judge).

        The same on every rank. `pairs` holds accuracy and margin of the test pairs under the policy.
        """


def make_evaluator(
    evaluation: PairEvaluation | RewardModelEvaluation | JudgeEvaluation, section: str = "fitness.evaluation"
) -> Evaluator:
    """The evaluator for these options; `section` is their section of the configuration."""
    match evaluation:
        case PairEvaluation():
            return PairEvaluator(evaluation)
        case RewardModelEvaluation():
            return RewardEvaluator(evaluation)
        case JudgeEvaluation():
            return JudgeEvaluator(evaluation, section)


def pair_scores(log_probs: Tensor, test: Dataset, beta: float) -> tuple[PairScores, Metrics]:
    """Accuracy and margin per test pair, and metrics, from the policy's log-probabilities, shape (pairs, 2), in nats.

    Raises EvaluationFailed("diverged") if they are not finite.
    """
    reference = torch.tensor([test["ref_chosen_logps"], test["ref_rejected_logps"]]).T
    log_ratio = (log_probs - reference).double()
    margin = log_ratio[:, 0] - log_ratio[:, 1]
    if not margin.isfinite().all():
        raise EvaluationFailed("diverged", "the trained policy's log-probabilities of the test pairs are not finite")
    right = (margin > 0).double() + 0.5 * (margin == 0)
    scores: PairScores = {"accuracy": right.tolist(), "margin": margin.tolist()}
    return scores, {
        "accuracy": right.mean().item(),
        "margin": margin.mean().item(),
        "reward_margin": beta * margin.mean().item(),
        "chosen_log_ratio": log_ratio[:, 0].mean().item(),
        "rejected_log_ratio": log_ratio[:, 1].mean().item(),
    }


class PairEvaluator:
    """Fitness from the test pairs: accuracy or margin."""

    def __init__(self, options: PairEvaluation) -> None:
        self.options = options

    @property
    def size(self) -> int:
        return self.options.pairs

    def check(self, state: PartialState) -> Usage | None:
        """Nothing to check: the data are checked when they are loaded."""
        return None

    def prepare(self, state: PartialState) -> None:
        """Nothing to load."""

    def rehearse(self, prompts: Sequence[Any]) -> None:
        """Nothing that could fail."""

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def measure(self, trained: Trained, pairs: PairScores) -> tuple[list[float], Metrics, Usage | None]:
        return pairs[self.options.by], {}, None


class _ReferenceAnswers:
    """The untrained model's answers, sampled once per seed and shared by all candidates."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._kept: OrderedDict[str, Answers] = OrderedDict()

    def get(self, trained: Trained) -> Answers:
        key = f"{trained.seed} {trained.test._fingerprint}"
        if key not in self._kept:
            self._kept[key] = reference_answers(trained, self._sampling)
        while len(self._kept) > KEPT_SEEDS:
            self._kept.popitem(last=False)
        return self._kept[key]


class RewardEvaluator:
    """Fitness from a reward model: mean reward of sampled answers minus the KL penalty."""

    def __init__(self, options: RewardModelEvaluation) -> None:
        self.options = options
        self._reference = _ReferenceAnswers(options)
        self._max_length = options.max_length

    @property
    def size(self) -> int:
        return self.options.prompts

    @property
    def notes(self) -> tuple[str, ...]:
        notes = []
        if self._max_length < self.options.max_length:
            notes.append(
                f"Texts for the reward model are cut on the left to its context of {self._max_length} tokens. The default "
                f"max_length of the evaluation, {self.options.max_length}, is longer."
            )
        if self.tokenizer.model_max_length < self._max_length:
            notes.append(
                f"The reward model's tokenizer is made for {self.tokenizer.model_max_length} tokens, and texts are cut to "
                f"{self._max_length}: lower max_length of the evaluation if the model was not trained on longer texts."
            )
        return tuple(notes)

    def check(self, state: PartialState) -> Usage | None:
        check_sampling()
        name, label = self.options.model, self.options.label
        with loading("reward model", name):
            config = AutoConfig.from_pretrained(name, revision=self.options.revision, trust_remote_code=False)
        if all("CausalLM" in kind for kind in config.architectures or [""]):
            raise bad_data(f"{name!r} is a language model: expected {CLASSIFIER}", "name a reward model")
        outputs = config.num_labels
        if outputs > 1 and label is None:
            labels = ", ".join(f"{number} ({text})" for number, text in config.id2label.items())
            raise bad_data(f"the reward model {name!r} has {outputs} classes", f"set label to one of {labels}")
        if label is not None and outputs == 1:
            raise bad_data(
                f"the reward model {name!r} has one output, which is the reward itself, and label is {label}",
                "do not set label",
            )
        if label is not None and label >= outputs:
            raise bad_data(
                f"the reward model {name!r} has no class {label}",
                f"set label below {outputs}",
            )
        if beyond := beyond_reward_model(self.options, positions(config.to_dict())):
            raise EvaluationFailed("bad_data", f"max_length of the evaluation by {name!r}: {beyond}")
        return None

    def prepare(self, state: PartialState) -> None:
        name = self.options.model
        with loading("reward model", name), never_sharded():
            self.tokenizer = AutoTokenizer.from_pretrained(
                name, revision=self.options.revision, trust_remote_code=False, truncation_side="left"
            )
            model, found = AutoModelForSequenceClassification.from_pretrained(
                name,
                revision=self.options.revision,
                dtype=torch.bfloat16 if state.device.type == "cuda" else torch.float32,
                trust_remote_code=False,
                output_loading_info=True,
            )
        check_whole(name, found["missing_keys"], CLASSIFIER)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.pad_token is None:
            raise bad_data(
                f"the tokenizer of the reward model {name!r} has neither padding nor end token",
                "set pad_token in its tokenizer_config.json",
            )
        self._max_length = reward_length(self.options, positions(model.config.to_dict()))
        model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model = model.eval().requires_grad_(False).to(state.device)

    def rehearse(self, prompts: Sequence[Any]) -> None:
        name = self.options.model
        try:
            texts = [self._text(prompt, AN_ANSWER) for prompt in prompts]
        except TEMPLATE_ERRORS as error:
            raise bad_data(
                f"the chat template of the reward model {name!r} cannot render the test prompts ({type(error).__name__}: {error})",
                "remove from the data what the template does not support, or use another reward model",
            ) from error
        ids: list[list[int]] = self._encoded(texts)["input_ids"]
        known = self.model.get_input_embeddings().weight.shape[0]
        highest = max(self.tokenizer.pad_token_id, *(max(text, default=0) for text in ids))
        if highest >= known:
            raise bad_data(
                f"the tokenizer of the reward model {name!r} gives token {highest} "
                f"({self.tokenizer.convert_ids_to_tokens(highest)!r}), its embedding has {known}",
                "use the tokenizer that the model was trained with",
            )
        try:  # one text of full length, and one that is padded to it
            self._scored([texts[0], self._text(prompts[0], AN_ANSWER * self._max_length)])
        except (IndexError, ValueError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" in str(error).lower():
                raise
            raise bad_data(
                f"the reward model {name!r} cannot score a text of {self._max_length} tokens "
                f"({type(error).__name__}: {' '.join(str(error).split())[:300]})",
                "set max_length of the evaluation to the model's context, or use another reward model",
            ) from error

    def measure(self, trained: Trained, pairs: PairScores) -> tuple[list[float], Metrics, Usage | None]:
        ours, theirs = policy_answers(trained, self.options), self._reference.get(trained)
        rewards, reference_rewards = self._rewards(trained, ours), self._rewards(trained, theirs)
        distances, metrics = divergence(trained, self.options, ours)
        metrics |= {
            "reward": sum(rewards) / len(rewards),
            "reference_reward": sum(reference_rewards) / len(reference_rewards),
        }
        weight = self.options.kl_weight
        fitness = [reward - weight * distance for reward, distance in zip(rewards, distances, strict=True)]
        return fitness, metrics, None

    def _rewards(self, trained: Trained, answers: Answers) -> list[float]:
        prompts = [json.loads(prompt) for prompt in trained.test[PROMPT_COLUMN]]
        texts = [self._text(*both) for both in zip(prompts, trained.texts(answers), strict=True)]
        accelerator = trained.trainer.accelerator
        numbers = list(range(len(texts)))[accelerator.process_index :: accelerator.num_processes]
        mine: list[tuple[int, float]] = []
        for start in range(0, len(numbers), self.options.batch):
            part = numbers[start : start + self.options.batch]
            mine.extend(zip(part, self._scored([texts[i] for i in part]), strict=True))
        return [value for _, value in sorted(gather_object(mine))]

    @torch.no_grad()
    def _scored(self, texts: Sequence[str]) -> list[float]:
        inputs = self._encoded(texts, padding=True, return_tensors="pt").to(self.model.device)
        logits = self.model(**inputs).logits.float()
        label = self.options.label
        values: Tensor = logits[:, 0] if label is None else logits.log_softmax(dim=1)[:, label]
        return values.tolist()

    def _encoded(self, texts: Sequence[str], **settings: Any) -> Any:
        return self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self._max_length,
            add_special_tokens=not self.tokenizer.chat_template,  # a template writes them itself
            **settings,
        )

    def _text(self, prompt: Any, answer: str) -> str:
        if self.tokenizer.chat_template:
            turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
            turns = [*turns, {"role": "assistant", "content": answer}]
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False))
        return f"{shown(prompt)} {answer}"


class JudgeEvaluator:
    """Fitness from a judge: win rate of sampled answers over an opponent's."""

    def __init__(self, options: JudgeEvaluation, section: str) -> None:
        self.options = options
        self._reference = _ReferenceAnswers(options)
        self._judge = Judge(options, section)

    @property
    def size(self) -> int:
        return self.options.prompts

    def check(self, state: PartialState) -> Usage | None:
        check_sampling()
        return self._judge.check() if state.is_main_process else None

    def prepare(self, state: PartialState) -> None:
        """Nothing to load."""

    def rehearse(self, prompts: Sequence[Any]) -> None:
        """Nothing that could fail."""

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def measure(self, trained: Trained, pairs: PairScores) -> tuple[list[float], Metrics, Usage | None]:
        ours, theirs = policy_answers(trained, self.options), self._reference.get(trained)
        _, metrics = divergence(trained, self.options, ours)
        opponent = list(trained.test["chosen_ids"]) if self.options.opponent == "chosen" else theirs
        outcome: list[Any] = [None]
        if trained.trainer.accelerator.is_main_process:
            prompts = [shown(json.loads(prompt)) for prompt in trained.test[PROMPT_COLUMN]]
            try:
                outcome = [self._judge.compare(prompts, trained.texts(ours), trained.texts(opponent))]
            except EvaluationFailed as failure:
                outcome = [failure]  # broadcast: all ranks must raise, or the others would wait for ever
        broadcast_object_list(outcome)
        if isinstance(outcome[0], EvaluationFailed):
            raise outcome[0]
        points, judgement, judged = outcome[0]
        return points, metrics | judgement, judged


def shown(prompt: Any) -> str:
    """A raw prompt as plain text: a string unchanged, a conversation turn by turn."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt)
