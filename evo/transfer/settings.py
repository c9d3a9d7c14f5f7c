"""Settings of `evopo transfer`: named changes of a task's options, and the configuration of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.claims.transfer import SETTING_NAME
from evo.config.new_run import settled
from evo.config.schema import Config, ConfigError, load_config
from fitness.task.protocol import OPTIONS
from fitness.task.registry import directory_name, task_info

_CHANGE = re.compile(r",(?=[A-Za-z_][\w.]*=)")
"""A comma between two changes. Commas within a value, as in [a, b], are not followed by KEY=."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its name, and changed options of the task, KEY=VALUE as for `--set`, without `fitness.` before the key."""

    name: str
    changes: tuple[str, ...]


def setting_of(text: str) -> Setting:
    """The setting in NAME:KEY=VALUE,KEY=VALUE; `NAME:` changes nothing. Raises ConfigError."""
    name, colon, rest = text.partition(":")
    if not colon and SETTING_NAME.fullmatch(name):
        raise ConfigError(
            f"--setting {name}: no setting has values of its own, so what does {name} change? Expected NAME:KEY=VALUE,KEY=VALUE "
            f"with options of the task, such as {name}:beta=0.5, or {name}: with a colon for the options as configured"
        )
    changes = tuple(part.strip().removeprefix(f"{OPTIONS}.") for part in _CHANGE.split(rest) if part.strip())
    if not SETTING_NAME.fullmatch(name) or not all("=" in change for change in changes):
        raise ConfigError(
            f"--setting needs NAME:KEY=VALUE,KEY=VALUE with options of the task, got {text!r}; NAME is also that of a folder: "
            "letters, digits and any of _.- after the first, 40 characters at most"
        )
    return Setting(name, changes)


def settings_of(texts: Iterable[str]) -> tuple[Setting, ...]:
    """The settings in order. Raises ConfigError if there are none, or two of one name."""
    found = tuple(map(setting_of, texts))
    if not found:
        raise ConfigError("give at least one --setting NAME:KEY=VALUE,...; the first is the setting of the search")
    names = [setting.name.lower() for setting in found]  # some file systems do not tell cases apart
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"--setting: two settings are called {twice[0]!r}; give each a name of its own")
    return found


def configurations(
    settings: Iterable[Setting], path: Path, config: Path | None = None, overrides: Iterable[str] = ()
) -> Mapping[str, Config]:
    """The configuration of each setting by name: that of the file and overrides, then the setting's changes.

    `path`: the directory of the transfer. Raises ConfigError, TaskError and ArchiveError, for a fault in any of them.
    """
    given = tuple(overrides)
    found = {}
    for setting in settings:
        changes = [f"{OPTIONS}.{change}" for change in setting.changes]
        one = load_config(config, (*given, *changes))
        one = settled(one.model_copy(update={"name": f"transfer-{setting.name}"}), path / setting.name)
        task_info(one.task, one.fitness)
        found[setting.name] = one
    return found


def default_path(config: Config) -> Path:
    """`runs/transfer-TASK` under the current directory."""
    return Path("runs") / f"transfer-{directory_name(config.task) or 'task'}"
