#!/usr/bin/env python3
"""Benchmark of the most costly losses that the verifier accepts: CPU seconds of numeric tests and fingerprint, and counted cost.

Each operation is repeated on each shape of operands as often as the limits on a loss allow, side by side and in a chain. The
slowest come first. With `--unbounded`, only the limit on numbers (and not the one on cost, `sandbox.graph.costs`) applies.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import torch
from costly import SHAPES, most_costly

from sandbox.graph import loss_graph as graph_module
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.operations import OPERATIONS
from sandbox.identity.compare import fingerprint
from sandbox.numeric import run
from sandbox.verdicts.verdict import Severity


def measured(graph: VerifiedGraph) -> tuple[float, str]:
    """CPU seconds, and the rules that refuse the loss, joined by commas."""
    started = time.process_time()
    report = run.run(graph, seed=7)
    refusals = ",".join(f.rule for f in report.findings if f.severity is Severity.REFUSE)
    if not refusals:
        fingerprint(graph)
    return time.process_time() - started, refusals


def rows(shapes: list[str], names: list[str]) -> Iterator[tuple[float, str]]:
    """CPU seconds and a line of the table for each operation and shape."""
    for shape in shapes:
        for name in names:
            for chained in (False, True):
                graph = most_costly(name, shape, chained=chained)
                if graph is None:
                    continue
                seconds, refusals = measured(graph)
                how = "chained" if chained else "side by side"
                yield (
                    seconds,
                    f"{seconds:7.2f} s {graph.cost:7,} units {graph.work:8,} numbers {graph.operations:4} operations  "
                    f"{name} {shape} {how} {refusals}",
                )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--unbounded", action="store_true", help="without the limit on cost")
    arguments.add_argument("--shapes", nargs="*", default=list(SHAPES), help="shapes of operands (all)")
    arguments.add_argument(
        "--operations", nargs="*", choices=[*OPERATIONS], metavar="NAME", default=[*OPERATIONS], help="operations (all)"
    )
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if chosen.unbounded:
        graph_module.MAX_COST = sys.maxsize
    for _, line in sorted(rows(chosen.shapes, chosen.operations), reverse=True):
        print(line)


if __name__ == "__main__":
    main()
