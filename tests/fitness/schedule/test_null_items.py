"""The null experiment on items: the comparison over seeds and items keeps its level where the t-test over seeds does not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "null_items.py"


@pytest.fixture(scope="module")
def rows():
    arguments = ["--items", "6", "40", "--seeds", "4", "--runs", "200", "--json"]
    result = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["as_stated"]
    return {row["items"]: row for row in found["rows"]}


def test_the_t_test_over_seeds_alone_has_too_many_false_discoveries_on_few_items(rows):
    assert rows[6]["seeds_alone"]["interval"][0] > 0.08


def test_the_comparison_over_seeds_and_items_keeps_its_level(rows):
    for row in rows.values():
        assert row["seeds_and_items"]["interval"][0] <= 0.05


def test_six_items_are_never_enough_for_three_finalists(rows):
    assert rows[6]["seeds_and_items"]["value"] == 0
