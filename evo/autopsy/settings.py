"""Settings of an autopsy: the configuration with which the run's task is made again.

Threat model. The archive may come from another person. Covered: a path, a model, an endpoint, a command or a file with code is not
used if only the archive names it; the user names it with --config. Not covered: numbers of the recorded options, such as a number
of epochs, are used as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin

from analysis.output.encode import one_line
from archive.query import Reader
from evo.config.rundir import RunDirError, changed_keys, differences, identity
from evo.config.schema import Config, load_config, parse_config
from evo.session.earlier_session import last_settings
from fitness.task import TaskInfo, task_info
from fitness.task.from_file import TaskFile
from fitness.task.registry import task_options


def settings_of(
    reader: Reader, directory: Path, config: Path | None, overrides: Sequence[str]
) -> tuple[Config, TaskInfo]:
    """The configuration and the task of the run: those of `config` if it is given, else the recorded ones, with `overrides`.

    Raises RunDirError if they would not train the run's task as it was trained, or if the recorded settings name something outside
    of evopo; ConfigError, TaskError.
    """
    run = reader.run()
    if config is not None:
        settings = load_config(config, overrides, seed=run.seed)
    else:
        recorded = last_settings(reader)
        if named := _named_outside(parse_config(recorded)):
            raise RunDirError(
                f"the run in {directory} was made with {named}, which is not used as long as only the archive names it; give the "
                "run's configuration: --config FILE.yaml"
            )
        settings = load_config(None, overrides, recorded=recorded)
    info = task_info(settings.task, settings.fitness)
    kind = run.identity.get("kind")
    own = identity(settings, info, kind if isinstance(kind, str) else None)
    if changed := differences(run.identity, {**own, "seed": run.seed}):
        keys = ", ".join(map(one_line, changed_keys(changed)))
        raise RunDirError(
            f"the loss would not be trained as in the run in {directory}: {keys} would change; give the run's own configuration"
        )
    return settings, info


def _named_outside(config: Config) -> str:
    """What the settings name that may be a path, a model, an endpoint, a command or a file with code; empty if nothing."""
    if TaskFile.of(config.task):
        return f"a task in a file, {one_line(config.task, 80)}"
    if config.launcher:
        return f"launcher: {one_line(' '.join(config.launcher), 80)}"
    defaults = task_options(config.task).model_fields
    for key, value in config.fitness.items():
        option = defaults.get(key)
        plain = isinstance(value, int | float | None) or (option is not None and value == option.default)
        if not plain and not (option is not None and isinstance(value, str) and value in _words(option.annotation)):
            return f"fitness.{one_line(key, 40)}: {one_line(str(value), 80)}"
    return ""


def _words(annotation: object) -> frozenset[object]:
    """The values that an option may have if its type is a Literal, perhaps among others: words of the task's own, no names."""
    if get_origin(annotation) is Literal:
        return frozenset(get_args(annotation))
    return frozenset[object]().union(*map(_words, get_args(annotation)))
