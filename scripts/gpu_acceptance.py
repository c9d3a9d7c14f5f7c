"""Acceptance checks on a GPU: bfloat16, LoRA, QLoRA, several workers, recovery from out of memory. Prints a table.

    python scripts/gpu_acceptance.py [--json]

Exit code 0 if every check passed, 1 if one failed, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import torch

from fitness.preference.policies import has_bfloat16
from fitness.sentiment.task import DATA as EMBEDDED_MODEL
from fitness.task.protocol import EvaluationFailed, FailureReason
from fitness.workers.pool import WorkerPool
from sandbox import known
from sandbox.execute.interpreter import compile_loss

Check = Callable[[], Coroutine[Any, Any, str]]


async def interpreter_on_cuda() -> str:
    """Every known preference loss has the same values and gradients on CUDA as on the CPU."""
    worst = 0.0
    for name in known.names("preference"):
        generator = torch.Generator().manual_seed(0)
        inputs = [(-60 + 20 * torch.randn(16, generator=generator)).requires_grad_() for _ in range(4)]
        results = []
        for device in ("cpu", "cuda"):
            moved = [x.detach().to(device).requires_grad_() for x in inputs]
            losses = compile_loss(known.graph(name))(*moved, 0.1)
            gradients = torch.autograd.grad(losses.sum(), moved[:2], allow_unused=True)
            results.append([losses.detach().cpu(), *(g.cpu() for g in gradients if g is not None)])
        for ours, theirs in zip(*results, strict=True):
            worst = max(worst, float(((ours - theirs).abs() / (1 + ours.abs())).max()))
    assert worst < 1e-4, f"relative difference {worst:.2e}"
    return f"largest relative difference {worst:.1e}"


async def preference_in_bf16() -> str:
    """The preference task trains the embedded model on the GPU with a finite fitness: in bfloat16, on older GPUs in float32."""
    precision = "bfloat16" if has_bfloat16() else "float32"
    with tempfile.TemporaryDirectory() as folder:
        async with WorkerPool("preference", _preference_options(Path(folder)), 1) as pool:
            result = await pool.score(known.graph("dpo"), "full", 0)
    return f"fitness {result.fitness:.3f} in {result.seconds:.1f} s, {precision}"


def _preference_options(folder: Path) -> dict[str, Any]:
    data = folder / "pairs.jsonl"
    rows = [{"prompt": f"review {i} : the film", "chosen": " was good .", "rejected": " was bad ."} for i in range(64)]
    data.write_text("\n".join(json.dumps(row) for row in rows))
    return {
        "model": str(EMBEDDED_MODEL), "data": str(data), "pairs": 32, "batch_size": 8, "max_length": 32,
        "learning_rate": 1e-3, "device": "gpu", "precision": "bfloat16" if has_bfloat16() else "float32",
        "cache": str(folder),
    }  # fmt: skip


async def one_worker_per_gpu() -> str:
    """Two workers at the same time give the same candidate nearly equal fitness."""
    options = {"train_items": 200, "epochs": 2}
    async with WorkerPool("classification", options, 2) as pool:
        scores = await asyncio.gather(*(pool.score(known.graph("cross_entropy"), "full", 0) for _ in range(2)))
    assert abs(scores[0].fitness - scores[1].fitness) < 0.02, scores
    return f"fitness {scores[0].fitness:.3f} and {scores[1].fitness:.3f}"


async def adapter_in_bf16() -> str:
    """Two trainings with a LoRA adapter and gradient checkpointing agree, so the second starts from the same base model."""
    with tempfile.TemporaryDirectory() as folder:
        options = _preference_options(Path(folder)) | {"lora": {}, "gradient_checkpointing": True}
        async with WorkerPool("preference", options, 1) as pool:
            first, again = [await pool.score(known.graph("dpo"), "full", 0) for _ in range(2)]
    assert abs(first.metrics["margin"] - again.metrics["margin"]) < 1e-2, (first.metrics, again.metrics)
    return f"margins {first.metrics['margin']:.4f} and {again.metrics['margin']:.4f} nats"


async def adapter_on_4bit() -> str:
    """Two trainings with an adapter on weights of 4 bits (QLoRA) agree, so the second starts from the same base model."""
    with tempfile.TemporaryDirectory() as folder:
        options = _preference_options(Path(folder)) | {"lora": {}, "quantization": "4bit"}
        async with WorkerPool("preference", options, 1) as pool:
            first, again = [await pool.score(known.graph("dpo"), "full", 0) for _ in range(2)]
    assert first.metrics["margin"] != 0, "nothing was learnt"
    assert abs(first.metrics["margin"] - again.metrics["margin"]) < 1e-2, (first.metrics, again.metrics)
    return f"margins {first.metrics['margin']:.4f} and {again.metrics['margin']:.4f} nats"


async def out_of_memory_is_survived() -> str:
    """A training without free memory fails with the reason `out_of_memory`; when memory is free, the same worker scores.

    The worker has loaded its data and trained nothing, so it holds no memory of an earlier training. The network's weights
    (8 MB) need more memory than is left.
    """
    options = {"train_items": 200, "epochs": 1, "hidden": 2**15}
    async with WorkerPool("classification", options, 1) as pool:
        await pool.ready()
        worker, taken = pool.pids, _all_free_memory()
        try:
            await pool.score(known.graph("cross_entropy"), "full", 0)
        except EvaluationFailed as failure:
            assert failure.reason == FailureReason.OUT_OF_MEMORY, failure
        else:
            raise AssertionError(
                f"a training did not run out of memory, with {sum(b.numel() for b in taken)} bytes taken"
            )
        finally:
            taken.clear()
            torch.cuda.empty_cache()
        first, second = [await pool.score(known.graph("cross_entropy"), "full", 0) for _ in range(2)]
        assert pool.pids == worker, "the worker was restarted"
    assert abs(first.fitness - second.fitness) < 0.02, (first.fitness, second.fitness)
    return f"failed as {FailureReason.OUT_OF_MEMORY}; fitness {first.fitness:.3f} and {second.fitness:.3f} afterwards"


def _all_free_memory() -> list[torch.Tensor]:
    """Blocks of memory, large ones first, until not even 2 MiB are free."""
    taken: list[torch.Tensor] = []
    for exponent in range(33, 20, -2):
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            while True:
                taken.append(torch.empty(2**exponent, dtype=torch.uint8, device="cuda"))
    return taken


CHECKS: dict[str, Check] = {
    "graph interpreter": interpreter_on_cuda,
    "preference, bf16": preference_in_bf16,
    "adapter, bf16": adapter_in_bf16,
    "adapter, 4 bits": adapter_on_4bit,
    "two workers": one_worker_per_gpu,
    "out of memory": out_of_memory_is_survived,
}


def main() -> int:
    """Runs the checks and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU: torch sees no CUDA device here", file=sys.stderr)
        return 2
    rows: dict[str, tuple[bool, str]] = {}
    for name, check in CHECKS.items():
        if check is adapter_on_4bit and importlib.util.find_spec("bitsandbytes") is None:
            print(f"left out: {name} needs bitsandbytes, which is not installed", file=sys.stderr)
            continue
        try:
            rows[name] = (True, asyncio.run(check()))
        except Exception as error:
            rows[name] = (False, f"{type(error).__name__}: {error}")
        if not arguments.json:
            held, note = rows[name]
            print(f"{'held' if held else 'FAILED':7} {name:20} {note}", flush=True)
    if arguments.json:
        figures = {
            n: {"value": ok, "unit": "held", "reach": True, "reached": ok, "note": note}
            for n, (ok, note) in rows.items()
        }
        print(json.dumps({"machine": torch.cuda.get_device_name(), "figures": figures}))
    return 0 if all(ok for ok, _ in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
