"""What other packages add to evopo: found by entry point, imported when its name is asked for, and named in every error.

Nothing is scanned before somebody asks for a name that is not built in, or for a list. A plugin runs with all rights of the
process that asks for it: whoever installs a package, or names a file, runs its code. An archive can name what is installed, and
nothing else.
"""

from __future__ import annotations

import importlib
import os
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What may be the name of a plugin: it becomes part of file names and of an archive."""
LONGEST_TOLD = 300
"""Characters of a plugin's exception that are repeated."""


_IMPORTING = ("<", os.path.dirname(importlib.__file__) + os.sep, __file__)
"""Beginnings of the files that stand in a traceback between us and what is imported."""


class PluginError(ValueError):
    """A plugin cannot be used. The message names it: its package and entry point, or its file, and the line."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed package."""

    kind: str
    """What it adds: task, contract."""
    name: str
    package: str
    """Its package and version, as in "evopo-mine 1.0"."""
    point: EntryPoint

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of the package {self.package} (entry point {self.written})"

    @property
    def written(self) -> str:
        """The entry point as it stands in its package."""
        return f"{self.point.group}: {self.point.name} = {self.point.value}"

    def load(self) -> Any:
        """What the entry point names, its module imported. Raises PluginError."""
        if EntryPoint.pattern.match(self.point.value) is None:
            raise PluginError(f"{self} cannot be loaded: expected module or module:name, got {self.point.value!r}")
        try:
            return self.point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self} cannot be loaded: {told(error, self.folders)}") from error

    @property
    def folders(self) -> tuple[str, ...]:
        """Where its package's own files are, as far as it can be told without importing them."""
        spec = PathFinder.find_spec(self.point.value.partition(":")[0].partition(".")[0].strip())
        if spec is None:
            return ()
        return tuple(spec.submodule_search_locations or ()) or ((spec.origin,) if spec.origin else ())


def plugins(group: str) -> list[Plugin]:
    """The entry points of a group ("evopo.tasks") in all installed packages, by name. Imports none of them."""
    found: dict[tuple[str, str], Plugin] = {}
    for package in distributions():
        for plugin in _plugins_of(package, group):
            found.setdefault(
                (plugin.name, plugin.package.partition(" ")[0]), plugin
            )  # the first on the path is imported
    return sorted(found.values(), key=lambda plugin: (plugin.name, plugin.package))


def plugin_named(group: str, name: str) -> Plugin | None:
    """The entry point of that name; None where no package has one. Raises PluginError where two have."""
    named = [plugin for plugin in plugins(group) if plugin.name == name]
    if len(named) > 1:
        packages = " and ".join(f"{plugin.package} ({plugin.written})" for plugin in named)
        raise PluginError(f"{named[0].kind} {name!r} comes from two packages, {packages}: uninstall one of them")
    return named[0] if named else None


def told(error: BaseException, folders: tuple[str, ...] = ()) -> str:
    """An exception in one line, with the file and line in the plugin's own folders, or else wherever it was raised."""
    said = " ".join(str(error).split())
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{kind}: {error.msg}, in {error.filename}, line {error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_IMPORTING)]
    own = [f for f in frames if any(f.filename == place or f.filename.startswith(place + os.sep) for place in folders)]
    where = next(iter(reversed(own)), None) or (next(iter(reversed(frames)), None) if not folders else None)
    text = f"{kind}: {said}" if said else kind
    return text[:LONGEST_TOLD] + (f", in {where.filename}, line {where.lineno}" if where else "")


def _plugins_of(package: Distribution, group: str) -> Iterator[Plugin]:
    """None where the package's list cannot be read: somebody else's broken package is no concern of ours."""
    try:
        listed = package.read_text("entry_points.txt") or ""
        points = list(package.entry_points) if group in listed else []
        told_as = f"{package.metadata['Name'] or 'unknown'} {package.version}"
    except Exception:
        return
    kind = group.rpartition(".")[2].removesuffix("s")
    for point in points:
        if point.group == group:
            yield Plugin(kind, point.name, told_as, point)
