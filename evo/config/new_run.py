"""Task options of a run whose configuration does not name them: as recorded, or as a new run of the task begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from archive.disk.files import there
from evo.config.rundir import RunDir
from evo.config.schema import Config
from fitness.task.registry import begins


def settled(config: Config, path: Path) -> Config:
    """The configuration of a run in `path`, with the task's `begins` for options that it does not name.

    If `path` holds a run, the values recorded there count instead, so that the command that made a run continues it after a new
    version began to name other values. Raises ArchiveError, TaskError.
    """
    unnamed = {key: value for key, value in begins(config.task).items() if key not in config.fitness}
    if not unnamed:
        return config
    archive = RunDir(path).archive
    if there(archive):
        from archive.query import Reader

        with Reader.open(archive) as reader:
            task = reader.run().identity.get("fitness")
        recorded = task.get("options") if isinstance(task, Mapping) else None
        known = recorded if isinstance(recorded, Mapping) else {}
        unnamed = {key: known[key] for key in unnamed if key in known}
    return config.model_copy(update={"fitness": {**unnamed, **config.fitness}})
