"""TRL's DPOTrainer with a candidate loss in place of its own.

TRL has no hook for a custom loss. This class overrides `_compute_loss` (forward pass, loss, metrics) and leaves everything else
(data handling, adapters, reference model, optimiser, schedule, checkpoints, distributed launch) to TRL and transformers.

A failed training must not look like a successful one. Transformers logs a NaN loss as 0.0 (`logging_nan_inf_filter`), and
`.mean()` hides a wrong shape. So shape, loss, gradient norm and final weights are checked here, and a failure raises an
`EvaluationFailed` with its reason.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import is_peft_model
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from trl import DPOConfig, DPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.utils import FusedCausalLMOutput, use_adapter

from fitness.score import EvaluationFailed
from fitness.training.batches import (
    REFERENCE_COLUMNS,
    TOKEN_COLUMNS,
    BatchNeeds,
    PreferenceCollator,
    PreferenceLoss,
    Statistics,
    as_function,
    has_columns,
    losses_per_pair,
    refuse_unsupported,
)
from fitness.training.curves import CurveRecorder, preference_values
from fitness.training.trl_patches import lm_head_at, unwrap_forward, without_hashing

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import LossGraph

# Up to this many logits (64 MiB in float32) all are computed at once, twice as fast on small models as TRL's tiled LM head.
# Above it the tiles save memory.
DENSE_LOGITS = 2**24

# Added to each micro-batch of a step whose loss gets the whole step: the gradient of the step's loss by the micro-batch's
# log-probabilities, shape (2, batch), and the step's loss.
STEP_GRADIENT, STEP_LOSS = "step_gradient", "step_loss"


class GraphDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """A DPOTrainer whose loss is `loss_graph`: a graph, or any function of the preference contract.

    Of the arguments, `beta` is used; `loss_type` and `label_smoothing` are ignored. A data set with the columns
    `prompt_ids, chosen_ids, rejected_ids, ref_chosen_logps, ref_rejected_logps` is neither tokenised nor passed through
    the reference model again.

    `min_batch` (pairs) and `coupled` (whether a pair's loss depends on the other pairs) are determined if not given.
    `watch` records every optimiser step (see `fitness.training.curves`).
    A last batch smaller than `min_batch` is dropped. With `statistics="step"` a coupled loss is computed on all pairs of an
    optimiser step together, over all micro-batches and ranks; with gradient accumulation this costs a second forward pass. With
    "micro_batch" it is computed on each micro-batch of each rank alone, as TRL does.

    Raises EvaluationFailed: `diverged` (NaN or infinite loss, gradient or weights), `unsupported_loss` (wrong shape;
    batches below `min_batch`), `bad_data` (fewer pairs than `min_batch`; prompts that are all too long).
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
        statistics: Statistics = "step",
        watch: CurveRecorder | None = None,
        peft_config: Any = None,
        **kwargs: Any,
    ) -> None:
        args = copy.copy(args) if args is not None else DPOConfig("evopo-dpo")
        self.watch = watch or CurveRecorder()
        self.loss_fn, needs = as_function(loss_graph, args.beta)
        self.needs = BatchNeeds(
            needs.min_batch if min_batch is None else min_batch, needs.coupled if coupled is None else coupled
        )
        self.whole_step = self.needs.coupled and statistics == "step"
        """Whether the loss gets all pairs of an optimiser step at a time."""
        refuse_unsupported(args, self.needs, whole_step=self.whole_step)
        if has_columns(train_dataset, REFERENCE_COLUMNS):
            args.precompute_ref_log_probs = True
        if isinstance(model, nn.Module):
            unwrap_forward(model)
            in_memory = not getattr(model.config, "_name_or_path", "")
            if in_memory and ref_model is None and peft_config is None:
                # TRL would look up a model named '' on the hub. The untrained policy is the reference.
                args.precompute_ref_log_probs = True
        with without_hashing() if has_columns(train_dataset, REFERENCE_COLUMNS) else nullcontext():
            super().__init__(
                model, ref_model=ref_model, args=args, train_dataset=train_dataset, peft_config=peft_config, **kwargs
            )
        if type(self.data_collator) is DataCollatorForPreference:
            self.data_collator: Any = PreferenceCollator(**vars(self.data_collator))
        if hasattr(self.train_dataset, "__len__") and len(self.train_dataset) < self.needs.min_batch:
            raise EvaluationFailed(
                "bad_data",
                f"the loss is undefined below {self.needs.min_batch} pairs, and the data has {len(self.train_dataset)}",
            )

    def _send_telemetry(self) -> None:
        """Sends nothing: a search creates thousands of trainers, and its user did not ask for telemetry."""

    def _get_dataloader(
        self, dataset: Any, description: str, batch_size: int, *args: Any, is_training: bool = False, **kwargs: Any
    ) -> Any:
        # With several ranks accelerate pads the last batch, so only a single process has a smaller one.
        if self.accelerator.num_processes == 1 and hasattr(dataset, "__len__"):
            least, pairs = self.needs.min_batch, len(dataset)
            if is_training and 0 < (rest := pairs % self._pairs_seen_together(batch_size)) < least:
                dataset = dataset.select(range(pairs - rest))
            # A measurement leaves no pair out, so the batch size grows until the last batch has `min_batch` pairs.
            while not is_training and pairs >= least and 0 < pairs % batch_size < least:
                batch_size += 1
        return super()._get_dataloader(dataset, description, batch_size, *args, is_training=is_training, **kwargs)

    def _pairs_seen_together(self, batch_size: int) -> int:
        return batch_size * (self.args.gradient_accumulation_steps if self.whole_step else 1)

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: DPOConfig, dataset_name: str) -> Any:
        if has_columns(dataset, TOKEN_COLUMNS):
            return dataset
        prepared = super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        if hasattr(prepared, "__len__") and not len(prepared):
            raise EvaluationFailed(
                "bad_data", f"every prompt has max_length={args.max_length} tokens or more: raise max_length"
            )
        return prepared

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if has_columns(dataset, REFERENCE_COLUMNS):
            return dataset
        return super()._precompute_ref_logps(dataset, *args, **kwargs)

    def _compute_loss(self, model: nn.Module, inputs: Mapping[str, Tensor], return_outputs: bool) -> Any:
        outputs = self._per_token(model, inputs)
        chosen, rejected = _summed(outputs)
        reference = self._reference(inputs)
        if STEP_GRADIENT in inputs:
            first_order = (inputs[STEP_GRADIENT] * torch.stack([chosen, rejected])).sum()
            loss = inputs[STEP_LOSS] + first_order - first_order.detach()
        else:
            loss = self._loss(chosen, rejected, *reference)
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        self._record(loss, outputs, inputs, chosen.detach(), rejected.detach(), *reference)
        return (loss, outputs) if return_outputs else loss

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.whole_step and len(batches) > 1:
            self._couple(batches)
        return batches, items

    @torch.no_grad()
    def _couple(self, batches: Sequence[dict[str, Tensor]]) -> None:
        """Add to every micro-batch of a step the gradient of the whole step's loss by the micro-batch's log-probabilities.

        The log-probabilities are computed twice: here for all micro-batches without a graph, and again in the training step
        with one (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup").
        """
        log_probs = []
        for batch in batches:
            inputs = self._prepare_inputs(batch)
            batch.update(zip(REFERENCE_COLUMNS, self._reference(inputs), strict=True))
            checkpointing = disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs)
            with checkpointing, self.compute_loss_context_manager():
                policy = _summed(self._per_token(self.model_wrapped, inputs))
            log_probs.append(torch.stack([*policy, *(batch[column] for column in REFERENCE_COLUMNS)]))
        policy_side, reference_side = torch.cat(log_probs, dim=1).split(2)
        with torch.enable_grad():
            policy_side.requires_grad_()
            loss = self._loss(*policy_side, *reference_side)
            (gradient,) = torch.autograd.grad(loss, policy_side)
        # The trainer divides the loss by the number of micro-batches.
        parts = (gradient * len(batches)).split([part.size(1) for part in log_probs], dim=1)
        for batch, part in zip(batches, parts, strict=True):
            batch.update({STEP_GRADIENT: part, STEP_LOSS: loss.detach()})

    def _reference(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        if REFERENCE_COLUMNS[0] in inputs:
            return inputs[REFERENCE_COLUMNS[0]].float(), inputs[REFERENCE_COLUMNS[1]].float()
        return self.compute_ref_log_probs(self.ref_model or self.model, inputs)

    def compute_ref_log_probs(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Reference log-probabilities of a batch: chosen and rejected, in nats, each of shape (batch,).

        Computed by the same code as the policy's, so the log-ratio of an untrained policy is exactly 0. Rounding noise there
        would matter to a loss with a kink at 0.
        """
        adapter: Any = nullcontext()
        if self.ref_model is None and is_peft_model(self.model):
            policy = self.accelerator.unwrap_model(self.model)
            adapter = use_adapter(policy, adapter_name="ref" if "ref" in policy.peft_config else None)
        checkpointing = disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs)
        with torch.no_grad(), checkpointing, adapter, self.accelerator.autocast():
            return _summed(self._per_token(model, inputs))

    @torch.no_grad()
    def log_probs(self, dataset: Any, model: nn.Module | None = None, *, temperature: float = 1.0) -> Tensor:
        """Log-probabilities in nats of the pairs of a tokenised data set, shape (pairs, 2): chosen, rejected.

        Under the policy, or under another `model` that has TRL's fused LM head. The same tensor on every rank, on the CPU.
        """
        model = self.model_wrapped if model is None else model
        training = model.training
        model.eval()
        parts = []
        for inputs in self.get_eval_dataloader(dataset):
            with self.compute_loss_context_manager(), self.accelerator.autocast():
                sides = _summed(self._per_token(model, self._prepare_inputs(inputs), temperature))
            parts.append(self.accelerator.gather_for_metrics(torch.stack(sides, dim=1)).cpu())
        model.train(training)
        return torch.cat(parts)

    def margins(self, dataset: Any) -> Tensor:
        """Margins rho in nats of the pairs of a tokenised data set with reference log-probabilities, shape (pairs,), on the CPU.

        Rafailov et al. 2023, eq. 7, without beta. Raises EvaluationFailed("diverged") if one is not finite.
        """
        reference = torch.tensor([dataset[column] for column in REFERENCE_COLUMNS]).T
        ratios = (self.log_probs(dataset) - reference).double()
        found = ratios[:, 0] - ratios[:, 1]
        if not found.isfinite().all():
            raise EvaluationFailed("diverged", "the trained policy's log-probabilities of the pairs are not finite")
        return found

    def _loss(self, *log_probs: Tensor) -> Tensor:
        """Mean loss of the batch, shape (); over the pairs of all ranks if the loss gets a whole step."""
        ranks = self.accelerator.num_processes
        gather = self.whole_step and ranks > 1
        if gather:
            log_probs = tuple(self._with_other_ranks(x) for x in log_probs)
        loss = losses_per_pair(self.loss_fn, log_probs, self.beta).mean()
        if gather:
            # Each rank differentiates the whole loss by its own pairs only, and DDP averages over the ranks: hence the factor.
            loss = loss.detach() + ranks * (loss - loss.detach())
        return loss

    def _with_other_ranks(self, own: Tensor) -> Tensor:
        parts = list(self.accelerator.gather(own.detach()).chunk(self.accelerator.num_processes))
        parts[self.accelerator.process_index] = own
        return torch.cat(parts)

    def _per_token(
        self, model: nn.Module, inputs: Mapping[str, Tensor], temperature: float = 1.0
    ) -> FusedCausalLMOutput:
        """Log-probability of every completion token, shape (2 * batch, width - 1), chosen first; 0 elsewhere.

        Uses TRL's fused LM head, or up to DENSE_LOGITS logits the model's own head and one softmax. In the second case the
        token statistics (entropy and so on) are computed only for steps that are logged.
        """
        not_model = ("completion_mask", *REFERENCE_COLUMNS, STEP_GRADIENT, STEP_LOSS)
        model_inputs: dict[str, Any] = {key: value for key, value in inputs.items() if key not in not_model}
        ids, is_completion = inputs["input_ids"], inputs["completion_mask"].bool()
        vocabulary = self.model.config.get_text_config().vocab_size
        if self.aux_loss_enabled or ids.numel() * vocabulary > DENSE_LOGITS:
            if self.aux_loss_enabled:
                model_inputs["output_router_logits"] = True
            labels = ids.masked_fill(~is_completion, -100)
            base = self.accelerator.unwrap_model(model)
            with lm_head_at(temperature, base) if temperature != 1.0 else nullcontext():
                outputs = model(**model_inputs, labels=labels, use_cache=False, fused_lm_head=True)
            width = ids.size(1) - 1  # prompt-learning adapters prepend virtual tokens
            return FusedCausalLMOutput(
                **{k: v[:, -width:] if k != "aux_loss" and v.dim() == 2 else v for k, v in outputs.items()}
            )
        labels = ids[:, 1:]
        logits = model(**model_inputs, use_cache=False).logits[:, -ids.size(1) : -1].float()
        if temperature != 1.0:
            logits = logits / temperature
        log_softmax = logits.log_softmax(dim=-1)
        log_probs = log_softmax.gather(2, labels.unsqueeze(2)).squeeze(2).masked_fill(~is_completion[:, 1:], 0.0)
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
        step = self.state.global_step + 1
        return bool(step % (self.state.logging_steps or 1) == 0 or step == self.state.max_steps)

    def _record(self, loss: Tensor, outputs: Any, inputs: Mapping[str, Tensor], *log_probs: Tensor) -> None:
        """Record TRL's metrics, summed over the ranks in one collective operation and copied to the host once.

        Raises EvaluationFailed("diverged") on every rank if the loss of any rank is not finite.
        """
        chosen, rejected, reference_chosen, reference_rejected = log_probs
        chosen_ratio, rejected_ratio = chosen - reference_chosen, rejected - reference_rejected
        chosen_reward, rejected_reward = self.beta * chosen_ratio, self.beta * rejected_ratio
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
            "ratios/chosen": chosen_ratio.sum(),
            "ratios/rejected": rejected_ratio.sum(),
        }
        if outputs.entropy is not None:
            sums |= _token_sums(outputs, inputs["completion_mask"][:, 1:])
        if self.aux_loss_enabled:
            sums["aux_loss"] = outputs.aux_loss.detach()
        vector = self.accelerator.reduce(torch.stack([value.float() for value in sums.values()]), reduction="sum")
        total = dict(zip(sums, vector.tolist(), strict=True))
        training = self.model.training
        if training:
            ratios = [total[f"ratios/{side}"] / total["pairs"] for side in ("chosen", "rejected")]
            self.watch.add(self.state.global_step + 1, preference_values(total["loss"] / total["ranks"], *ratios))
        if training and not math.isfinite(total["loss"]):
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
        # A gradient scaler (fp16) expects infinite gradients now and then, and skips those steps.
        if grad_norm is not None and self.accelerator.scaler is None and not math.isfinite(float(grad_norm)):
            raise EvaluationFailed(
                "diverged", f"the gradient norm is {float(grad_norm)} at step {self.state.global_step + 1}"
            )
        return grad_norm

    def train(self, *args: Any, **kwargs: Any) -> Any:
        result = super().train(*args, **kwargs)
        trained = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        # With sharded weights a rank sees only its own shard, and either all ranks must raise or none.
        wrong = torch.stack([(~_local(weight).isfinite()).sum() for weight in trained.values()])
        for name, count in zip(trained, self.accelerator.reduce(wrong, reduction="sum").tolist(), strict=True):
            if count:
                raise EvaluationFailed("diverged", f"weights of {name} are not finite after training")
        return result


def _local(weight: Tensor) -> Tensor:
    return weight.to_local() if isinstance(weight, DTensor) else weight


def _summed(outputs: FusedCausalLMOutput) -> tuple[Tensor, Tensor]:
    chosen, rejected = outputs.log_probs.float().sum(dim=1).chunk(2)
    return chosen, rejected


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
