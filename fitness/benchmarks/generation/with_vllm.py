"""Generation with vLLM, an optional package for GPUs."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fitness.benchmarks.generation.chats import Chats, turn_by_turn
from fitness.benchmarks.generation.generator import GenerationOptions, Written
from fitness.benchmarks.protocol import BenchmarkError, Question, Sampling


class VllmGenerator:
    """The policy in a folder, loaded with vLLM."""

    def __init__(self, folder: Path, options: GenerationOptions) -> None:
        """Raises BenchmarkError if vLLM is not installed, or the policy cannot be loaded."""
        self._options = options
        self._chats = Chats(folder, options)
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise BenchmarkError(
                f"generation.engine=vllm needs vllm, which cannot be imported ({error}); run: pip install 'evopo[vllm]'"
            ) from None
        self._parameters = SamplingParams
        try:
            self._engine: Any = LLM(model=str(folder), trust_remote_code=False, max_model_len=self._chats.context)
        except (OSError, ValueError, RuntimeError) as error:
            text = " ".join(str(error).split())
            raise BenchmarkError(
                f"vllm cannot load the model in {folder} ({type(error).__name__}: {text[:300]}); try generation.engine=transformers"
            ) from None

    def write(self, questions: Sequence[Question], sampling: Sampling, seed: int) -> list[Written]:
        """As in `Generator`."""

        def continued(prompts: Sequence[list[int]], limit: int) -> list[tuple[str, int]]:
            parameters = [
                self._parameters(
                    temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=limit, stop=list(sampling.stop) or None,
                    seed=(seed + 1_000_003 * index) % 2**31,
                )
                for index in range(len(prompts))
            ]  # fmt: skip
            asked = [{"prompt_token_ids": ids} for ids in prompts]
            outputs = [one.outputs[0] for one in self._engine.generate(asked, parameters, use_tqdm=False)]
            return [(output.text, len(output.token_ids)) for output in outputs]

        return turn_by_turn(self._chats, questions, sampling, self._options, continued)

    def close(self) -> None:
        """As in `Generator`."""
        self._engine = None
        gc.collect()
