"""Batches of preference pairs: the requirements of a loss on its batches, and padding."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from trl import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference

from fitness.score import EvaluationFailed

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import LossGraph

# (policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta) -> losses, all tensors of shape (batch,)
PreferenceLoss = Callable[..., Tensor]

# Which pairs a loss gets at a time, if the loss of a pair depends on the other pairs: all of an optimiser step, or those that one
# device computes at a time.
Statistics = Literal["step", "micro_batch"]

TOKEN_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")
REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


@dataclass(frozen=True)
class BatchNeeds:
    """Requirements of a loss on its batches."""

    min_batch: int  # the smallest number of pairs on which loss and gradient are defined
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


def as_function(loss: "LossGraph | PreferenceLoss", beta: float) -> tuple[PreferenceLoss, BatchNeeds]:
    """A loss as a function, and its batch requirements: by static analysis for a graph if possible, else measured."""
    if callable(loss):
        return loss, batch_needs(loss, beta)
    from sandbox.execute.interpreter import compile_loss
    from sandbox.graph.dataflow import is_pointwise
    from sandbox.graph.loss_graph import verify

    graph = verify(loss)
    function = compile_loss(graph)
    if is_pointwise(graph):
        return function, BatchNeeds(min_batch=1, coupled=False)
    # A loss that is not proved pointwise counts as coupled: always correct, at worst slower.
    return function, BatchNeeds(batch_needs(function, beta).min_batch, coupled=True)


def batch_needs(loss: PreferenceLoss, beta: float) -> BatchNeeds:
    """Measure the batch requirements of `loss` on fixed log-probabilities: one pair, two halves, and the whole batch.

    On one pair the loss can be undefined (an unbiased variance), or only its gradient can be (its square root, at 0).
    Batch statistics are often clamped or squashed, so log-ratios near 0 and far from 0 on both sides are tried.
    """
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    sides = [(0.0, 0.0), (60.0, 60.0), (-60.0, -60.0), (60.0, -60.0), (-60.0, 60.0)]  # nats off the reference
    probes = [torch.tensor([*side, 0.0, 0.0])[:, None] + scale * noise for side in sides for scale in (0.02, 1.0, 20.0)]
    needs = [_probed(loss, beta, probe - 100.0) for probe in probes]
    return BatchNeeds(max(need.min_batch for need in needs), any(need.coupled for need in needs))


def _probed(loss: PreferenceLoss, beta: float, log_probs: Tensor) -> BatchNeeds:
    whole = _value_and_gradient(loss, beta, log_probs)
    halves = torch.cat([_value_and_gradient(loss, beta, half) for half in log_probs.split(4, dim=1)], dim=1)
    alone = _value_and_gradient(loss, beta, log_probs[:, :1])
    # A loss that overflows on the whole batch too does not need a larger batch.
    undefined = bool((whole[:, :1].isfinite() & ~alone.isfinite()).any())
    together = torch.allclose(whole[0], halves[0], rtol=1e-4, atol=1e-6, equal_nan=True)
    return BatchNeeds(min_batch=2 if undefined else 1, coupled=not together)


def _value_and_gradient(loss: PreferenceLoss, beta: float, log_probs: Tensor) -> Tensor:
    """The losses in row 0 and their gradients by the four inputs in rows 1 to 4, shape (5, batch)."""
    leaf = log_probs.clone().requires_grad_()
    # Torch warns that one pair has no degrees of freedom: that is tested here.
    with warnings.catch_warnings(action="ignore"):
        losses = losses_per_pair(loss, tuple(leaf), beta)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    return torch.cat([losses.detach()[None], gradient])


def refuse_unsupported(args: DPOConfig, needs: BatchNeeds, *, whole_step: bool) -> None:
    """Raises ValueError for arguments that only TRL's own losses read, EvaluationFailed("unsupported_loss") for small batches.

    `whole_step`: the loss gets all pairs of an optimiser step at a time, else those of a micro-batch.
    """
    unread = [name for name in ("ld_alpha", "use_weighting", "loss_weights") if getattr(args, name)]
    if args.f_divergence_type != "reverse_kl":
        unread.append("f_divergence_type")
    if unread:
        raise ValueError(
            f"{', '.join(unread)}: only TRL's own losses read these arguments; do not set them for a loss graph"
        )
    together = args.per_device_train_batch_size
    if whole_step:
        together *= args.gradient_accumulation_steps * args.world_size
    if together < needs.min_batch:
        raise EvaluationFailed(
            "unsupported_loss",
            f"the loss is undefined below {needs.min_batch} pairs and would get {together} at a time: raise the batch size",
        )


def has_columns(dataset: Any, columns: Sequence[str]) -> bool:
    """Whether the data set has all of `columns`; False for an object without columns, such as a dict of data sets."""
    names = getattr(dataset, "column_names", None)
    return isinstance(names, list) and set(columns) <= set(names)


@dataclass
class PreferenceCollator(DataCollatorForPreference):  # type: ignore[misc]
    """The same batches as TRL's collator, bit for bit, padded in one array instead of list by list (faster)."""

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
