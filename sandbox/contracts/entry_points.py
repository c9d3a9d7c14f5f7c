"""Plugins: contracts and tasks that other packages declare as entry points. Every error names the plugin.

Packages are scanned only when a name that is not built in, or a list of names, is requested. A plugin is imported when its name is
requested, and then runs with all rights of this process: whoever installs a package or names a file runs its code. An archive can
only name plugins that are installed.
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
"""Allowed names of plugins: a name becomes part of file names and of an archive."""
MAX_ERROR_TEXT = 300
"""Characters of a plugin's exception that an error message repeats."""


_IMPORTING = ("<", os.path.dirname(importlib.__file__) + os.sep, __file__)
"""Path prefixes of the traceback frames that belong to the import machinery and to this module."""


class PluginError(ValueError):
    """A plugin cannot be used. The message names its package and entry point, or its file, and the line."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed package."""

    kind: str
    """What it adds: "task" or "contract"."""
    name: str
    package: str
    """Package and version, for example "evopo-mine 1.0"."""
    point: EntryPoint

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of the package {self.package} (entry point {self.definition})"

    @property
    def definition(self) -> str:
        """The entry point as its package defines it: "group: name = value"."""
        return f"{self.point.group}: {self.point.name} = {self.point.value}"

    def load(self) -> Any:
        """Import the module and return the object that the entry point names. Raises PluginError."""
        if EntryPoint.pattern.match(self.point.value) is None:
            raise PluginError(f"{self} cannot be loaded: expected module or module:name, got {self.point.value!r}")
        try:
            return self.point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self} cannot be loaded: {error_line(error, self.folders)}") from error

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders or file of the plugin's own package, found without importing it; () if unknown."""
        spec = PathFinder.find_spec(self.point.value.partition(":")[0].partition(".")[0].strip())
        if spec is None:
            return ()
        return tuple(spec.submodule_search_locations or ()) or ((spec.origin,) if spec.origin else ())


def plugins(group: str) -> list[Plugin]:
    """The entry points of a group ("evopo.tasks") in all installed packages, by name. Imports none of them."""
    found: dict[tuple[str, str], Plugin] = {}
    for package in distributions():
        for plugin in _plugins_of(package, group):
            key = (plugin.name, plugin.package.partition(" ")[0])
            found.setdefault(key, plugin)  # the first on the path is the one that is imported
    return sorted(found.values(), key=lambda plugin: (plugin.name, plugin.package))


def plugin_named(group: str, name: str) -> Plugin | None:
    """The entry point called `name`, or None. Raises PluginError if two packages declare it."""
    named = [plugin for plugin in plugins(group) if plugin.name == name]
    if len(named) > 1:
        packages = " and ".join(f"{plugin.package} ({plugin.definition})" for plugin in named)
        raise PluginError(f"{named[0].kind} {name!r} comes from two packages, {packages}: uninstall one of them")
    return named[0] if named else None


def error_line(error: BaseException, folders: tuple[str, ...] = ()) -> str:
    """An exception as one line of text, with the innermost file and line within `folders`.

    Without `folders`, the innermost file and line outside the import machinery.
    """
    said = " ".join(str(error).split())
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{kind}: {error.msg}, in {error.filename}, line {error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_IMPORTING)]
    own = [f for f in frames if any(f.filename == place or f.filename.startswith(place + os.sep) for place in folders)]
    where = next(iter(reversed(own)), None) or (next(iter(reversed(frames)), None) if not folders else None)
    text = f"{kind}: {said}" if said else kind
    return text[:MAX_ERROR_TEXT] + (f", in {where.filename}, line {where.lineno}" if where else "")


def _plugins_of(package: Distribution, group: str) -> Iterator[Plugin]:
    """The package's entry points of the group. Nothing if its metadata cannot be read: a broken package must not stop others."""
    try:
        listed = package.read_text("entry_points.txt") or ""
        points = [point for point in package.entry_points if point.group == group] if group in listed else []
        # The metadata of all packages takes tenths of a second to read, so it is read of those with a plugin alone.
        name_and_version = f"{package.metadata['Name'] or 'unknown'} {package.version}" if points else ""
    except Exception:
        return
    kind = group.rpartition(".")[2].removesuffix("s")
    for point in points:
        yield Plugin(kind, point.name, name_and_version, point)
