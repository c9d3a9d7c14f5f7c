"""Reference cache: tokens and reference log-probabilities of all pairs, stored on disk once per (model, data, template)."""

import contextlib
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
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig
from trl.models import prepare_deepspeed

from fitness.preference.options import Options
from fitness.preference.pairs.digests import path_digest
from fitness.preference.pairs.seen import Seen, look, pair_check
from fitness.preference.pairs.sources import Pairs
from fitness.preference.policies import Policies
from fitness.training.batches import REFERENCE_COLUMNS
from fitness.training.trainer import GraphDPOTrainer

FORMAT = 3
"""Version of the cache. Increase it when the rules for pairs change, so that no outdated result is read."""
RESULTS = "seen.json"
"""File with the counts of pairs left out and the findings, next to the parts."""


def reference_key(
    options: Options, pairs: Pairs, policies: Policies, tokenizer: PreTrainedTokenizerBase, args: DPOConfig
) -> str:
    """Digest of everything that determines tokens and reference log-probabilities; the same on every rank."""
    state = PartialState()
    key = [""]
    if state.is_main_process:  # the digest of a large model takes long
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
        } | ({"split_by": "pair"} if options.split_by == "pair" else {})
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
) -> Seen:
    """`pairs` as the model sees them, with reference columns: read from disk, or computed and stored there under `key`.

    Raises EvaluationFailed("bad_data") if a finding refuses the run, or if too few pairs are left.
    """
    state = PartialState()
    folder = options.cache_folder / "reference" / key
    # The first rank decides for all and holds the lock: other workers on this machine wait instead of repeating the work.
    lock = FileLock(folder.parent / f"{key}.lock")
    if state.is_main_process:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        there = [folder.exists()]
        broadcast_object_list(there)
        if not there[0]:
            seen = look(pairs, pair_check(options, tokenizer))
            seen.check(options)
            made = _with_reference(seen, policies, tokenizer, args, options)
            if state.is_main_process:
                _publish(made, seen.results_json(), folder)
            state.wait_for_everyone()
    finally:
        if state.is_main_process:
            lock.release()
    loaded = load_from_disk(str(folder), keep_in_memory=False)
    seen = Seen.from_results({name: loaded[name] for name in pairs.parts}, (folder / RESULTS).read_text("utf-8"))
    seen.check(options)
    return seen


def _with_reference(
    seen: Seen, policies: Policies, tokenizer: PreTrainedTokenizerBase, args: DPOConfig, options: Options
) -> DatasetDict:
    # Transformers creates no trainer of a quantised model without an adapter, so that one gets its adapter, disabled for the pass.
    adapter = policies.adapter() if options.quantization else None
    trainer = _ReferencePass(
        policies.fresh(),
        args=args,
        loss_graph=any_loss,
        train_dataset=seen.parts["train"],
        processing_class=tokenizer,
        peft_config=adapter,
    )
    with contextlib.ExitStack() as stack:
        if adapter:
            stack.callback(policies.take_back, trainer.model)
            model = stack.enter_context(policies.reference(trainer.model, trainer.accelerator.device))
        elif trainer.is_deepspeed_enabled:
            model = prepare_deepspeed(trainer.model, trainer.accelerator)
        else:
            model = trainer.model.to(trainer.accelerator.device)
        return DatasetDict(
            {name: _with_columns(part, trainer.log_probs(part, model)) for name, part in seen.parts.items()}
        )


def _with_columns(part: Dataset, log_probs: torch.Tensor) -> Dataset:
    for column, values in zip(REFERENCE_COLUMNS, log_probs.T.tolist(), strict=True):
        part = part.add_column(column, values)
    return part


def _publish(made: DatasetDict, results: str, folder: Path) -> None:
    """Store the data set atomically: complete or not at all, even if the process is killed."""
    scratch = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        made.save_to_disk(str(scratch))
        (scratch / RESULTS).write_text(results, "utf-8")
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


class _ReferencePass(GraphDPOTrainer):
    """A trainer used only for its `log_probs`: computes nothing when it is created."""

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


def any_loss(*inputs: Any) -> torch.Tensor:
    """A placeholder loss for a trainer that does not train."""
    chosen: torch.Tensor = inputs[0]
    return -chosen
