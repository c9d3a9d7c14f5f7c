"""TRL's DPOTrainer with a searched loss in place of its own.

TRL has no seam for a custom loss, so the smallest sound one is used: `_compute_loss` is ours (forward pass, loss,
metrics), and everything else (data handling, adapters, reference model, optimiser, schedule, checkpoints, distributed
launch) stays TRL's and transformers'.

A loss that trains badly must not look like one that trains well. Transformers logs a NaN loss as 0.0
(`logging_nan_inf_filter`), and `.mean()` hides a wrong shape. So shape, loss, gradient norm and final weights are
checked here, and a failure is an `EvaluationFailed` with its reason.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.utils import FusedCausalLMOutput

from fitness.task import EvaluationFailed

if TYPE_CHECKING:
    from sandbox.graph import LossGraph

PreferenceLoss = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]

TOKEN_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")
REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")

# Up to this many logits (64 MiB in float32) they are computed at once, which is twice as fast on small models as TRL's
# LM head in tiles; above it the tiles save the memory.
DENSE_LOGITS = 2**24


@dataclass(frozen=True)
class BatchNeeds:
    """What a loss needs of its batches: the fewest pairs it is defined on, and whether a pair's loss depends on others."""

    min_batch: int
    coupled: bool


def batch_needs(loss: PreferenceLoss, beta: float) -> BatchNeeds:
    """Probe `loss` on fixed log-probabilities: alone, in halves, and together.

    A statistic of one pair can be undefined (an unbiased variance) or only its gradient can be (the root of it at 0).
    """
    generator = torch.Generator().manual_seed(0)
    probes = -60.0 + 20.0 * torch.randn(4, 8, generator=generator)
    whole = loss(*probes, beta)
    halves = torch.cat([loss(*probes[:, :4], beta), loss(*probes[:, 4:], beta)])
    alone = probes[:, :1].clone().requires_grad_()
    value = loss(*alone, beta)
    (gradient,) = torch.autograd.grad(value.sum(), alone, allow_unused=True)
    defined = value.isfinite().all() and (gradient is None or gradient.isfinite().all())
    return BatchNeeds(
        min_batch=1 if defined else 2, coupled=not torch.allclose(whole, halves, rtol=1e-4, atol=1e-6, equal_nan=True)
    )


@dataclass
class PreferenceCollator(DataCollatorForPreference):  # type: ignore[misc]
    """The batches of TRL's collator, bit for bit, padded in one array instead of list by list."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        sequences = [e["prompt_ids"] + e[side] for side in ("chosen_ids", "rejected_ids") for e in examples]
        starts = np.array([len(e["prompt_ids"]) for e in examples] * 2)
        if self.max_length is not None:
            if self.truncation_mode == "keep_end":
                starts -= np.array([max(0, len(s) - self.max_length) for s in sequences])
                sequences = [s[-self.max_length :] for s in sequences]
            else:
                sequences = [s[: self.max_length] for s in sequences]
        lengths = np.array([len(s) for s in sequences])
        multiple = self.pad_to_multiple_of or 1
        width = -(-int(lengths.max()) // multiple) * multiple
        ids = np.full((len(sequences), width), self.pad_token_id, dtype=np.int64)
        for row, sequence in zip(ids, sequences, strict=True):
            row[: len(sequence)] = sequence
        position = np.arange(width)
        attention = position < lengths[:, None]
        completion = attention & (position >= starts[:, None])
        batch = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(attention.astype(np.int64)),
            "completion_mask": torch.from_numpy(completion.astype(np.int64)),
        }
        for column in REFERENCE_COLUMNS:
            if column in examples[0]:
                batch[column] = torch.tensor([e[column] for e in examples])
        return batch


class GraphDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """A DPOTrainer whose loss is `loss_graph`: a verified graph, or any function of the preference contract.

    `loss_type` and `label_smoothing` of the arguments are not read; `beta` is. A data set that has the columns
    `prompt_ids, chosen_ids, rejected_ids, ref_chosen_logps, ref_rejected_logps` is neither tokenised nor passed through
    the reference model again.

    `min_batch` (pairs) and `coupled` (whether a pair's loss depends on the other pairs) are probed when not given.
    A last batch smaller than `min_batch` is dropped. A coupled loss sees the pairs of all ranks together.

    Raises EvaluationFailed: `diverged` (NaN or infinite loss, gradient or weights), `unsupported_loss` (wrong shape;
    coupled under gradient accumulation; batches below `min_batch`), `bad_data` (fewer pairs than `min_batch`).
    """

    def __init__(
        self,
        model: Any,
        ref_model: Any = None,
        args: DPOConfig | None = None,
        *,
        loss_graph: "LossGraph | PreferenceLoss",
        train_dataset: Any,
        min_batch: int | None = None,
        coupled: bool | None = None,
        peft_config: Any = None,
        **kwargs: Any,
    ) -> None:
        args = copy.copy(args) if args is not None else DPOConfig("evopo-dpo")
        self.loss_fn = _as_function(loss_graph)
        probed = batch_needs(self.loss_fn, args.beta)
        self.needs = BatchNeeds(
            probed.min_batch if min_batch is None else min_batch, probed.coupled if coupled is None else coupled
        )
        _refuse_unsupported(args, self.needs)
        if _has(train_dataset, REFERENCE_COLUMNS):
            args.precompute_ref_log_probs = True
        if isinstance(model, nn.Module):
            _unwrap_forward(model)
            in_memory = not getattr(model.config, "_name_or_path", "")
            if in_memory and ref_model is None and peft_config is None:
                # TRL would ask the hub for a model named ''. The untrained policy is the reference.
                args.precompute_ref_log_probs = True
        super().__init__(
            model, ref_model=ref_model, args=args, train_dataset=train_dataset, peft_config=peft_config, **kwargs
        )
        if type(self.data_collator) is DataCollatorForPreference:
            self.data_collator = PreferenceCollator(**vars(self.data_collator))
        self._fit_batches()

    def _fit_batches(self) -> None:
        """Make sure that no batch smaller than `min_batch` is ever formed."""
        least = self.needs.min_batch
        if least <= 1:
            return
        pairs, batch = len(self.train_dataset), self.args.per_device_train_batch_size * self.args.world_size
        if pairs < least:
            raise EvaluationFailed("bad_data", f"the loss is undefined below {least} pairs, and the data has {pairs}")
        if 0 < pairs % batch < least:
            self.args.dataloader_drop_last = True

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if _has(dataset, TOKEN_COLUMNS):
            return dataset
        return super()._prepare_dataset(dataset, *args, **kwargs)

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if _has(dataset, REFERENCE_COLUMNS):
            return dataset
        return super()._precompute_ref_logps(dataset, *args, **kwargs)

    def _compute_loss(self, model: nn.Module, inputs: Mapping[str, Tensor], return_outputs: bool) -> Any:
        outputs = self._per_token(model, inputs)
        chosen, rejected = outputs.log_probs.float().sum(dim=1).chunk(2)
        if self.precompute_ref_logps:
            reference = [inputs[column].float() for column in REFERENCE_COLUMNS]
        else:
            reference = [x.float() for x in self.compute_ref_log_probs(self.ref_model or self.model, inputs)]
        loss = self._loss(chosen, rejected, *reference)
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        self._record(loss, outputs, inputs, chosen.detach(), rejected.detach(), *reference)
        return (loss, outputs) if return_outputs else loss

    def _loss(self, *log_probs: Tensor) -> Tensor:
        """Mean loss of the batch, shape (); of all ranks' pairs together when the loss is coupled."""
        ranks = self.accelerator.num_processes
        gather = self.needs.coupled and ranks > 1
        if gather:
            log_probs = tuple(self._with_other_ranks(x) for x in log_probs)
        losses = self.loss_fn(*log_probs, self.beta)
        if losses.shape != log_probs[0].shape:
            raise EvaluationFailed(
                "unsupported_loss",
                f"loss returned shape {tuple(losses.shape)}, expected {tuple(log_probs[0].shape)}: one loss per pair",
            )
        loss = losses.mean()
        if gather:
            # Each rank differentiates the whole loss by its own pairs only, and DDP then averages over the ranks.
            loss = loss.detach() + ranks * (loss - loss.detach())
        return loss

    def _with_other_ranks(self, own: Tensor) -> Tensor:
        parts = list(self.accelerator.gather(own.detach()).chunk(self.accelerator.num_processes))
        parts[self.accelerator.process_index] = own
        return torch.cat(parts)

    def _per_token(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> FusedCausalLMOutput:
        """Log-probability of every completion token, shape (2 * batch, width - 1), chosen first; 0 elsewhere.

        TRL's fused LM head, or for few logits the model's own with the softmax at once. Then the token statistics
        (entropy and the like) are taken only on the steps that are logged.
        """
        not_model = ("completion_mask", *REFERENCE_COLUMNS)
        model_inputs = {key: value for key, value in inputs.items() if key not in not_model}
        ids, mask = inputs["input_ids"], inputs["completion_mask"].bool()
        vocabulary = self.model.config.get_text_config().vocab_size
        if self.aux_loss_enabled or ids.numel() * vocabulary > DENSE_LOGITS:
            if self.aux_loss_enabled:
                model_inputs["output_router_logits"] = True
            labels = ids.masked_fill(~mask, -100)
            outputs = model(**model_inputs, labels=labels, use_cache=False, fused_lm_head=True)
            width = ids.size(1) - 1  # prompt-learning adapters put virtual tokens in front
            return FusedCausalLMOutput(
                **{k: v[:, -width:] if k != "aux_loss" and v.dim() == 2 else v for k, v in outputs.items()}
            )
        mask, labels = mask[:, 1:], ids[:, 1:]
        width = labels.size(1)
        logits = model(**model_inputs, use_cache=False).logits[:, -width - 1 : -1].float()
        log_softmax = logits.log_softmax(dim=-1)
        log_probs = log_softmax.gather(2, labels.unsqueeze(2)).squeeze(2).masked_fill(~mask, 0.0)
        if not self._step_is_logged():
            return FusedCausalLMOutput(log_probs=log_probs)
        with torch.no_grad():
            return FusedCausalLMOutput(
                log_probs=log_probs,
                entropy=-(log_softmax.exp() * log_softmax).sum(dim=-1),
                mean_logits=logits.mean(dim=-1),
                is_top1=logits.argmax(dim=-1) == labels,
            )

    def _step_is_logged(self) -> bool:
        if not self.model.training:
            return True
        step, every = self.state.global_step + 1, self.state.logging_steps or 1
        return step % every == 0 or step == self.state.max_steps

    def _record(self, loss: Tensor, outputs: Any, inputs: Mapping[str, Tensor], *log_probs: Tensor) -> None:
        """TRL's metrics, summed over the ranks in one collective and read by the host once.

        Raises EvaluationFailed("diverged") on every rank if the loss of any is not finite.
        """
        chosen, rejected, reference_chosen, reference_rejected = log_probs
        chosen_reward, rejected_reward = (
            self.beta * (chosen - reference_chosen),
            self.beta * (rejected - reference_rejected),
        )
        sums = {
            "loss": loss.detach(),
            "ranks": torch.ones_like(loss),
            "pairs": torch.full_like(loss, len(chosen)),
            "tokens": inputs["attention_mask"].sum(),
            "rewards/chosen": chosen_reward.sum(),
            "rewards/rejected": rejected_reward.sum(),
            "rewards/accuracies": (chosen_reward > rejected_reward).sum(),
            "rewards/margins": (chosen_reward - rejected_reward).sum(),
            "logps/chosen": chosen.sum(),
            "logps/rejected": rejected.sum(),
        }
        if outputs.entropy is not None:
            sums |= _token_sums(outputs, inputs["completion_mask"][:, 1:])
        if self.aux_loss_enabled:
            sums["aux_loss"] = outputs.aux_loss.detach()
        vector = self.accelerator.reduce(torch.stack([value.float() for value in sums.values()]), reduction="sum")
        total = dict(zip(sums, vector.tolist(), strict=True))
        training = self.model.training
        if training and not np.isfinite(total["loss"]):
            raise EvaluationFailed("diverged", f"the loss is {total['loss']} at step {self.state.global_step + 1}")
        metrics = self._metrics["train" if training else "eval"]
        for name, value in total.items():
            if name.startswith(("rewards/", "logps/")):
                metrics[name].append(value / total["pairs"])
        if "aux_loss" in total:
            metrics["aux_loss"].append(total["aux_loss"] / total["ranks"])
        if "entropy" in total:
            completion = max(total["chosen tokens"] + total["rejected tokens"], 1.0)
            metrics["entropy"].append(total["entropy"] / completion)
            metrics["mean_token_accuracy"].append(total["correct"] / max(total["chosen tokens"], 1.0))
            for side in ("chosen", "rejected"):
                metrics[f"logits/{side}"].append(total[f"logits/{side}"] / max(total[f"{side} tokens"], 1.0))
        if training:
            self._total_train_tokens += int(total["tokens"]) // self._tp_size
        metrics["num_tokens"] = [self._total_train_tokens]

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        grad_norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        # A gradient scaler (fp16) meets infinite gradients in its ordinary course, and skips those steps.
        if grad_norm is not None and self.accelerator.scaler is None and not np.isfinite(float(grad_norm)):
            raise EvaluationFailed(
                "diverged", f"the gradient norm is {float(grad_norm)} at step {self.state.global_step + 1}"
            )
        return grad_norm

    def train(self, *args: Any, **kwargs: Any) -> Any:
        result = super().train(*args, **kwargs)
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and not weight.isfinite().all():
                raise EvaluationFailed("diverged", f"weights of {name} are not finite after training")
        return result


def _as_function(loss: "LossGraph | PreferenceLoss") -> PreferenceLoss:
    if callable(loss):
        return loss
    from sandbox.execute import compile_loss

    return compile_loss(loss)


def _has(dataset: Any, columns: Sequence[str]) -> bool:
    return set(columns) <= set(getattr(dataset, "column_names", None) or ())


def _refuse_unsupported(args: DPOConfig, needs: BatchNeeds) -> None:
    set_but_unread = [name for name in ("ld_alpha", "use_weighting", "loss_weights") if getattr(args, name)]
    if args.f_divergence_type != "reverse_kl":
        set_but_unread.append("f_divergence_type")
    if set_but_unread:
        raise ValueError(
            f"{', '.join(set_but_unread)} change TRL's own losses and have no effect on a loss graph: unset"
        )
    if args.per_device_train_batch_size < needs.min_batch:
        raise EvaluationFailed(
            "unsupported_loss",
            f"the loss is undefined below {needs.min_batch} pairs: per_device_train_batch_size is "
            f"{args.per_device_train_batch_size}, raise it",
        )
    if needs.coupled and args.gradient_accumulation_steps > 1:
        raise EvaluationFailed(
            "unsupported_loss",
            "the loss of a pair depends on the other pairs of its batch, which gradient accumulation splits: set "
            "gradient_accumulation_steps to 1 and raise per_device_train_batch_size",
        )


def _unwrap_forward(model: nn.Module) -> None:
    """Undo what an earlier trainer left on this model: TRL adds its fused LM head, and accelerate autocast, once each."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "_forward_before_trainer" in base.__dict__:
        base.__dict__.pop("forward", None)
        if base._forward_before_trainer is not None:
            base.forward = base._forward_before_trainer
    else:
        base._forward_before_trainer = base.__dict__.get("forward")


def _token_sums(outputs: Any, mask: Tensor) -> dict[str, Tensor]:
    chosen_mask, rejected_mask = mask.chunk(2)
    chosen_logits, rejected_logits = outputs.mean_logits.chunk(2)
    return {
        "entropy": (outputs.entropy.detach() * mask).sum(),
        "chosen tokens": chosen_mask.sum(),
        "rejected tokens": rejected_mask.sum(),
        "logits/chosen": (chosen_logits * chosen_mask).sum(),
        "logits/rejected": (rejected_logits * rejected_mask).sum(),
        "correct": (outputs.is_top1.chunk(2)[0] & chosen_mask.bool()).sum(),
    }
