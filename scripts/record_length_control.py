"""Records the length-controlled win rates of the package alpaca_eval for small made-up data, which a test holds our fit against.

    python scripts/record_length_control.py PYTHON        # of an environment with alpaca_eval and patsy

Writes tests/analysis/benchmarks/win_rates/data/alpaca_eval.json: the comparisons, and the package's version and rates by form.
"""

from __future__ import annotations

import csv
import json
import math
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from evo.evaluate.alpaca_package import package_rates  # noqa: E402
from fitness.benchmarks.alpaca_eval.files import GAMED_COLUMNS  # noqa: E402

TARGET = ROOT / "tests/analysis/benchmarks/win_rates/data/alpaca_eval.json"
CASES: dict[str, dict[str, float]] = {
    "longer answers win": {"quality": -0.5, "length": 1.6, "slope": 0.7, "noise": 0.8},
    "shorter answers win": {"quality": 0.8, "length": -1.2, "slope": 0.4, "noise": 0.8},
    "a weak policy": {"quality": -2.0, "length": 1.0, "slope": 1.0, "noise": 1.0},
    "nothing to find": {"quality": 0.0, "length": 0.0, "slope": 0.0, "noise": 1.5},
}
COUNT = 150


def comparisons(seed: int, quality: float, length: float, slope: float, noise: float) -> list[list[float]]:
    """Rows of preference, characters of the policy's and of the opponent's answer, and difficulty."""
    rng = random.Random(seed)
    rows = []
    for _ in range(COUNT):
        ours, theirs, hard = rng.randint(200, 1400), rng.randint(100, 1000), rng.gauss(0, 1)
        logit = quality + length * math.tanh((ours - theirs) / 400) + slope * hard + noise * rng.gauss(0, 1)
        rows.append([round(1 / (1 + math.exp(-logit)), 4), ours, theirs, round(hard, 4)])
    return rows


def gamed(seed: int, hard: list[float]) -> list[list[float]]:
    """Rows of model, index, preference, standardised difference of lengths (baseline minus gamed), and difficulty."""
    rng = random.Random(seed)
    return [
        [model, index, round(1 / (1 + math.exp(-rng.gauss(0.5 if model else -0.5, 1))), 4),
         round(rng.gauss(-1 if model else 1, 0.5), 4), difficulty]
        for model in (0, 1)
        for index, difficulty in enumerate(hard)
    ]  # fmt: skip


def annotated(rows: list[list[float]]) -> list[dict[str, Any]]:
    """The comparisons in the package's format."""
    return [
        {
            "instruction": f"Task {number}", "output_1": "x" * int(theirs), "generator_1": "baseline",
            "output_2": "y" * int(ours), "generator_2": "policy", "annotator": "made", "preference": 1 + preference,
        }
        for number, (preference, ours, theirs, _) in enumerate(rows)
    ]  # fmt: skip


def recorded(python: Path) -> dict[str, Any]:
    """Data and rates of all cases."""
    cases: dict[str, Any] = {}
    versions = set()
    with tempfile.TemporaryDirectory() as folder:
        told, table = Path(folder, "annotations.json"), Path(folder, "df_gamed.csv")
        for seed, (name, settings) in enumerate(CASES.items()):
            rows = comparisons(seed, **settings)
            baselines = gamed(seed, [row[3] for row in rows])
            told.write_text(json.dumps(annotated(rows)))
            with table.open("w", newline="") as file:
                csv.writer(file).writerows([(*GAMED_COLUMNS[1::-1], *GAMED_COLUMNS[2:], "not_gamed_baseline")])
                csv.writer(file).writerows((*row, False) for row in baselines)
            rates = {}
            for form in ("length_controlled_v1", "length_controlled_noreg", "length_controlled_minimal"):
                found = package_rates(python, told, form, table)
                versions.add(found.version)
                rates[form] = {"win_rate": found.win_rate, "length_controlled": found.length_controlled}
            cases[name] = {"comparisons": rows, "gamed": baselines, "rates": rates}
    (version,) = versions
    return {"package": f"alpaca_eval {version}", "cases": cases}


def main() -> None:
    """Writes the file."""
    if len(sys.argv) != 2:
        sys.exit(str(__doc__))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(recorded(Path(sys.argv[1]))) + "\n")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
