#!/usr/bin/env python3
"""Time per optimiser step and GPU memory of trainings by the preference task, on one GPU.

    python scripts/bench_gpu.py [--shape smollm2-135m|gemma-7b|tiny] [--ways full lora ...] [--json]

The model has random weights in the shape of a known one, so nothing is downloaded; its vocabulary has that model's size. Each
way of training runs in a worker process, as in a run, on sequences of `--tokens` tokens. Three trainings: one that warms up, one
of 2 steps and one of 8. Time per step is the difference of the last two, divided by 6. Memory is the largest amount in use on the
whole GPU, so nothing else should run there. Exit code 1 if a training failed, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from bench_table import Figure, show
from transformers import AutoModelForCausalLM, AutoTokenizer, GemmaConfig, LlamaConfig, PretrainedConfig

from fitness.sentiment.reviews import vocabulary
from fitness.sentiment.task import DATA as EMBEDDED_MODEL
from fitness.task.protocol import EvaluationFailed
from fitness.workers.pool import WorkerPool
from sandbox import known

SHAPES: dict[str, PretrainedConfig] = {
    "tiny": LlamaConfig(
        vocab_size=1024, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=2048, tie_word_embeddings=True,
    ),
    "smollm2-135m": LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True,
    ),
    "gemma-7b": GemmaConfig(),
}  # fmt: skip
"""Shapes by name: SmolLM2-135M, and Gemma 7B (8.5 billion parameters), the model of Lu et al. 2024."""

WAYS: dict[str, dict[str, Any]] = {
    "full": {"precision": "bfloat16"},
    "full-bf16": {"precision": "bfloat16_weights"},
    "full-bf16-adamw-8bit": {"precision": "bfloat16_weights", "optimizer": "paged_adamw_8bit"},
    "lora": {"precision": "bfloat16", "lora": {}},
    "qlora-4bit": {"precision": "bfloat16", "lora": {}, "quantization": "4bit"},
    "qlora-8bit": {"precision": "bfloat16", "lora": {}, "quantization": "8bit"},
}
"""Options of each way of training."""

SHORT, FULL = 2, 8
"""Optimiser steps at the rungs `short` and `full`."""


class MemoryInUse:
    """Context in which a thread reads the memory in use on the GPU every 20 ms; `largest` is in bytes."""

    def __init__(self) -> None:
        self.largest = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> MemoryInUse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            free, total = torch.cuda.mem_get_info()
            self.largest = max(self.largest, total - free)


def make_model(config: PretrainedConfig, folder: Path) -> float:
    """Writes a model with random bfloat16 weights and the embedded task's tokenizer; returns its parameters in billions."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_MODEL)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return float(model.num_parameters()) / 1e9


def make_pairs(count: int, tokens: int, file: Path) -> None:
    """Writes `count` pairs of random words: a prompt of an eighth of the tokens, completions of the rest."""
    draw, words = random.Random(0), [word for word in vocabulary() if not word.startswith("<")]
    prompt = max(1, tokens // 8)

    def text(length: int) -> str:
        return " ".join(draw.choice(words) for _ in range(length))

    rows = [
        {"prompt": text(prompt), "chosen": " " + text(tokens - prompt), "rejected": " " + text(tokens - prompt)}
        for _ in range(count)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))


async def measure(name: str, options: Mapping[str, Any]) -> dict[str, Figure]:
    """Time per step and memory of one way of training."""
    with MemoryInUse() as memory:
        began = time.perf_counter()
        async with WorkerPool("preference", options, 1) as pool:
            await pool.ready()
            loading = time.perf_counter() - began
            dpo = known.graph("dpo")
            await pool.score(dpo, "short", 0)
            short = await pool.score(dpo, "short", 1)
            full = await pool.score(dpo, "full", 1)
    step = (full.seconds - short.seconds) / (FULL - SHORT)
    return {
        f"{name}: step": Figure(
            step * 1000, "ms", note=f"fitness {full.fitness:.3f}; model, data and reference ready after {loading:.0f} s"
        ),
        f"{name}: memory": Figure(memory.largest / 2**30, "GiB"),
    }


async def measure_all(ways: list[str], options: Mapping[str, Any]) -> tuple[dict[str, Figure], bool]:
    """Figures of all ways, and whether every training gave a fitness."""
    figures: dict[str, Figure] = {}
    complete = True
    for name in ways:
        try:
            figures |= await measure(name, {**options, **WAYS[name]})
        except EvaluationFailed as failure:
            complete = False
            figures[f"{name}: step"] = Figure(None, "ms", note=f"failed: {failure}")
    return figures, complete


def main() -> int:
    """Prints the table and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help=" ".join(WAYS))
    parser.add_argument("--batch", type=int, default=16, help="pairs per step (%(default)s)")
    parser.add_argument("--micro-batch", type=int, default=4, help="pairs at a time (%(default)s)")
    parser.add_argument("--tokens", type=int, default=480, help="tokens per sequence (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU: torch sees no CUDA device here", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = make_model(SHAPES[arguments.shape], folder / "model")
        torch.cuda.empty_cache()
        make_pairs(2 * FULL * arguments.batch, arguments.tokens, folder / "pairs.jsonl")
        options = {
            "model": str(folder / "model"), "data": str(folder / "pairs.jsonl"), "cache": str(folder / "cache"),
            "pairs": FULL * arguments.batch, "short_steps": SHORT, "batch_size": arguments.batch,
            "micro_batch": arguments.micro_batch, "max_length": arguments.tokens + 8, "gradient_checkpointing": True,
            "learning_rate": 1e-6, "device": "gpu", "evaluation": {"by": "margin", "pairs": 4},
        }  # fmt: skip
        figures, complete = asyncio.run(measure_all(arguments.ways, options))
    figures["parameters"] = Figure(parameters, "1e9", note=f"{arguments.shape}, on {torch.cuda.get_device_name()}")
    show(figures, ("torch", "transformers", "trl", "peft"), as_json=arguments.json)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
