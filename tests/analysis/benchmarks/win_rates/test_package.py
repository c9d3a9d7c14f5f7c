"""Our length-controlled rates are those of the package alpaca_eval: as recorded, and live where its environment is named.

EVOPO_ALPACA_EVAL_PYTHON names the Python of an environment with `pip install alpaca_eval patsy`. The recorded rates are written by
`scripts/record_length_control.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import record_length_control as record

from analysis.benchmarks.win_rates.length_control import Sample, length_controlled
from evo.evaluate.alpaca_package import package_rates
from fitness.benchmarks.protocol import BenchmarkError

GOLDEN = json.loads((Path(__file__).parent / "data" / "alpaca_eval.json").read_text())
PYTHON = os.environ.get("EVOPO_ALPACA_EVAL_PYTHON")
TOLERANCE = 0.02
"""Percent. The package's solver stops at a tolerance of 1e-4."""


def sample(case, form):
    preference, ours, theirs, hard = np.array(case["comparisons"], float).T
    names = tuple(map(str, range(len(preference))))
    if form == "length_controlled_minimal":
        return Sample(names, preference, ours - theirs)
    if form == "length_controlled_noreg":
        return Sample(names, preference, ours - theirs, hard)
    _, _, liked, shorter, difficulty = np.array(case["gamed"], float).T
    return Sample(names, preference, ours - theirs, hard, (liked, -shorter, difficulty))


@pytest.mark.parametrize("form", ["length_controlled_v1", "length_controlled_noreg", "length_controlled_minimal"])
@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_our_rates_are_those_that_the_package_gave(name, form) -> None:
    case = GOLDEN["cases"][name]
    data = sample(case, form)
    assert data.form == form
    expected = case["rates"][form]
    assert 100 * data.preference.mean() == pytest.approx(expected["win_rate"], abs=1e-6)
    assert 100 * length_controlled(data).rate == pytest.approx(expected["length_controlled"], abs=TOLERANCE)


def test_the_recorded_data_are_those_of_the_script() -> None:
    for seed, (name, settings) in enumerate(record.CASES.items()):
        assert GOLDEN["cases"][name]["comparisons"] == record.comparisons(seed, **settings)


@pytest.mark.skipif(PYTHON is None, reason="EVOPO_ALPACA_EVAL_PYTHON names no Python with the package alpaca_eval")
def test_our_rates_are_those_of_the_package(tmp_path) -> None:
    assert PYTHON is not None
    case = GOLDEN["cases"]["longer answers win"]
    told = tmp_path / "annotations.json"
    told.write_text(json.dumps(record.annotated(case["comparisons"])))
    found = package_rates(Path(PYTHON), told, "length_controlled_minimal")
    ours = length_controlled(sample(case, "length_controlled_minimal"))
    assert found.length_controlled == pytest.approx(100 * ours.rate, abs=TOLERANCE)


def test_an_environment_without_the_package_is_an_error_with_a_remedy(tmp_path) -> None:
    told = tmp_path / "annotations.json"
    told.write_text(json.dumps(record.annotated([[0.5, 10, 20, 0.0]])))
    with pytest.raises(BenchmarkError, match=r"printed no rates .*pip install alpaca_eval"):
        package_rates(Path("/bin/true"), told, "length_controlled_minimal")
    without = tmp_path / "python"
    without.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'alpaca_eval'\" >&2; exit 1\n")
    without.chmod(0o755)
    with pytest.raises(BenchmarkError, match=r"No module named.*pip install alpaca_eval"):
        package_rates(without, told, "length_controlled_minimal")
    with pytest.raises(BenchmarkError, match=r"cannot run .*no-python"):
        package_rates(tmp_path / "no-python", told, "length_controlled_minimal")
