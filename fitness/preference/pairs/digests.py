"""Digests of files and folders, which identify local models and data sets by their contents."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path


def path_digest(path: Path, *, hidden: bool = True) -> str | None:
    """Digest of a file, or of the names and contents in a folder; None if the path does not exist.

    With `hidden` false, names that begin with a dot are ignored: git and the hub's tools keep timestamps and locks there.
    """
    if not os.path.exists(path):  # unlike Path.exists, returns False for a name that the system refuses
        return None
    if path.is_file():
        return _file_digest(path)[:16]
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        if not hidden and any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        digest.update(f"{file.relative_to(path)}\0{_file_digest(file)}\0".encode())
    return digest.hexdigest()[:16]


def _file_digest(path: Path) -> str:
    status = path.stat()
    return _digest_of_version(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _digest_of_version(path: Path, *version: int) -> str:
    """Cached by the file's version, so that large weights are read once per process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
