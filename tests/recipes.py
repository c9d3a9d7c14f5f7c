"""Additions written as the pages say, into a copy of the packages; shared by the tests of the recipes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("analysis", "archive", "evo", "fitness", "sandbox", "scripts")


def copied(folder: Path) -> Path:
    """The packages, in a folder where they may be changed."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def examples(page: str, heading: str) -> dict[str, str]:
    """The code under a heading of a page, by the file that the first line of each example names."""
    section = (ROOT / page).read_text("utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    found = {}
    for block in re.findall(r"^ *```\w+\n(.*?)^ *```$", section, re.S | re.M):
        code = textwrap.dedent(block)
        if named := re.match(r"(?:# |\{# )(\S+/\S+)(?: #\})?\n", code):
            found[named[1]] = code[named.end() :]
    return found


def put(folder: Path, path: str, code: str) -> None:
    """A new file, as an example has it."""
    assert not (folder / path).exists()
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text(code, "utf-8")


def insert(folder: Path, path: str, code: str, before: str) -> None:
    """An example put into a file that is there, before the first place where `before` stands."""
    text = (folder / path).read_text("utf-8")
    assert before in text
    (folder / path).write_text(text.replace(before, code + before, 1), "utf-8")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in that folder, with the copy in place of what is installed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
