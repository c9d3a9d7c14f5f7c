"""A task in one file on disk: `path/to/my_task.py:MyTask`, or `my_task.py` for a module that is the task itself.

Threat model. The file's code runs with all rights of the user who names it, on the command line or in their own configuration.
A file named in an archive is never run: a recorded configuration is compared, not loaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from fitness.task.protocol import TaskError
from sandbox.contracts.entry_points import NAME, error_line

_WRITTEN = re.compile(r"(?P<path>.+\.py)(?::(?P<name>[A-Za-z_][A-Za-z0-9_]*))?", re.DOTALL)
_loaded: dict[str, ModuleType] = {}
"""Modules by the digest of path and content: a file runs once per process unless it changes."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """Location of a task in a file, as a configuration names it."""

    path: str
    name: str
    """Name of the object in the file; empty if the module itself is the task."""

    @classmethod
    def of(cls, task: str) -> TaskFile | None:
        """The file that the text names; None if the text is the name of a built-in or installed task."""
        written = _WRITTEN.fullmatch(task)
        return cls(written["path"], written["name"] or "") if written else None

    def __str__(self) -> str:
        return f"{self.path}:{self.name}" if self.name else self.path

    @property
    def label(self) -> str:
        """The task's name in an archive: without its folder, which may differ between machines."""
        file = os.path.basename(self.path)
        return f"{file}:{self.name}" if self.name else file

    @property
    def short(self) -> str | None:
        """A name for the run's directory; None if it is not a valid part of a file name."""
        name = self.name or os.path.basename(self.path).removesuffix(".py")
        return name if NAME.fullmatch(name) else None

    def within(self, folder: str | os.PathLike[str]) -> TaskFile:
        """The same file with an absolute path; a relative path is relative to `folder`."""
        return TaskFile(os.path.abspath(os.path.join(folder, os.path.expanduser(self.path))), self.name)

    def load(self) -> tuple[Any, str]:
        """The task in the file, and the SHA-256 digest of the file. Raises TaskError that names file and line."""
        path = os.path.abspath(os.path.expanduser(self.path))
        try:
            if os.path.exists(path) and not os.path.isfile(path):
                raise TaskError(f"task {self.label}: expected a file, got a folder or a special file: {path}")
            content = Path(path).read_bytes()
        except OSError as error:
            raise TaskError(
                f"task {self.label}: cannot read {path} ({error.strerror}); a relative path is relative to the folder of the "
                "configuration file, or on the command line to the current directory"
            ) from None
        digest = hashlib.sha256(content).hexdigest()
        module = self._module(path, content)
        if not self.name:
            return module, digest
        if not hasattr(module, self.name):
            offered = ", ".join(_classes(vars(module), module.__name__)) or "none"
            raise TaskError(f"task {self.label}: {path} has no {self.name!r}; classes in it: {offered}")
        return getattr(module, self.name), digest

    def _module(self, path: str, content: bytes) -> ModuleType:
        # Not imported by its name: an installed module may have the same name, and a stale __pycache__ could be used.
        name = "evopo_task_" + hashlib.sha256(os.fsencode(path) + b"\0" + content).hexdigest()[:16]
        if name in _loaded:
            return _loaded[name]
        module = ModuleType(name)
        module.__file__ = path
        sys.modules[name] = module  # where dataclasses and pydantic look for the names in annotations
        try:
            exec(compile(content, path, "exec", dont_inherit=True), module.__dict__)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise TaskError(f"task {self.label}: the file cannot be loaded: {error_line(error, (path,))}") from error
        _loaded[name] = module
        return module


def _classes(names: Mapping[str, Any], module: str) -> list[str]:
    return [name for name, value in names.items() if isinstance(value, type) and value.__module__ == module]
