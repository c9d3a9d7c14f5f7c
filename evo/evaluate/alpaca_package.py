"""The length-controlled win rate by the package alpaca_eval, in a Python environment of its own.

The package brings a dozen libraries and settings of its own, so it is never imported here: a program of a few lines runs under the
Python that the user names, reads a file of annotations, and prints the rates that the package computes. Nothing is sent to a judge.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fitness.benchmarks.alpaca_eval.benchmark import AlpacaEval
from fitness.benchmarks.alpaca_eval.files import GAMED_COLUMNS, gamed_file
from fitness.benchmarks.protocol import Benchmark, BenchmarkError
from sandbox.verdicts.visible import visible

TIMEOUT = 600.0
"""Longest time of the program, in seconds; it imports pandas, scikit-learn and the package."""
INSTALL = "install it there with `pip install alpaca_eval patsy`, or name another environment's Python"

LOOK = "from importlib.metadata import version; version('alpaca_eval'), version('patsy')"
PROGRAM = """
import json, sys
from importlib.metadata import version
import pandas as pd
from alpaca_eval.metrics import glm_winrate
annotations, gamed, form = sys.argv[1:]
glm_winrate.hf_hub_download = lambda **_: gamed  # the file at hand instead of the hub's
found = glm_winrate.get_length_controlled_winrate(
    pd.DataFrame(json.load(open(annotations))), glm_name=form, save_weights_dir=None, is_warn_extreme_changes=False
)
found = {name: float(value) for name, value in found.items()}
print(json.dumps({"version": version("alpaca_eval"), "found": found}))
"""


@dataclass(frozen=True)
class PackageRates:
    """What the package says of one file of annotations, in percent."""

    version: str
    win_rate: float
    length_controlled: float


def package_faults(benchmark: Benchmark) -> list[str]:
    """What is wrong with the environment that AlpacaEval's options name, before long work; empty without one."""
    if not isinstance(benchmark, AlpacaEval) or benchmark.settings.python is None:
        return []
    try:
        _run(benchmark.settings.python, "-c", LOOK)
    except BenchmarkError as error:
        return [str(error)]
    return []


def package_lines(benchmark: Benchmark, files: Sequence[Path]) -> Iterator[str]:
    """A line with the package's rates for each file of annotations, or why there are none; none without an environment."""
    if not isinstance(benchmark, AlpacaEval) or benchmark.settings.python is None:
        return
    settings, python = benchmark.settings, benchmark.settings.python
    gamed = None if settings.gamed is None else gamed_file(settings.gamed, "alpaca-eval.gamed")
    form = "length_controlled_minimal" if gamed is None else "length_controlled_v1"
    for path in files:
        if not path.name.startswith("annotations-"):
            continue
        try:
            found = package_rates(python, path, form, gamed)
        except BenchmarkError as error:  # for example without a difference of lengths
            yield f"{path.name}: {error}"
        else:
            yield (
                f"{path.name}: alpaca_eval {visible(found.version)}, {form}: win rate {found.win_rate:.2f} %, "
                f"length-controlled {found.length_controlled:.2f} %"
            )


def package_rates(python: Path, annotations: Path, form: str, gamed: Path | None = None) -> PackageRates:
    """The package's win rates of a file of annotations (`analysis.benchmarks.alpaca_eval.write`).

    `form`: the model of the length-controlled rate, `length_controlled_v1` with the file of gamed baselines, or
    `length_controlled_minimal`. Raises BenchmarkError if the environment has no such package, or the package fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        if gamed is None:
            gamed = _placeholder(Path(folder), len(json.loads(annotations.read_text(encoding="utf-8"))))
        told = _run(python, "-c", PROGRAM, str(annotations), str(gamed), form)
    try:
        report = json.loads(told.splitlines()[-1])
        found = report["found"]
        return PackageRates(str(report["version"]), found["win_rate"], found["length_controlled_winrate"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise BenchmarkError(
            f"alpaca_eval under {python} printed no rates ({visible(told[-300:])}); {INSTALL}"
        ) from None


def _run(python: Path, *arguments: str) -> str:
    """What the program printed. Raises BenchmarkError."""
    environment: Mapping[str, str] = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [str(python), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, env=environment
        )
    except OSError as error:
        raise BenchmarkError(
            f"cannot run {python} ({error.strerror}); name a Python with alpaca_eval installed"
        ) from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"alpaca_eval under {python} did not end within {TIMEOUT:g} s") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        remedy = (
            INSTALL if "No module" in said or "NotFound" in said else "nothing was recorded, and our own rates stay"
        )
        raise BenchmarkError(f"alpaca_eval under {python} failed ({visible(said[:160])}); {remedy}")
    return done.stdout


def _placeholder(folder: Path, instructions: int) -> Path:
    """A file of gamed baselines without content: the package reads one even where its model uses none."""
    path = folder / "df_gamed.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*GAMED_COLUMNS, "not_gamed_baseline"))
        for index in range(instructions):
            writer.writerow((index, "none", 0.5, 0.0, 0.0, False))
    return path
