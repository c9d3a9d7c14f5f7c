"""What only reads loads no library that it does not need."""

import subprocess
import sys
from pathlib import Path

import pytest

from archive.records import RunRow
from archive.store import Archive

HEAVY = ("torch", "trl", "transformers", "datasets", "matplotlib", "pandas")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("show", "run", "1"),
        ("export", "run", "--format", "graphml", "--out", "x.graphml"),
    ],
)
def test_help_and_reading_an_archive_load_no_heavy_library(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    row = RunRow("example", 0, "classification", "classification", baseline="cross_entropy")
    with Archive.create(tmp_path / "run" / "archive.db", row) as archive:
        archive.add_candidate("seed", "cross_entropy", "", "source", "classification")
    program = (
        "import sys; from evo.cli.commands import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        f"found = sorted(set({HEAVY!r}) & set(sys.modules)); assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
