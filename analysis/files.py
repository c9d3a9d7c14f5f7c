"""Writing a file whole or not at all, and never over an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import ExportRefused

_SQLITE = b"SQLite format 3\x00"
_COMPANIONS = ("-wal", "-shm", "-journal", ".lock")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A draft beside `path` for the block to write; it takes the place of `path` when the block ends well.

    Raises ExportRefused where `path` is a directory, an archive or part of one, or cannot be written.
    """
    refuse(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    except OSError as error:
        raise ExportRefused(
            f"cannot write {path}: {error.strerror or error}; choose another path with --out"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, data: str | bytes) -> None:
    """Writes text (as UTF-8) or bytes. Raises ExportRefused."""
    with whole(path) as draft:
        draft.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def refuse(path: Path) -> None:
    """Raises ExportRefused if something at `path` would be lost."""
    if path.is_dir():
        raise ExportRefused(f"{path} is a directory; give the name of a file with --out")
    if _is_database(path) or any(
        path.name.endswith(suffix) and _is_database(path.with_name(path.name.removesuffix(suffix)))
        for suffix in _COMPANIONS
    ):
        raise ExportRefused(f"{path} belongs to an archive, and nothing is ever written over one; choose another --out")


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False
