"""Patches of TRL's trainer, for behaviour that TRL has no option for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.utils import is_peft_model
from trl.trainer import dpo_trainer
from trl.trainer.utils import add_fused_lm_head


@contextmanager
def without_hashing() -> Iterator[None]:
    """Keep TRL from hashing all weights. The hash is the key of TRL's cache of reference log-probabilities, not used here."""
    hash_module = dpo_trainer.hash_module
    dpo_trainer.hash_module = lambda module: ""
    try:
        yield
    finally:
        dpo_trainer.hash_module = hash_module


def unwrap_forward(model: Any) -> None:
    """Restore the model's own `forward`. Each new trainer wraps it again: TRL's fused LM head, accelerate's autocast."""
    state = (model.get_base_model() if is_peft_model(model) else model).__dict__
    before = state.setdefault("_forward_before_trainer", state.get("forward"))
    state.pop("forward", None)
    if before is not None:
        state["forward"] = before


@contextmanager
def lm_head_at(temperature: float, model: Any) -> Iterator[None]:
    """Divide the logits by `temperature` inside the block, by a second fused LM head: TRL's takes no temperature per call."""
    base = model.get_base_model() if is_peft_model(model) else model
    forward = base.forward
    add_fused_lm_head(base, temperature)
    try:
        yield
    finally:
        base.forward = forward
