"""Evaluators of a trained policy: by test pairs, by the reward of sampled answers, or by a judge (a language model)."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, Protocol

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from torch import Tensor

from fitness.chat.costs import Usage
from fitness.preference.evaluation.answers import (
    Answers,
    Trained,
    check_sampling,
    divergence,
    policy_answers,
    reference_answers,
    shown,
)
from fitness.preference.evaluation.reward_model import RewardModel
from fitness.preference.evaluation.vader import Vader
from fitness.preference.judge.judge import Judge
from fitness.preference.options import (
    JudgeEvaluation,
    PairEvaluation,
    RewardEvaluation,
    RewardModelEvaluation,
    Sampling,
    VaderEvaluation,
)
from fitness.preference.pairs.seen import PROMPT_COLUMN
from fitness.score import EvaluationFailed, over_sampling_seeds

Metrics = dict[str, float]
PairScores = Mapping[Literal["accuracy", "margin"], list[float]]
"""Per test pair: accuracy (1.0 if its margin is positive, 0.5 if it is 0, else 0.0) and margin in nats."""

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
    evaluation: PairEvaluation | RewardModelEvaluation | VaderEvaluation | JudgeEvaluation,
    section: str = "fitness.evaluation",
    sampling_seeds: int = 1,
) -> Evaluator:
    """The evaluator for these options; `section` is their section of the configuration.

    `sampling_seeds`: answers to each test prompt of an evaluation by reward.
    """
    match evaluation:
        case PairEvaluation():
            return PairEvaluator(evaluation)
        case RewardModelEvaluation():
            return RewardEvaluator(evaluation, RewardModel(evaluation), sampling_seeds)
        case VaderEvaluation():
            return RewardEvaluator(evaluation, Vader(), sampling_seeds)
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
    """The untrained model's answers, sampled once per seed and draw, and shared by all candidates."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._kept: OrderedDict[str, Answers] = OrderedDict()

    def get(self, trained: Trained, draw: int = 0) -> Answers:
        key = f"{trained.seed} {draw} {trained.test._fingerprint}"
        if key not in self._kept:
            self._kept[key] = reference_answers(trained, self._sampling, draw)
        while len(self._kept) > KEPT_SEEDS:
            self._kept.popitem(last=False)
        return self._kept[key]


class Rewarder(Protocol):
    """Gives a reward to an answer."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user, available after `rehearse`."""

    def check(self) -> None:
        """Check quickly whether everything is available. Raises EvaluationFailed("bad_data")."""

    def prepare(self, state: PartialState) -> None:
        """Load what is needed."""

    def rehearse(self, prompts: Sequence[Any]) -> None:
        """Try all raw prompts. Raises EvaluationFailed("bad_data")."""

    def rewards(self, answered: Sequence[tuple[Any, str]]) -> list[float]:
        """Rewards of (raw prompt, answer) pairs."""


class RewardEvaluator:
    """Fitness from rewards: mean reward of sampled answers minus the KL penalty."""

    def __init__(self, options: RewardEvaluation, rewarder: Rewarder, sampling_seeds: int = 1) -> None:
        self.options, self.rewarder, self.sampling_seeds = options, rewarder, sampling_seeds
        self._reference = _ReferenceAnswers(options)

    @property
    def size(self) -> int:
        return self.options.prompts

    @property
    def notes(self) -> tuple[str, ...]:
        return self.rewarder.notes

    def check(self, state: PartialState) -> Usage | None:
        check_sampling()
        self.rewarder.check()
        return None

    def prepare(self, state: PartialState) -> None:
        self.rewarder.prepare(state)

    def rehearse(self, prompts: Sequence[Any]) -> None:
        self.rewarder.rehearse(prompts)

    def measure(self, trained: Trained, pairs: PairScores) -> tuple[list[float], Metrics, Usage | None]:
        """Each test prompt is answered with each sampling seed. Metrics are means over these."""
        draws = [self._measured(trained, draw) for draw in range(self.sampling_seeds)]
        values = [fmean(by_prompt) for by_prompt in zip(*(values for values, _ in draws), strict=True)]
        return values, over_sampling_seeds([metrics for _, metrics in draws]), None

    def _measured(self, trained: Trained, draw: int) -> tuple[list[float], Metrics]:
        ours, theirs = policy_answers(trained, self.options, draw), self._reference.get(trained, draw)
        rewards, reference_rewards = self._rewards(trained, ours), self._rewards(trained, theirs)
        distances, metrics = divergence(trained, self.options, ours)
        weight = self.options.kl_weight
        fitness = [reward - weight * distance for reward, distance in zip(rewards, distances, strict=True)]
        return fitness, metrics | {
            "reward": sum(rewards) / len(rewards),
            "reference_reward": sum(reference_rewards) / len(reference_rewards),
        }

    def _rewards(self, trained: Trained, answers: Answers) -> list[float]:
        prompts = [json.loads(prompt) for prompt in trained.test[PROMPT_COLUMN]]
        answered = list(zip(prompts, trained.texts(answers), strict=True))
        accelerator = trained.trainer.accelerator
        numbers = list(range(len(answered)))[accelerator.process_index :: accelerator.num_processes]
        mine: list[tuple[int, float]] = []
        for start in range(0, len(numbers), self.options.batch):
            part = numbers[start : start + self.options.batch]
            mine.extend(zip(part, self.rewarder.rewards([answered[i] for i in part]), strict=True))
        return [value for _, value in sorted(gather_object(mine))]


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
