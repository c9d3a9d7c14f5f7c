"""The benchmarks with a judge by name, each loaded only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fitness.benchmarks.protocol import Benchmark, BenchmarkError
from fitness.task.faults import faults
from fitness.task.protocol import TaskOptions

BENCHMARKS: Mapping[str, str] = {
    "mt-bench": "fitness.benchmarks.mt_bench.benchmark:MtBench",
    "alpaca-eval": "fitness.benchmarks.alpaca_eval.benchmark:AlpacaEval",
    "tldr": "fitness.benchmarks.tldr.benchmark:Tldr",
}
"""Location of each benchmark: `module:class`. The class is called with its options."""


def benchmark_class(name: str) -> type[Benchmark]:
    """The class of a benchmark, which must be one of BENCHMARKS."""
    module, _, attribute = BENCHMARKS[name].partition(":")
    found: type[Benchmark] = getattr(importlib.import_module(module), attribute)
    return found


def options_of(name: str, model: type[TaskOptions], given: Mapping[str, Any]) -> TaskOptions:
    """The validated options of a benchmark. Raises BenchmarkError with one line per fault."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise BenchmarkError("\n".join(faults(error, model, name))) from None


def make_benchmark(name: str, given: Mapping[str, Any]) -> Benchmark:
    """The benchmark with these options. Raises BenchmarkError for invalid options."""
    found: Any = benchmark_class(name)
    benchmark: Benchmark = found(options_of(name, found.options, given))
    return benchmark
