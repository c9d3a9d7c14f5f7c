"""The directories of `evopo paper`: finds their archives, and gives the rows of evaluations as they count."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.benchmarks.results import Rows
from analysis.claims.transfer import PLAN
from analysis.paper.sources import Given, read
from archive.disk.files import there
from archive.query import Reader
from evo.config.rundir import RunDirError, existing_run
from evo.evaluate.results import outcomes


def given(directories: Sequence[Path]) -> Given:
    """What the directories hold. Raises RunDirError for one without an archive or given twice, ArchiveError, AnalysisError."""
    found: dict[str, Path] = {}
    places: dict[str, Path] = {}
    for directory in directories:
        path = directory if there(directory / PLAN) else existing_run(directory).path
        place = os.path.realpath(path)
        if place in places:
            raise RunDirError(f"{directory} is given twice, also as {places[place]}; give each directory once")
        places[place] = directory
        found[str(directory)] = path
    return read(found, _evaluated)


def _evaluated(reader: Reader) -> dict[str, Rows]:
    return {outcome.benchmark: outcome.rows for outcome in outcomes(reader)}
