"""Tokens and reference log-probabilities of all pairs, on disk once per (model, data, template)."""

import copy
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset, DatasetDict, load_from_disk
from filelock import FileLock
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig
from trl.models import prepare_deepspeed

from fitness.batches import REFERENCE_COLUMNS, TOKEN_COLUMNS
from fitness.data_sources import Pairs, bad_data
from fitness.digests import path_digest
from fitness.policies import Policies
from fitness.preference import Options
from fitness.trainer import GraphDPOTrainer

FORMAT = 2
PROMPT_COLUMN = "prompt_json"  # the raw prompt, for judges


def reference_key(
    options: Options, pairs: Pairs, policies: Policies, tokenizer: PreTrainedTokenizerBase, args: DPOConfig
) -> str:
    """Digest of all that decides tokens and reference log-probabilities; the same on every rank."""
    state = PartialState()
    key = [""]
    if state.is_main_process:  # the digest of a large model takes its time
        parts = {
            "format": FORMAT,
            "model": path_digest(Path(options.model)) or options.model,
            "commit": policies.commit,
            "dtype": str(policies.dtype),
            "quantization": options.quantization,
            "computing": [args.mixed_precision, options.attention, state.device.type],
            "data": pairs.digest(),
            "template": tokenizer.chat_template if pairs.conversational else tokenizer.eos_token,
            "lengths": [options.max_length, options.max_prompt_length],
        }
        key = [hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]]
    broadcast_object_list(key)
    return key[0]


def cached_pairs(
    key: str,
    options: Options,
    pairs: Pairs,
    policies: Policies,
    tokenizer: PreTrainedTokenizerBase,
    args: DPOConfig,
) -> dict[str, Dataset]:
    """The parts of `pairs` with token and reference columns, read from disk or made and put there under `key`."""
    state = PartialState()
    folder = options.cache_folder / "reference" / key
    # The first rank decides for all, and holds the lock: other workers on this machine wait rather than do it again.
    lock = FileLock(folder.parent / f"{key}.lock")
    if state.is_main_process:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        there = [folder.exists()]
        broadcast_object_list(there)
        if not there[0]:
            made = _make(options, pairs, policies, tokenizer, args)
            if state.is_main_process:
                _publish(made, folder)
            state.wait_for_everyone()
    finally:
        if state.is_main_process:
            lock.release()
    loaded = load_from_disk(str(folder), keep_in_memory=False)
    return {name: loaded[name] for name in pairs.parts}


def _make(
    options: Options, pairs: Pairs, policies: Policies, tokenizer: PreTrainedTokenizerBase, args: DPOConfig
) -> DatasetDict:
    model = policies.fresh()
    try:
        trainer = _ReferencePass(
            model,
            args=args,
            loss_graph=any_loss,
            train_dataset=pairs.train,
            eval_dataset={"search": pairs.search, "held_out": pairs.held_out},
            processing_class=tokenizer,
            max_prompt_length=options.max_prompt_length,
        )
    except TemplateError as error:
        raise bad_data(
            f"the chat template cannot render these conversations ({type(error).__name__}: {error})",
            "set fitness.chat_template to a Jinja file that can, or leave out of the data what it has no place for",
        ) from error
    if trainer.is_deepspeed_enabled:
        model = prepare_deepspeed(trainer.model, trainer.accelerator)
    elif not options.quantization:
        model = trainer.model.to(trainer.accelerator.device)
    made = {}
    for name, part in {"train": trainer.train_dataset, **trainer.eval_dataset}.items():
        log_probs = trainer.log_probs(part, model)
        for column, values in zip(REFERENCE_COLUMNS, log_probs.T.tolist(), strict=True):
            part = part.add_column(column, values)
        made[name] = part
    return DatasetDict(made)


def _publish(made: DatasetDict, folder: Path) -> None:
    """Appear whole or not at all, whenever the process is killed."""
    scratch = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        made.save_to_disk(str(scratch))
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


class _ReferencePass(GraphDPOTrainer):
    """TRL's tokenisation of the raw pairs, with long prompts cut, and nothing else of its preparations."""

    def __init__(self, *args: Any, max_prompt_length: int | None, **kwargs: Any) -> None:
        self._max_prompt_length = max_prompt_length
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: DPOConfig, dataset_name: str) -> Any:
        longest = self._max_prompt_length
        if longest:  # then none is too long: TRL need not drop any
            args = copy.copy(args)
            args.max_length = None
        prepared = super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        kept = {*TOKEN_COLUMNS, PROMPT_COLUMN}

        def finish(row: dict[str, Any]) -> dict[str, Any]:
            prompt_ids = row["prompt_ids"][-longest:] if longest else row["prompt_ids"]
            return {"prompt_ids": prompt_ids, PROMPT_COLUMN: json.dumps(row["prompt"])}

        return prepared.map(finish, remove_columns=[c for c in prepared.column_names if c not in kept])

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


def any_loss(*inputs: Any) -> torch.Tensor:
    """For a trainer that is not to train, but wants a loss."""
    chosen: torch.Tensor = inputs[0]
    return -chosen
