"""The choice of a generator: each engine is loaded only when it is asked for."""

from __future__ import annotations

from pathlib import Path

from fitness.benchmarks.generation.generator import GenerationOptions, Generator


def load_generator(folder: Path, options: GenerationOptions) -> Generator:
    """The generator of the policy in `folder`. Raises BenchmarkError if it cannot be loaded, or has no chat template."""
    if options.engine == "vllm":
        from fitness.benchmarks.generation.with_vllm import VllmGenerator

        return VllmGenerator(folder, options)
    from fitness.benchmarks.generation.with_transformers import TransformersGenerator

    return TransformersGenerator(folder, options)
