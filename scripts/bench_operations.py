#!/usr/bin/env python3
"""What one more operation adds to the CPU time of probing and fingerprint: where the weights of `sandbox.costs` come from.

Each operation is repeated in a loss that passes, on each shape that it takes; the table gives milliseconds per operation,
beside what `sandbox.costs` counts for it. The dearest come first. `--at-most` fails where an operation costs more than its
weight says, by more than that factor.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch
from costly import SHAPES, repeated

import sandbox.graph as graph_module
from sandbox import probe
from sandbox.graph import GraphError, LossGraph
from sandbox.identity import fingerprint
from sandbox.operations import OPERATIONS
from sandbox.shapes import ShapeError


def seconds(graph: LossGraph, rounds: int = 2) -> float:
    """CPU seconds of probing and fingerprint, the least of some rounds."""
    return min(_once(graph) for _ in range(rounds))


def _once(graph: LossGraph) -> float:
    started = time.process_time()
    report = probe.run(graph, seed=7)
    fingerprint(graph)
    spent = time.process_time() - started
    refusals = [f.rule for f in report.findings if f.severity == "refuse"]
    if refusals:
        print(f"refused with {refusals}", file=sys.stderr)
    return spent


def rows(count: int, chosen_shapes: list[str]) -> Iterator[tuple[str, str, float, float]]:
    """Operation, shape, milliseconds and units per operation."""
    for shape in chosen_shapes:
        for name in OPERATIONS:
            try:
                few, many = (repeated(name, shape, n, limited=False) for n in (1, 1 + count))
                yield name, shape, 1e3 * (seconds(many) - seconds(few)) / count, (many.work - few.work) / count
            except (GraphError, ShapeError):
                continue


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=12, help="repetitions of each operation")
    arguments.add_argument("--shapes", nargs="*", default=list(SHAPES), help="shapes of the operands")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    graph_module.MAX_WORK = graph_module.MAX_OPERATIONS = sys.maxsize
    seconds(repeated("neg", "B", 1))
    found = sorted(rows(chosen.count, chosen.shapes), key=lambda row: -row[2])
    for name, shape, milliseconds, units in found:
        print(
            f"{name:34} {shape:8} {milliseconds:8.3f} ms {units:10.0f} units {1e3 * milliseconds / max(units, 1):8.2f} us per unit"
        )


if __name__ == "__main__":
    main()
