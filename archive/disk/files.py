"""Safe opening, reading and replacing of files in a directory that may come from another person.

Threat model. A run directory may be untrusted: a copy, an unpacked archive, a folder on a shared disk. Covered, for each file in it
that evopo or SQLite opens: a symbolic link (never followed), a hard link to another file (never written to), a FIFO, socket, device
or folder in its place (never opened, so that no command waits for it), a size above a stated limit, a journal that makes SQLite
change other files (never opened). New content is written to a new file with a random name, which then replaces the old file; the
old file is never written to. Not covered: a process that changes the directory while a command runs, except where the checks of the
opened file notice it.

Links in the path of the directory are followed, because the user chose that path. Links inside the directory are not.
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
"""Largest size in bytes of a manifest or configuration that is read."""

_KINDS = {
    stat.S_IFLNK: "a symbolic link, which is not followed",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# A flag is 0 on systems without it.
_CAREFULLY = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
)


def located(path: str | Path) -> Path:
    """`path` with the links of its folder resolved, so that one file has one name. The last part is kept, even if it is a link."""
    folder, name = os.path.split(os.path.abspath(path))
    return Path(os.path.realpath(folder), name)


def there(path: Path) -> bool:
    """Whether anything exists at `path`, including a broken link."""
    return os.path.lexists(path)


def require_regular(path: Path, *, alone: bool = False) -> None:
    """Raises UnsafeFile if something other than a regular file exists at `path`. Nothing is opened.

    With `alone`, also if the file has a second name (a hard link), which may be anywhere. Required for files that are written to.
    """
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    _refuse_special(path, info)
    if alone:
        _refuse_second_name(path, info)


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of the regular file at `path`. Raises UnsafeFile, and OSError like `os.open`.

    A file that is opened for writing must not have a second name (a hard link), which may be anywhere.
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
    """The content of a regular file of at most `most` bytes. Raises UnsafeFile, and OSError like `open`."""
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UnsafeFile(f"{path} should hold at most {most} bytes, but holds more; get a fresh copy of it")
    return content


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file for the block to write, which replaces `path` when the block ends without an error.

    After a crash, either the old file or the new one is there. Raises OSError, and UnsafeFile for a folder.
    """
    _refuse_folder(path)
    draft = path.with_name(f".evopo-{secrets.token_hex(8)}.part")
    try:
        # O_EXCL: fails if a file or link of that name exists.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        # Where this fails, for example on a read-only disk, there is no draft either.
        with suppress(OSError):
            os.unlink(draft)
        raise


def replace(path: Path, text: str) -> None:
    """Replaces the file at `path` by one with this text, as UTF-8. Raises like `replacing`."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def remove(path: Path) -> None:
    """Removes the file at `path`, if any; for a link, only the link. Raises OSError, and UnsafeFile for a folder."""
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
