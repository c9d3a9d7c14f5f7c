"""The analysis of each benchmark by name, loaded only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from analysis.benchmarks.results import ResultTable, Rows

ANALYSES: Mapping[str, str] = {
    "mt-bench": "analysis.benchmarks.mt_bench",
    "alpaca-eval": "analysis.benchmarks.alpaca_eval",
    "tldr": "analysis.benchmarks.tldr",
    "imdb": "analysis.benchmarks.imdb",
    "lm-eval": "analysis.benchmarks.lm_eval",
}
"""Module of each benchmark's analysis: it has `tables(rows)`, and may have `draw(rows, path)` and `write(rows, folder)`."""


def tables_of(name: str, rows: Rows) -> list[ResultTable]:
    """The tables of a benchmark, which must be one of ANALYSES."""
    tables: list[ResultTable] = _module(name).tables(rows)
    return tables


def draw(name: str, rows: Rows, path: Path) -> bool:
    """Draw a benchmark's picture to a .svg or .png file; False if it has none. Raises AnalysisError."""
    module = _module(name)
    if not hasattr(module, "draw"):
        return False
    module.draw(rows, path)
    return True


def write_files(name: str, rows: Rows, folder: Path) -> list[Path]:
    """Write a benchmark's results in formats of other programs into a folder. Returns the files; empty if there are none."""
    module = _module(name)
    files: list[Path] = module.write(rows, folder) if hasattr(module, "write") else []
    return files


def _module(name: str) -> ModuleType:
    return importlib.import_module(ANALYSES[name])
