"""What TRL's trainer does to a model or asks of it, done otherwise or undone. Each of these is needed where TRL has no option."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.utils import is_peft_model
from trl.trainer import dpo_trainer
from trl.trainer.utils import add_fused_lm_head


@contextmanager
def unhashed() -> Iterator[None]:
    """Spare TRL hashing all weights, the key of a cache of reference log-probabilities that is not needed here."""
    hash_module = dpo_trainer.hash_module
    dpo_trainer.hash_module = lambda module: ""
    try:
        yield
    finally:
        dpo_trainer.hash_module = hash_module


def unwrap_forward(model: Any) -> None:
    """Undo what an earlier trainer left on this model: TRL adds its fused LM head anew, and accelerate its autocast."""
    state = (model.get_base_model() if is_peft_model(model) else model).__dict__
    before = state.setdefault("_forward_before_trainer", state.get("forward"))
    state.pop("forward", None)
    if before is not None:
        state["forward"] = before


@contextmanager
def lm_head_at(temperature: float, model: Any) -> Iterator[None]:
    """TRL's fused LM head divides the logits by `temperature` in here; it takes none per call, so another head is put on."""
    base = model.get_base_model() if is_peft_model(model) else model
    forward = base.forward
    add_fused_lm_head(base, temperature)
    try:
        yield
    finally:
        base.forward = forward
