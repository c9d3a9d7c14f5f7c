"""Batches of preference pairs: what a loss needs of them, and how they are padded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from trl.trainer.dpo_trainer import DataCollatorForPreference

from fitness.score import EvaluationFailed

# (policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta) -> losses, all tensors of shape (batch,)
PreferenceLoss = Callable[..., Tensor]

TOKEN_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")
REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


@dataclass(frozen=True)
class BatchNeeds:
    """What a loss needs of its batches."""

    min_batch: int  # the fewest pairs that loss and gradient are defined on
    coupled: bool  # the loss of a pair depends on the other pairs


def losses_per_pair(loss: PreferenceLoss, log_probs: Sequence[Tensor], beta: float) -> Tensor:
    """The losses of a batch, shape (batch,). Raises EvaluationFailed("unsupported_loss") for any other shape."""
    losses = loss(*log_probs, beta)
    expected = log_probs[0].shape
    if losses.shape != expected:
        raise EvaluationFailed(
            "unsupported_loss",
            f"loss returned shape {tuple(losses.shape)}, expected {tuple(expected)}: one loss per pair",
        )
    return losses


def batch_needs(loss: PreferenceLoss, beta: float) -> BatchNeeds:
    """Probe `loss` on fixed log-probabilities: one pair, two halves, and the halves together.

    On one pair the loss can be undefined (an unbiased variance), or only its gradient can be (the root of one, at 0).
    """
    generator = torch.Generator().manual_seed(0)
    probes = -60.0 + 20.0 * torch.randn(4, 8, generator=generator)
    whole = losses_per_pair(loss, tuple(probes), beta)
    halves = torch.cat([losses_per_pair(loss, tuple(half), beta) for half in (probes[:, :4], probes[:, 4:])])
    alone = probes[:, :1].clone().requires_grad_()
    value = losses_per_pair(loss, tuple(alone), beta)
    (gradient,) = torch.autograd.grad(value.sum(), alone)
    defined = bool(value.isfinite().all()) and bool(gradient.isfinite().all())
    together = torch.allclose(whole, halves, rtol=1e-4, atol=1e-6, equal_nan=True)
    return BatchNeeds(min_batch=1 if defined else 2, coupled=not together)


def has_columns(dataset: Any, columns: Sequence[str]) -> bool:
    """Whether the data set names all of `columns`; False for what has no columns, such as a dict of data sets."""
    names = getattr(dataset, "column_names", None)
    return isinstance(names, list) and set(columns) <= set(names)


@dataclass
class PreferenceCollator(DataCollatorForPreference):  # type: ignore[misc]
    """The batches of TRL's collator, bit for bit, padded in one array instead of list by list."""

    def torch_call(self, examples: list[Mapping[str, Any]]) -> dict[str, Tensor]:
        sequences = [row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids") for row in examples]
        starts = np.array([len(row["prompt_ids"]) for row in examples] * 2)
        if self.max_length is not None:
            if self.truncation_mode == "keep_end":
                starts -= np.array([max(0, len(sequence) - self.max_length) for sequence in sequences])
                sequences = [sequence[-self.max_length :] for sequence in sequences]
            else:
                sequences = [sequence[: self.max_length] for sequence in sequences]
        lengths = np.array([len(sequence) for sequence in sequences])
        multiple = self.pad_to_multiple_of or 1
        width = -(-int(lengths.max()) // multiple) * multiple
        ids = np.full((len(sequences), width), self.pad_token_id, dtype=np.int64)
        for row, sequence in zip(ids, sequences, strict=True):
            row[: len(sequence)] = sequence
        position = np.arange(width)
        attended = position < lengths[:, None]
        completion = attended & (position >= starts[:, None])
        batch = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(attended.astype(np.int64)),
            "completion_mask": torch.from_numpy(completion.astype(np.int64)),
        }
        for column in REFERENCE_COLUMNS:
            if column in examples[0]:
                batch[column] = torch.tensor([row[column] for row in examples])
        return batch
