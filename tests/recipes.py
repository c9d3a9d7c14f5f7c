"""Additions written as the pages describe, into a copy of the packages. Shared by the tests of the recipes."""

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
    """A copy of the packages in `folder`, which tests may change."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def examples(page: str, heading: str) -> dict[str, str]:
    """The code blocks under a heading of a page, by the path in the first line of each."""
    section = (ROOT / page).read_text("utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    found = {}
    for block in re.findall(r"^ *```\w+\n(.*?)^ *```$", section, re.S | re.M):
        code = textwrap.dedent(block)
        if named := re.match(r"(?:# |\{# )(\S+/\S+)(?: #\})?\n", code):
            found[named[1]] = code[named.end() :]
    return found


def put(folder: Path, path: str, code: str) -> None:
    """Writes an example into a new file."""
    assert not (folder / path).exists()
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text(code, "utf-8")


def insert(folder: Path, path: str, code: str, before: str) -> None:
    """Inserts an example into an existing file, before the first occurrence of `before`."""
    text = (folder / path).read_text("utf-8")
    assert before in text
    (folder / path).write_text(text.replace(before, code + before, 1), "utf-8")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in that folder, with the copy instead of the installed packages."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
