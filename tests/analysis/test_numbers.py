"""The policy for numbers (docs/notes/numbers.md), on an archive with extreme values as an earlier version may have written it."""

from __future__ import annotations

import json
import sqlite3
import warnings
from itertools import cycle
from pathlib import Path

import pytest
from make_archive import make_archive, steep

from analysis.lineage.export import Format, export, require
from analysis.report.page import write_report
from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.sqlite.packed import unpack
from evo.config.rundir import RunDir
from evo.config.schema import parse_config
from evo.display.listing import runs_text
from evo.display.show import Parts, candidate_text
from evo.display.views import status_text
from evo.proposing.propose import messages
from evo.proposing.reply.reply import ReplyFormat
from evo.proposing.request import request_for
from evo.search.population import Population
from fitness.task import task_info

VECTORS = (
    [1e300, -1e300] * 6,  # these stood for infinite gradients
    [-1e300, 1e300, 1.7e308] * 4,
    ["inf", "-inf", "nan"] * 4,
    [5e-324] * 12,
    [0.0] * 11 + [10**400],
)
DESCRIPTORS = (
    {"convex": False, "slope_at_zero": "-inf", "convexity": "nan", "asymmetry": 1.7e308, "jumps": ["nan", 1e308], "minima": 10**25},
    {"convex": None, "slope_at_zero": -1.7e308, "convexity": 5e-324, "asymmetry": -1.7e308, "jumps": [], "left_tail": "inf"},
)  # fmt: skip
REWARDS = ("inf", "-inf", "nan", 1.7e308, -1.7e308)
FACTORS = (-1e307, -1e200, 1e300, -1e38)
"""Graphs of losses whose values and slopes overflow float32 or float64."""


@pytest.fixture(scope="module")
def extreme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a run with extreme numbers in every verdict and training."""
    directory = tmp_path_factory.mktemp("extreme")
    path = make_archive(directory)
    with sqlite3.connect(path) as database:
        rows = database.execute(
            "SELECT candidate_id, fingerprint FROM verdict WHERE fingerprint IS NOT NULL"
        ).fetchall()
        for (id, fingerprint), vector, shape in zip(rows, cycle(VECTORS), cycle(DESCRIPTORS), strict=False):
            values = (
                json.dumps(json.loads(unpack(fingerprint, "fingerprint")) | {"vector": vector}),
                json.dumps(shape),
                id,
            )
            database.execute("UPDATE verdict SET fingerprint = ?, descriptors = ? WHERE candidate_id = ?", values)
        for (id, _), factor in zip(rows[::3], cycle(FACTORS), strict=False):
            database.execute("UPDATE verdict SET graph = ? WHERE candidate_id = ?", (steep(factor).to_json(), id))
        scored = database.execute("SELECT id, metrics FROM evaluation WHERE state = 'scored'").fetchall()
        for (id, metrics), reward in zip(scored, cycle(REWARDS), strict=False):
            changed = json.dumps(json.loads(metrics) | {"reward": reward})
            database.execute("UPDATE evaluation SET metrics = ? WHERE id = ?", (changed, id))
    database.close()
    return directory


@pytest.fixture(autouse=True)
def _strict():
    """Turns warnings of numpy and matplotlib into errors: they mean that a number was not handled."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # These come when the garbage of any earlier test is collected.
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.simplefilter("default", pytest.PytestUnraisableExceptionWarning)
        yield


def test_a_report_is_written_with_pictures(extreme: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = write_report(extreme, tmp_path / "report.html").read_text("utf-8")
    assert page.count("<svg") == 4


@pytest.mark.parametrize("format", Format)
def test_every_export_is_written(extreme: Path, tmp_path: Path, format: Format) -> None:
    try:
        require(format)
    except Exception as error:
        pytest.skip(str(error))
    with Reader.open(extreme / "archive.db") as reader:
        for path in export(reader, format, tmp_path / f"lineage.{format.value}"):
            assert path.stat().st_size


def test_every_candidate_is_shown_and_the_run_is_listed(extreme: Path) -> None:
    rundir = RunDir(extreme)
    assert "cannot be read" not in runs_text(extreme)
    assert "State:" in status_text(rundir)
    with Reader.open(rundir.archive) as reader:
        named = [str(row.id) for row in reader.candidates()]
    for name in named:
        assert candidate_text(rundir, name, Parts()).startswith(f"Candidate {name}: ")


def test_the_search_continues_and_makes_prompts(extreme: Path) -> None:
    with Reader.open(extreme / "archive.db") as reader:
        population = Population(parse_config({}), task_info("sentiment"), 1).advance(reader)
        for step in range(40):
            assert messages(request_for(population, step, reader), ReplyFormat.JSON)


def test_a_metric_that_is_not_finite_is_left_out(extreme: Path) -> None:
    with Reader.open(extreme / "archive.db") as reader:
        found = [metrics for seeds in Snapshot.of(reader).metrics.values() for metrics in seeds.values()]
    assert found and all("reward" not in metrics and "kl_per_sequence" in metrics for metrics in found)
