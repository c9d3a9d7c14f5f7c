"""No encoding and no closed or full output causes a traceback. Tests of the live view are in tests/evo."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.records import Origin, RunRow
from archive.store import Archive

ROOT = Path(__file__).parents[2]
LOSS = "def loss(policy_chosen_logps):\n    return -policy_chosen_logps  # é\n"
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "utf-16": {"PYTHONIOENCODING": "utf-16"},
    "cp037": {"PYTHONIOENCODING": "cp037"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run whose names contain many kinds of characters."""
    place = tmp_path_factory.mktemp("odd")
    (place / "run").mkdir()
    row = RunRow("größe ± 漢字", 0, "sentiment", "preference", {}, {}, "1", baseline=None)
    with Archive.create(place / "run" / "archive.db", row) as archive:
        archive.add_candidate(Origin.SEED, "naïve ∑", "a thought — with signs", LOSS, "preference")
    (place / "ü.py").write_text(LOSS, "utf-8")
    yield place


def command(folder: Path, shell: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a shell command line in which EVO and SANDBOX stand for the commands."""
    python = f"'{sys.executable}' -P -m"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    line = shell.replace("EVO", f"{python} evo").replace("SANDBOX", f"{python} sandbox")
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line", ["EVO show run 1", "SANDBOX check --no-numeric ü.py"])
def test_characters_that_an_encoding_lacks_cause_no_error(folder: Path, encoding: str, line: str) -> None:
    done = command(folder, line, **ENCODINGS[encoding])
    codec = ENCODINGS[encoding].get("PYTHONIOENCODING", "ascii").partition(":")[0]
    told = done.stdout.decode(codec) + done.stderr.decode(codec)
    assert done.returncode in (0, 1, 2) and "Traceback" not in told and told.strip()
    if line == "EVO show run 1" and codec == "ascii":
        assert r"na\xefve \u2211" in told


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("EVO ls >&-", 0, ""),
        ("EVO status run > /dev/full", 1, "error: cannot write: No space left on device"),
        ("SANDBOX rules > /dev/full", 1, "error: cannot write"),
        ("SANDBOX rules | head -1 > /dev/null; exit $((PIPESTATUS[0] > 1))", 0, ""),
        ("SANDBOX check --no-numeric - <&-", 2, ""),
        ("EVO report run --no-pictures --out /proc/x.html", 1, "choose another path with --out"),
        ("EVO run --dir /proc/x --set task=classification", 2, "cannot create the run directory /proc/x"),
        ("EVO run --dry-run --dir /proc/x --set task=classification", 2, "cannot write in /proc/x (/proc: "),
        (f"EVO status {'n' * 256}", 2, "nnn holds no run"),
        (
            f"EVO run --offline --dry-run --set task=preference --set fitness.model={'n' * 256} --set fitness.data=d/d",
            2,
            "fitness.model: cannot read nnn",
        ),
        ("mkdir gone; cd gone; rmdir ../gone; EVO ls", 2, "there is no current directory"),
    ],
)
def test_an_unusable_place_is_reported_in_one_line(folder: Path, line: str, code: int, words: str) -> None:
    for place in ("/dev/full", "/proc"):
        if place in line and not os.path.exists(place):
            pytest.skip(f"no {place} here")
    done = command(folder, line)
    told = done.stderr.decode()
    assert done.returncode == code and "Traceback" not in told and words in told, told
