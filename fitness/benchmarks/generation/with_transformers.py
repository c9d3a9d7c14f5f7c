"""Generation with transformers: batches padded on the left, on a CPU or one GPU."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.utils import logging as transformers_logging

from fitness.benchmarks.generation.chats import Chats, turn_by_turn
from fitness.benchmarks.generation.generator import GenerationOptions, Written
from fitness.benchmarks.protocol import BenchmarkError, Question, Sampling
from fitness.score import is_out_of_memory


class TransformersGenerator:
    """The policy in a folder, loaded with transformers."""

    def __init__(self, folder: Path, options: GenerationOptions) -> None:
        """Raises BenchmarkError if the policy cannot be loaded, or has no chat template."""
        transformers_logging.disable_progress_bar()
        self._options = options
        self._chats = Chats(folder, options)
        gpu = torch.cuda.is_available()
        if options.device == "gpu" and not gpu:
            raise BenchmarkError("generation.device=gpu, but torch finds no GPU: set generation.device=auto")
        self._device = torch.device("cuda" if gpu and options.device != "cpu" else "cpu")
        half = self._device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        try:
            model, found = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.bfloat16 if half else torch.float32,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            text = " ".join(str(error).split())
            raise BenchmarkError(f"cannot load the model in {folder} ({type(error).__name__}: {text[:300]})") from None
        if missing := sorted(found["missing_keys"]):
            raise BenchmarkError(
                f"the model in {folder} has no weights {missing[0]!r}: expected a causal language model"
            )
        self._model: Any = model.to(self._device).eval()
        ends = model.generation_config.eos_token_id
        own = self._chats.tokenizer.eos_token_id
        self._ends = {*(ends if isinstance(ends, list) else [ends]), own} - {None}
        pad = self._chats.tokenizer.pad_token_id
        self._pad = pad if pad is not None else min(self._ends, default=0)
        # The model's own defaults, such as a repetition penalty, would apply to every call that does not override them.
        model.generation_config = GenerationConfig()

    def write(self, questions: Sequence[Question], sampling: Sampling, seed: int) -> list[Written]:
        """As in `Generator`."""
        torch.manual_seed(seed)

        def continued(prompts: Sequence[list[int]], limit: int) -> list[tuple[str, int]]:
            written = self._written(prompts, sampling, limit)
            texts = self._chats.tokenizer.batch_decode(written, skip_special_tokens=True)
            return list(zip(texts, map(len, written), strict=True))

        return turn_by_turn(self._chats, questions, sampling, self._options, continued)

    def close(self) -> None:
        """As in `Generator`."""
        self._model = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _written(self, prompts: Sequence[list[int]], sampling: Sampling, limit: int) -> list[list[int]]:
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (width - len(p)) + p for p in prompts], device=self._device)
        attended = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self._device)
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        ended = StoppingCriteriaList([_Stopped(self._chats.tokenizer, sampling.stop, width)] if sampling.stop else [])
        try:
            written = self._model.generate(
                input_ids=ids, attention_mask=attended, max_new_tokens=limit, pad_token_id=self._pad,
                eos_token_id=sorted(self._ends) or None, stopping_criteria=ended,
                **(drawn if sampling.temperature > 0 else {"do_sample": False}),
            )  # fmt: skip
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise BenchmarkError(
                f"memory ran out while {len(prompts)} questions were answered at a time: lower generation.batch, or "
                "generation.max_new_tokens; the same command continues"
            ) from None
        return [self._until_end(row) for row in written[:, width:].tolist()]

    def _until_end(self, ids: list[int]) -> list[int]:
        """The answer with its end token; padding after it is dropped."""
        last = next((place for place, token in enumerate(ids) if token in self._ends), len(ids) - 1)
        return ids[: last + 1]


class _Stopped(StoppingCriteria):  # type: ignore[misc]
    """Ends an answer when its text has one of the stop texts."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], prompt: int) -> None:
        self._tokenizer, self._stops, self._prompt = tokenizer, stops, prompt
        # A token may be a single character, so the end of the text that can hold a new stop text has at most so many tokens.
        self._window = max(map(len, stops)) + 8

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **others: Any) -> torch.Tensor:
        """Whether each row has ended."""
        ends = input_ids[:, max(self._prompt, input_ids.size(1) - self._window) :]
        texts = self._tokenizer.batch_decode(ends, skip_special_tokens=True)
        stopped = [any(stop in text for stop in self._stops) for text in texts]
        return torch.tensor(stopped, dtype=torch.bool, device=input_ids.device)
