"""Saving of policies as folders that transformers loads: whole weights, adapters merged, with the tokenizer."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from fitness.preference.options import Options
from fitness.preference.pairs.sources import loading
from fitness.preference.policies import never_sharded, precision
from fitness.training.trainer import GraphDPOTrainer


def save_trained(
    trainer: GraphDPOTrainer, options: Options, tokenizer: PreTrainedTokenizerBase, path: Path, state: PartialState
) -> None:
    """Save the trainer's policy to `path`. Every rank must call it: sharded weights are gathered.

    An adapter is merged into the base model as its files have it, also if training read the base quantised.
    """
    if options.lora is None:
        trainer.save_model(str(path))
        if state.is_main_process:
            (path / "training_args.bin").unlink(missing_ok=True)  # a pickle, which nothing here reads
    else:
        with tempfile.TemporaryDirectory() as folder:
            trainer.save_model(folder)
            if state.is_main_process:
                merged: Any = PeftModel.from_pretrained(_base(options), folder).merge_and_unload()
                merged.save_pretrained(path)
            state.wait_for_everyone()
    if state.is_main_process:
        tokenizer.save_pretrained(path)


def save_untrained(options: Options, tokenizer: PreTrainedTokenizerBase, path: Path, state: PartialState) -> None:
    """Save the untrained policy to `path`."""
    if state.is_main_process:
        _base(options).save_pretrained(path)
        tokenizer.save_pretrained(path)
    state.wait_for_everyone()


def _base(options: Options) -> Any:
    """The untrained model on the CPU, not quantised."""
    dtype = torch.bfloat16 if precision(options).startswith("bfloat16") else torch.float32
    with loading("model", options.model), never_sharded():
        return AutoModelForCausalLM.from_pretrained(
            options.model, revision=options.model_revision, dtype=dtype, trust_remote_code=False
        )
