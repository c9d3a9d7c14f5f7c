"""`evopo compare`: opens the runs, and gives each the settings and the grid that this version of evopo reads in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.compare.comparison import Comparison, compare
from analysis.compare.curves import Against
from analysis.compare.found import Grid
from analysis.compare.runs import Run, flat
from analysis.snapshot import Snapshot
from archive.query import Reader
from evo.config.proposer_settings import BUILTIN, OPENAI
from evo.config.rundir import RunDirError, existing_run
from evo.config.schema import Config, ConfigError, parse_config
from evo.search.selection.members import Member, SelectionSettings, cell


def compared(directories: Sequence[Path], against: Against, by: Sequence[str], labels: Mapping[str, str]) -> Comparison:
    """The comparison of the runs in `directories`. Raises RunDirError, ArchiveError and NotComparable."""
    if len(directories) < 2:
        raise RunDirError(
            "give the directories of two or more runs: a comparison needs runs of several strategies or seeds"
        )
    runs: dict[str, Run] = {}
    for directory in directories:
        rundir = existing_run(directory)
        place = os.path.realpath(rundir.path)
        if place in runs:
            raise RunDirError(f"{directory} is given twice, also as {runs[place].name}; give each run once")
        with Reader.open(rundir.archive) as reader:
            snapshot = Snapshot.of(reader, every_event=True)
        runs[place] = Run(str(directory), snapshot, settings_of(snapshot.settings or snapshot.run.config))
    return compare(list(runs.values()), grid(), against, by, labels)


def settings_of(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration by dotted key, as this version reads it: with today's names and defaults for missing keys, and the
    proposer that `auto` stands for. A configuration that this version refuses is taken as it is."""
    try:
        config = parse_config(recorded)
    except ConfigError:
        return flat(recorded)
    resolved = {**config.model_dump(mode="json"), "proposer": _proposer(config)}
    return flat(resolved)


def _proposer(config: Config) -> str:
    """The proposer of a configuration, with what `auto` stands for."""
    if config.proposer != "auto":
        return config.proposer
    return OPENAI if config.asks_a_model else BUILTIN


def grid() -> Grid:
    """The descriptor grid with which parents are selected."""
    axes = SelectionSettings().axes
    return Grid(axes, lambda descriptors: cell(Member(0, 0, None, (), True, descriptors=descriptors), axes))
