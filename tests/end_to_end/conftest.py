"""Fixtures of the end-to-end tests: the command, and the directory of a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import QUICK, Command, commands


@pytest.fixture
def evo(tmp_path: Path) -> Iterator[Command]:
    """`evopo` in a folder of its own. The test fails if a process is left running."""
    yield from commands(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small finished run. Tests must not change it."""
    folder = tmp_path_factory.mktemp("finished")
    result = Command(folder).run("run", "--dir", "run", *QUICK, "--set", "budget.proposals=8")
    assert result.code == 0, result.err
    return folder / "run"
