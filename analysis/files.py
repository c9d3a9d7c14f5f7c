"""Writing a file whole or not at all, and never over an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from analysis.errors import ExportRefused
from archive.files import replacing

_SQLITE = b"SQLite format 3\x00"
_COMPANIONS = ("-wal", "-shm", "-journal", ".lock")


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file for the block to write, which takes the place of `path` when the block ends well.

    A device or pipe, such as /dev/stdout, is written to as it is: nothing may take its place. Raises ExportRefused where `path`
    is a directory, an archive or part of one, in a folder that is not there, or cannot be written.
    """
    refuse(path)
    with _reported(path), path.open("wb") if _is_special(path) else replacing(path) as file:
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
    """Makes a folder within one that is there; whether it had to be made. Raises ExportRefused, also for a link to a folder."""
    if os.path.islink(path):
        raise ExportRefused(f"{path} is a symbolic link, which is not followed; remove it, or choose a file with --out")
    if os.path.isdir(path):
        return False
    with _reported(path):
        path.mkdir()
    return True


def refuse(path: Path) -> None:
    """Raises ExportRefused if something at `path` would be lost, or its folder is not there."""
    if os.path.isdir(path):
        raise ExportRefused(f"{path} is a directory; give the name of a file with --out")
    if not os.path.isdir(path.parent):
        raise ExportRefused(
            f"cannot write {path}: there is no folder {path.parent}; make it, or choose another path with --out"
        )
    if _is_database(path) or any(
        path.name.endswith(suffix) and _is_database(path.with_name(path.name.removesuffix(suffix)))
        for suffix in _COMPANIONS
    ):
        raise ExportRefused(f"{path} belongs to an archive, and nothing is ever written over one; choose another --out")


def _is_special(path: Path) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _is_database(path: Path) -> bool:
    if not os.path.isfile(path):  # to look into a pipe would be to wait for its writer
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False
