"""The files of a directory that may be somebody else's: how they are opened, read, and replaced.

Threat model. A run directory may be a stranger's: a copy, an unpacked archive, a folder on a shared disk. Covered, for each file
that is opened in it, by us or by SQLite: a symbolic link (never followed), a hard link to another file (never written to), a FIFO,
socket, device or folder in its place (never opened, so nothing waits for it), a size beyond a stated bound, a journal by which
SQLite would change other files (never opened). New content goes into a file of an unforeseeable name that is made for it, and
then takes the place of the old one, which is never written to. Not covered: whoever changes the directory in the very moment in
which a command runs, beyond what these checks of the open file hold.

The directory itself may be reached over links, since whoever names it chose it. What lies in it may not.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from archive.errors import UnsafeFile

LONGEST_TEXT = 2**20
"""Bytes of a manifest or a configuration that are read."""

_KINDS = {
    stat.S_IFLNK: "a symbolic link, which is not followed",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# 0 where the system has no such flag.
_CAREFULLY = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
)


def located(path: str | Path) -> Path:
    """`path` with the links of its folder resolved, so that one file has one name. The last part stays: it may be a link."""
    folder, name = os.path.split(os.path.abspath(path))
    return Path(os.path.realpath(folder), name)


def there(path: Path) -> bool:
    """Whether anything is at `path`, be it a link to nowhere."""
    return os.path.lexists(path)


def require_regular(path: Path, *, alone: bool = False) -> None:
    """Raises UnsafeFile if there is something at `path` that is not a regular file. Nothing is opened.

    With `alone`, also if the file has a second name, as none may have that is to be written to: that may be anywhere.
    """
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    _refuse_special(path, info)
    if alone:
        _refuse_second_name(path, info)


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the regular file at `path`. Raises UnsafeFile, and OSError as `os.open` does.

    A file that is to be written to must have no second name: that may be anywhere.
    """
    require_regular(path)
    try:
        descriptor = os.open(path, flags | _CAREFULLY, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise UnsafeFile(f"{path} should be a regular file, but was replaced meanwhile; try again") from None
        raise
    try:
        info = os.fstat(descriptor)
        _refuse_special(path, info)
        if flags & (os.O_WRONLY | os.O_RDWR):
            _refuse_second_name(path, info)
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def read_bounded(path: Path, most: int = LONGEST_TEXT) -> bytes:
    """All of a regular file of at most `most` bytes. Raises UnsafeFile, and OSError as `open` does."""
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UnsafeFile(f"{path} should hold at most {most} bytes, but holds more; get a fresh copy of it")
    return content


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file for the block to write, which takes the place of whatever is at `path` when the block ends well.

    On a crash the old file is there, or the new one. Raises OSError, and UnsafeFile for a folder.
    """
    _refuse_folder(path)
    draft = path.with_name(f".evopo-{secrets.token_hex(8)}.part")
    try:
        # Exclusively: neither a file nor a link of that name was there before.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        # Where even this cannot be done, as on a read-only disk, there is no draft either.
        with suppress(OSError):
            os.unlink(draft)
        raise


def replace(path: Path, text: str) -> None:
    """The same for a whole text, as UTF-8."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def remove(path: Path) -> None:
    """Removes what is at `path`, if anything: of a link the link alone. Raises OSError, and UnsafeFile for a folder."""
    _refuse_folder(path)
    path.unlink(missing_ok=True)


def _refuse_folder(path: Path) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        _refuse_special(path, os.lstat(path))


def _refuse_special(path: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        kind = _KINDS.get(stat.S_IFMT(info.st_mode), "something else")
        raise UnsafeFile(f"{path} should be a regular file, but is {kind}; move it away, or put a regular file there")


def _refuse_second_name(path: Path, info: os.stat_result) -> None:
    if info.st_nlink > 1:
        raise UnsafeFile(
            f"{path} should be a file of its own, but is another name of a file elsewhere; replace it by a copy of itself"
        )
