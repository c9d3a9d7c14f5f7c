"""Files in the formats of the package alpaca_eval: outputs of a model, and the answers of gamed baselines.

Outputs are a JSON array (or lines) of `{"instruction", "output", "generator", "dataset"}`. `df_gamed.csv` has, for each
instruction and each of two baselines whose length was changed on purpose, the preference, the standardised difference of lengths
and the difficulty of the instruction.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness.benchmarks.protocol import BenchmarkError
from fitness.benchmarks.rows import data_rows, hub_file

EXPECTED = 'expected rows {"instruction": ..., "output": ..., "generator": ..., "dataset": ...}'
BASELINE_FILE = "alpaca_eval_gpt4_baseline.json"
"""On the hub: the 805 instructions with the outputs of GPT-4 turbo, the baseline of AlpacaEval 2.0."""
GAMED_FILE = "df_gamed.csv"
GAMED_COLUMNS = ("index", "model", "preference", "std_delta_len", "instruction_difficulty")
GAMED_MODELS = 2
DIFFICULTY = "difficulty"
"""Name of the instruction's difficulty among a question's facts."""


@dataclass(frozen=True)
class Output:
    """One row of a file of outputs."""

    instruction: str
    output: str | None
    generator: str
    dataset: str


def read_outputs(name: str, key: str) -> list[Output]:
    """The outputs of one model. Raises BenchmarkError."""
    rows = data_rows(name, key, EXPECTED, file=BASELINE_FILE)
    return [_output(f"{key}: row {number} of {name}", row) for number, row in enumerate(rows, start=1)]


def _output(where: str, row: Mapping[str, Any]) -> Output:
    texts = {column: row.get(column) for column in ("instruction", "output", "generator", "dataset")}
    for column, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise BenchmarkError(f"{where} has {column} of type {type(value).__name__}; {EXPECTED}, all texts")
    if not (texts["instruction"] or "").strip():
        raise BenchmarkError(f"{where} has no instruction, but {', '.join(map(repr, row)) or 'nothing'}; {EXPECTED}")
    return Output(str(texts["instruction"]), texts["output"], texts["generator"] or "", texts["dataset"] or "")


def joined(instructions: Sequence[Output], outputs: Sequence[Output], key: str, name: str) -> list[Output]:
    """The instructions with the outputs of another file. Raises BenchmarkError if it is not of the same instructions."""
    if len(instructions) != len(outputs):
        raise BenchmarkError(
            f"{key}: {name} has {len(outputs)} outputs, expected {len(instructions)}, one for each instruction; give the "
            "outputs of the same set"
        )
    for number, (asked, given) in enumerate(zip(instructions, outputs, strict=True), start=1):
        if asked.instruction.strip() != given.instruction.strip():
            raise BenchmarkError(
                f"{key}: row {number} of {name} answers another instruction ({given.instruction[:60]!r}, expected "
                f"{asked.instruction[:60]!r}); give the outputs of the same set, in the same order"
            )
    return [
        Output(asked.instruction, given.output, given.generator, asked.dataset or given.dataset)
        for asked, given in zip(instructions, outputs, strict=True)
    ]


def gamed_file(name: str, key: str) -> Path:
    """The file of gamed baselines on this disk, fetched from the hub if it is not there. Raises BenchmarkError."""
    path = Path(name).expanduser()
    return path if path.exists() else hub_file(name, key, GAMED_FILE)


def read_gamed(name: str, key: str, instructions: int) -> list[dict[str, float]]:
    """Facts of each instruction: its difficulty, and preference and length of the gamed baselines. Raises BenchmarkError.

    Keys: `difficulty`, `gamed preference N`, `gamed length N`. A preference is that for the gamed output, in [0, 1].
    """
    path = gamed_file(name, key)
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        columns = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchmarkError(f"{key}: cannot read {path} ({error})") from None
    if missing := [column for column in GAMED_COLUMNS if column not in columns]:
        raise BenchmarkError(
            f"{key}: {path} has no column {' and no column '.join(map(repr, missing))}, only {', '.join(columns)[:200]}; "
            f"it is of another version of alpaca_eval: expected {GAMED_FILE} of its data set, with {', '.join(GAMED_COLUMNS)}"
        )
    facts: list[dict[str, float]] = [{} for _ in range(instructions)]
    models: dict[str, int] = {}
    for number, row in enumerate(reader, start=2):
        where = f"{key}: line {number} of {path}"
        index, preference, length, difficulty = _numbers(where, row)
        if not 0 <= index < instructions:
            raise BenchmarkError(
                f"{where} is about instruction {index}, and there are {instructions}; give the file of the same set"
            )
        which = models.setdefault(str(row["model"]), len(models))
        if which == GAMED_MODELS:
            raise BenchmarkError(
                f"{where} is about a third model, {row['model']!r:.80}; expected {GAMED_MODELS} gamed baselines"
            )
        facts[index][DIFFICULTY] = difficulty
        if preference is not None:
            facts[index] |= {f"gamed preference {which}": preference, f"gamed length {which}": length}
    if absent := [index for index, found in enumerate(facts) if DIFFICULTY not in found]:
        raise BenchmarkError(
            f"{key}: {path} has no row for {len(absent)} of {instructions} instructions, the first is {absent[0]}; give the "
            "file of the same set"
        )
    return facts


def _numbers(where: str, row: Mapping[str, Any]) -> tuple[int, float | None, float, float]:
    """Index, preference (None: the baseline's reply had no grade), length and difficulty of one line."""
    try:
        index, length, difficulty = (float(row[name]) for name in ("index", "std_delta_len", "instruction_difficulty"))
        preference = float(row["preference"]) if row["preference"] else None
    except (TypeError, ValueError):
        raise BenchmarkError(f"{where} has a cell that is not a number; get a fresh copy") from None
    valid = preference is None or 0 <= preference <= 1
    if not index.is_integer() or not valid or not all(map(math.isfinite, (length, difficulty))):
        raise BenchmarkError(f"{where} holds {dict(row)!r:.200}; expected an index, and a preference from 0 to 1")
    return int(index), preference, length, difficulty


def generators(outputs: Iterable[Output]) -> str:
    """The name of the model that wrote these outputs; `baseline` if they name none, or several."""
    names = {output.generator for output in outputs}
    return names.pop() if len(names) == 1 and "" not in names else "baseline"
