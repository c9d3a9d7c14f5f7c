"""Suggested commands after a refused `evopo run`: variants of the given command line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from evo.config.rundir import default_directory
from evo.config.schema import Config


@dataclass(frozen=True, slots=True)
class Given:
    """Arguments of `evopo run` or another `command`. `program`: how it was called, `evopo` or `python -m evo`."""

    program: str
    config: Path | None = None
    directory: Path | None = None
    overrides: tuple[str, ...] = ()
    seed: int | None = None
    command: str = "run"
    seed_from: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The command, quoted for a shell."""
        words = [self.command, *([str(self.config)] if self.config is not None else [])]
        words += [word for text in self.overrides for word in ("--set", text)]
        words += ["--seed", str(self.seed)] if self.seed is not None else []
        words += [word for text in self.seed_from for word in ("--seed-from", text)]
        words += ["--dir", str(self.directory)] if self.directory is not None else []
        return f"{self.program} {shlex.join(words)}"

    def having(self, settings: Mapping[str, str]) -> Given:
        """The command with these settings, which replace given ones with the same key."""
        kept = [text for text in self.overrides if text.partition("=")[0].strip() not in settings]
        return replace(self, overrides=(*kept, *(f"{key}={value}" for key, value in settings.items())))


def ways_on(given: Given, settings: Config, path: Path, larger: Mapping[str, float]) -> str:
    """Commands to use instead of one that the finished run in `path` refuses, as lines to copy."""
    budget = given.having({key: f"{value:.12g}" for key, value in larger.items()})
    lines = ["To run these settings in another directory:", f"  {_elsewhere(given, settings)}"]
    lines += ["To continue it with these settings and a larger budget:", f"  {budget}"] if larger else []
    lines += ["To see its results:", f"  {given.program} status {shlex.quote(str(path))}"]
    return "\n".join(lines)


def _elsewhere(given: Given, settings: Config) -> Given:
    """The same command with a directory that does not exist yet."""
    for number in count(2):
        if given.directory is not None:
            directory = given.directory.with_name(f"{given.directory.name}-{number}")
            if not os.path.exists(directory):
                return replace(given, directory=directory)
        else:
            name = f"{settings.name[:56]}-{number}"
            if not os.path.exists(default_directory(settings.model_copy(update={"name": name}))):
                return given.having({"name": name})
    raise AssertionError("unreachable")
