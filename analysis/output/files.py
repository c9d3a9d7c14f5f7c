"""Atomic writing of output files: a file appears complete or not at all, and an archive is never overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from analysis.output.errors import ExportRefused
from archive.disk.files import located, replacing
from archive.sqlite.connection import COMPANIONS

_SQLITE = b"SQLite format 3\x00"
_DESCRIPTORS = re.compile(r"/dev/fd|/proc/(?P<process>[0-9]+)(/task/[0-9]+)?/fd")
"""Resolved folders in which the open files of a process are named by their numbers."""
_SYSTEMS = re.compile(rf"/dev|{_DESCRIPTORS.pattern}")
_MOST_LINKS = 40
_COMPANIONS = (*COMPANIONS, ".lock")


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file for the block to write, which replaces `path` when the block ends without an error.

    A pipe, device or open file (`is_special`) is written to directly. Raises ExportRefused if `path` is a directory or part of an
    archive, if its folder does not exist, or if it cannot be written.
    """
    refuse(path)
    with _reported(path), _appending(path) if is_special(path) else replacing(path) as file:
        yield file


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportRefused(
            f"cannot write {path}: {error.strerror or error}; choose another path with --out"
        ) from error


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes. Raises ExportRefused."""
    with whole(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def make_folder(path: Path) -> bool:
    """Creates a folder in an existing one, and returns whether it was missing. Raises ExportRefused, also for a symbolic link."""
    if os.path.islink(path):
        raise ExportRefused(f"{path} is a symbolic link, which is not followed; remove it, or choose a file with --out")
    if os.path.isdir(path):
        return False
    with _reported(path):
        path.mkdir()
    return True


def refuse(path: Path) -> None:
    """Raises ExportRefused if writing to `path` would overwrite a folder or an archive, or if its folder does not exist."""
    with _reported(path), suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(path)  # reports a name that the system does not allow
    if os.path.isdir(path):
        raise ExportRefused(f"{path} is a directory; give the name of a file with --out")
    if not os.path.isdir(path.parent):
        raise ExportRefused(
            f"cannot write {path}: there is no folder {path.parent}; make it, or choose another path with --out"
        )
    if not os.path.lexists(path) and _SYSTEMS.fullmatch(str(located(path).parent)):
        raise ExportRefused(
            f"cannot write {path}: it is not there, and no file is made in that folder; choose another --out"
        )
    if _is_database(path) or any(
        path.name.endswith(suffix) and _is_database(path.with_name(path.name.removesuffix(suffix)))
        for suffix in _COMPANIONS
    ):
        raise ExportRefused(f"{path} belongs to an archive, and an archive is never overwritten; choose another --out")


def is_special(path: Path) -> bool:
    """Whether `path` must not be replaced: it is a pipe, a device, an open file such as /dev/stdout, or a link to one."""
    return _of_the_system(path) is not None or (os.path.exists(path) and not os.path.isfile(path))


def _of_the_system(path: Path) -> Path | None:
    """The path in /dev or in a process's folder of open files that `path` leads to; None if it leads elsewhere.

    An open file is not resolved further: /dev/stdout may be a regular file that another process is reading or writing.
    """
    found = None
    for _ in range(_MOST_LINKS):
        place = located(path)
        if _SYSTEMS.fullmatch(str(place.parent)):
            found = place
        if not place.is_symlink() or _DESCRIPTORS.fullmatch(str(place.parent)):
            return found
        path = place.parent / os.readlink(place)
    return found


def _appending(path: Path) -> BinaryIO:
    """`path` opened for appending. An open file of this process is duplicated, so that all its writers share one position."""
    place = _of_the_system(path)
    folder = place and _DESCRIPTORS.fullmatch(str(place.parent))
    if place and folder and folder["process"] in (None, str(os.getpid())):
        return os.fdopen(os.dup(int(place.name)), "wb")
    return path.open("ab")


def _is_database(path: Path) -> bool:
    if not os.path.isfile(path):  # reading a pipe would wait for its writer
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False
