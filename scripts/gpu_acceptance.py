"""Checks the CUDA path where there is a GPU: bf16, recovery from out of memory, several devices. Prints a table.

    python scripts/gpu_acceptance.py [--json]

Exit code 0 when every check that could be made held, 1 when one did not, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import torch

from fitness.preference.policies import has_bfloat16
from fitness.sentiment.task import DATA as EMBEDDED_MODEL
from fitness.task.protocol import EvaluationFailed
from fitness.workers.pool import WorkerPool
from sandbox import known
from sandbox.execute.interpreter import compile_loss

Check = Callable[[], Awaitable[str]]


async def interpreter_on_cuda() -> str:
    """Every known preference loss gives on CUDA what it gives on the CPU, forward and backward."""
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
    """The preference task trains the embedded model on the GPU in bf16 and gives a finite fitness; in float32 on older GPUs."""
    precision = "bfloat16" if has_bfloat16() else "float32"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pairs.jsonl"
        rows = [
            {"prompt": f"review {i} : the film", "chosen": " was good .", "rejected": " was bad ."} for i in range(64)
        ]
        data.write_text("\n".join(json.dumps(row) for row in rows))
        options = {
            "model": str(EMBEDDED_MODEL), "data": str(data), "pairs": 32, "batch_size": 8, "max_length": 32,
            "device": "gpu", "precision": precision, "cache": folder,
        }  # fmt: skip
        async with WorkerPool("preference", options, 1) as pool:
            result = await pool.score(known.graph("dpo"), "full", 0)
    return f"fitness {result.fitness:.3f} in {result.seconds:.1f} s, {precision}"


async def one_worker_per_gpu() -> str:
    """Two workers at once score the same candidate alike."""
    options = {"train_items": 200, "epochs": 2}
    async with WorkerPool("classification", options, 2) as pool:
        scores = await asyncio.gather(*(pool.score(known.graph("cross_entropy"), "full", 0) for _ in range(2)))
    assert abs(scores[0].fitness - scores[1].fitness) < 0.02, scores
    return f"fitness {scores[0].fitness:.3f} and {scores[1].fitness:.3f}"


async def out_of_memory_is_survived() -> str:
    """A batch that cannot fit fails that evaluation with its reason, and the worker scores the next one."""
    async with WorkerPool("classification", {"train_items": 200, "epochs": 1, "hidden": 2**31}, 1) as pool:
        try:
            await pool.score(known.graph("cross_entropy"), "full", 0)
        except EvaluationFailed as failure:
            return f"failed as {failure.reason}"
    raise AssertionError("a network of terabytes fitted")


CHECKS: dict[str, Check] = {
    "graph interpreter": interpreter_on_cuda,
    "preference, bf16": preference_in_bf16,
    "two workers": one_worker_per_gpu,
    "out of memory": out_of_memory_is_survived,
}


def main() -> int:
    """Run the checks; the exit code says how they went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU: torch sees no CUDA device here", file=sys.stderr)
        return 2
    rows = {}
    for name, check in CHECKS.items():
        try:
            rows[name] = (True, asyncio.run(check()))
        except Exception as error:
            rows[name] = (False, f"{type(error).__name__}: {error}")
    if arguments.json:
        figures = {
            n: {"value": ok, "unit": "held", "reach": True, "reached": ok, "note": note}
            for n, (ok, note) in rows.items()
        }
        print(json.dumps({"machine": torch.cuda.get_device_name(), "figures": figures}))
    else:
        for name, (ok, note) in rows.items():
            print(f"{'held' if ok else 'FAILED':7} {name:20} {note}")
    return 0 if all(ok for ok, _ in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
