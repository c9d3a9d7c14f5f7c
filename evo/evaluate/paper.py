"""The directories of `evopo paper`: finds their archives, and gives the rows of evaluations as they count."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.benchmarks.results import Rows
from analysis.paper.sources import Given, read
from archive.query import Reader
from evo.config.rundir import RunDirError, existing_run
from evo.evaluate.results import outcomes


def given(directories: Sequence[Path]) -> Given:
    """What the directories hold. Raises RunDirError for one without an archive or given twice, ArchiveError, NotComparable."""
    archives: dict[str, Path] = {}
    places: dict[str, Path] = {}
    for directory in directories:
        rundir = existing_run(directory)
        place = os.path.realpath(rundir.path)
        if place in places:
            raise RunDirError(f"{directory} is given twice, also as {places[place]}; give each directory once")
        places[place] = directory
        archives[str(directory)] = rundir.archive
    return read(archives, _evaluated)


def _evaluated(reader: Reader) -> dict[str, Rows]:
    return {outcome.benchmark: outcome.rows for outcome in outcomes(reader)}
