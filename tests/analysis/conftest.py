"""Fixtures: the archive of a made-up campaign, its reader and its snapshot."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from make_archive import make_archive

from analysis.snapshot import Snapshot
from archive.query import Reader


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    make_archive(directory)
    return directory


@pytest.fixture
def reader(run_dir):
    with Reader.open(run_dir / "archive.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def snapshot(run_dir):
    with Reader.open(run_dir / "archive.db") as opened:
        return Snapshot.of(opened)
