"""Sampled answers of policy and reference to test prompts, and the KL divergence between the two."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object, is_peft_model
from datasets import Dataset
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedTokenizerBase
from trl.models import unwrap_model_for_generation

from fitness.preference.options import Sampling
from fitness.preference.policies import Policies
from fitness.score import EvaluationFailed, bad_data
from fitness.training.trainer import GraphDPOTrainer

Answers = list[list[int]]  # token ids, including the end token if it was sampled
DRAW = 998_244_353  # apart in the seeds of two draws; a prime, so that no draw of a seed is one of a seed near it


def shown(prompt: Any) -> str:
    """A raw prompt as plain text: a string unchanged, a conversation turn by turn."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt)


@dataclass(frozen=True)
class Trained:
    """A trained policy and the test pairs to evaluate it on."""

    trainer: GraphDPOTrainer
    policies: Policies
    tokenizer: PreTrainedTokenizerBase
    test: Dataset  # cached pairs
    seed: int

    def texts(self, answers: Answers) -> list[str]:
        """Answers as text, without special tokens."""
        return [str(text).strip() for text in self.tokenizer.batch_decode(answers, skip_special_tokens=True)]

    @contextmanager
    def reference(self) -> Iterator[Any]:
        """The untrained model, on the policy's device."""
        with self.policies.reference(self.trainer.model, self.trainer.accelerator.device) as model:
            yield model


def policy_answers(trained: Trained, sampling: Sampling, draw: int = 0) -> Answers:
    """One answer of the trained policy to each test prompt; the same list on every rank. Each `draw` has its own sampling seed."""
    trained.trainer.model.eval()
    with _whole(trained.trainer) as model:
        return _answers(model, trained, sampling, draw)


def check_sampling() -> None:
    """Raises EvaluationFailed("bad_data") if the launch configuration shards a policy in a way that prevents sampling."""
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and os.environ.get("FSDP_VERSION", "1") == "1":
        raise bad_data(
            "answers cannot be sampled under version 1 of FSDP",
            "set fsdp_version: 2 in the launch configuration, or evaluate by accuracy or margin",
        )


def reference_answers(trained: Trained, sampling: Sampling, draw: int = 0) -> Answers:
    """One answer of the untrained model to each test prompt, with the noise of `policy_answers`; the same list on every rank."""
    # With an adapter, the reference uses the policy's own weights, which may be sharded.
    adapted = is_peft_model(trained.trainer.model)
    whole: AbstractContextManager[Any] = _whole(trained.trainer) if adapted else nullcontext()
    with whole, trained.reference() as model:
        model.eval()
        return _answers(model, trained, sampling, draw)


def divergence(trained: Trained, sampling: Sampling, answers: Answers) -> tuple[list[float], dict[str, float]]:
    """Estimate of KL(policy || reference) in nats, both at the sampling temperature, from the policy's own `answers`.

    Returns the log-ratio of each answer, and metrics. The mean log-ratio is an unbiased estimate and can be below 0. Raises
    EvaluationFailed("diverged") if a log-ratio is not finite.
    """
    # The trainer computes log-probabilities of pairs, so each answer is given on both sides.
    prompts = _prompts(trained, sampling)
    answered = Dataset.from_dict({"prompt_ids": prompts, "chosen_ids": answers, "rejected_ids": answers})
    policy = trained.trainer.log_probs(answered, temperature=sampling.temperature)
    with trained.reference() as model:
        reference = trained.trainer.log_probs(answered, model, temperature=sampling.temperature)
    log_ratio = (policy - reference)[:, 0].double()
    if not log_ratio.isfinite().all():
        raise EvaluationFailed("diverged", "the log-ratios of the trained policy's own answers are not finite")
    tokens = sum(map(len, answers))
    return log_ratio.tolist(), {
        "kl_per_sequence": log_ratio.mean().item(),
        "kl_per_token": log_ratio.sum().item() / tokens,
        "length": tokens / len(answers),
    }


@contextmanager
def _whole(trainer: GraphDPOTrainer) -> Iterator[Any]:
    """The trained policy with all weights on every rank, gathered once instead of for every token."""
    if not trainer.is_fsdp_enabled:
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
            yield model
        return
    policy = trainer.model_wrapped
    shards = [module for module in policy.modules() if isinstance(module, FSDPModule)]
    for shard in shards:
        shard.set_reshard_after_forward(False, recurse=False)
        shard.unshard()
    try:
        yield policy
    finally:
        for shard in shards:
            shard.set_reshard_after_forward(True, recurse=False)
            shard.reshard()


def _prompts(trained: Trained, sampling: Sampling) -> list[list[int]]:
    """The test prompts as token ids, cut at the beginning to leave room for the longest answer.

    An empty prompt becomes the beginning-of-text token, or without one the end token.
    """
    room = trained.trainer.args.max_length - sampling.max_new_tokens
    first, end = trained.tokenizer.bos_token_id, trained.tokenizer.eos_token_id
    return [ids[-room:] or [end if first is None else first] for ids in trained.test["prompt_ids"]]


def _answers(model: Any, trained: Trained, sampling: Sampling, draw: int) -> Answers:
    accelerator = trained.trainer.accelerator
    prompts = list(enumerate(_prompts(trained, sampling)))[accelerator.process_index :: accelerator.num_processes]
    mine = [
        (index, answer)
        for batch in _batches(prompts, sampling.batch)
        for index, answer in zip((i for i, _ in batch), _generate(model, trained, sampling, batch, draw), strict=True)
    ]
    return [answer for _, answer in sorted(gather_object(mine))]


def _batches(prompts: Sequence[tuple[int, list[int]]], size: int) -> Iterator[Sequence[tuple[int, list[int]]]]:
    for start in range(0, len(prompts), size):
        yield prompts[start : start + size]


def _generate(
    model: Any, trained: Trained, sampling: Sampling, batch: Sequence[tuple[int, list[int]]], draw: int
) -> Answers:
    prompts = [ids for _, ids in batch]
    width = max(map(len, prompts))
    pad, end = trained.tokenizer.pad_token_id, trained.tokenizer.eos_token_id
    device = trained.trainer.accelerator.device
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
    attended = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    ends = {end, *_as_list(model.generation_config.eos_token_id)}
    torch.manual_seed(trained.seed * 1_000_003 + batch[0][0] + draw * DRAW)  # the same noise for every candidate
    with torch.no_grad(), trained.trainer.accelerator.autocast():
        written = model.generate(
            input_ids=ids,
            attention_mask=attended,
            do_sample=True,
            temperature=sampling.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=sampling.max_new_tokens,
            pad_token_id=pad,
            eos_token_id=sorted(ends),
            use_cache=True,
            synced_gpus=False,  # every rank has whole weights, and not every rank has as many batches
        )
    return [_until(row, ends) for row in written[:, width:].tolist()]


def _until(ids: list[int], ends: set[int]) -> list[int]:
    last = next((i for i, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: last + 1]


def _as_list(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
