"""How a file is opened for reading: live, closed, on a read-only disk, or left by a crash, and always with precautions."""

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from archive.disk.files import located, open_regular, there
from archive.errors import (
    ArchiveError,
    ArchiveNotFound,
    CorruptArchive,
    NotAnArchive,
    UnreadableArchive,
)
from archive.sqlite.connection import require_database
from archive.sqlite.migrations import identify, migrate

LONGEST_VALUE = 64 * 2**20
"""Bytes of the longest text, blob or row that is read."""

LARGEST_COPY = 2**31
"""Bytes of an archive that is copied into memory, as where its folder cannot be written to."""

BUSY_SECONDS = 10.0


def open_for_reading(path: str | Path) -> tuple[Path, sqlite3.Connection]:
    """The true path and a read-only connection to the archive at `path`; see `Reader.open` for the errors."""
    place = located(path)
    if not there(place):
        raise ArchiveNotFound(
            f"there is no archive at {place}; check the path, or give the archive.db of a run directory"
        )
    if os.path.isdir(place) and not os.path.islink(place):
        raise NotAnArchive(f"{place} is not a file; give the archive.db in it")
    require_database(place, writing=False)
    try:
        connection = _connect(place)
        try:
            if identify(connection, place):
                connection.close()
                connection = _upgraded_copy(place)
            _harden(connection)
        except BaseException:
            connection.close()
            raise
        return place, connection
    # sqlite3 raises UnicodeDecodeError where damage has got into the text of an error message.
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        tidy(place)
        raise _explained(place, error) from error
    except ArchiveError:
        tidy(place)
        raise


def tidy(place: Path) -> None:
    """Remove the empty -wal and the -shm file that reading left beside the archive at `place`, unless somebody has it open.

    For whoever has closed a connection to it. A connection that only reads makes these files and may not remove them. One that
    writes does so as it is closed, if it is the last of all processes' connections: SQLite's own locks decide, and a reader or
    writer that has the archive open keeps them. A log that is not empty is a crashed writer's, and stays as evidence.
    """
    log = place.with_name(place.name + "-wal")
    with contextlib.suppress(sqlite3.Error, OSError, UnicodeDecodeError, ArchiveError):
        if os.lstat(log).st_size == 0:
            require_database(place, writing=False)
            with contextlib.closing(_open(f"{place.as_uri()}?mode=rw")) as connection:
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _connect(place: Path) -> sqlite3.Connection:
    if _leaves_files(place):
        return _private_copy(place)
    connection = _open(f"{place.as_uri()}?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError:
        connection.close()
        # Reading a database in WAL mode needs its -shm file, which cannot be made where we may not write. Elsewhere we
        # must not touch the file ourselves: closing it would drop the locks that this process's writer has on it.
        if os.access(place.parent, os.W_OK):
            raise
        return _private_copy(place)


def _leaves_files(place: Path) -> bool:
    """Whether reading would make files beside the archive that `tidy` could not remove: a closed one that is not ours to write to,
    in a folder that is."""
    closed = not there(place.with_name(place.name + "-wal"))
    theirs = not os.access(place, os.W_OK) and os.access(place.parent, os.W_OK)
    return closed and theirs and os.lstat(place).st_size <= LARGEST_COPY


def _private_copy(place: Path) -> sqlite3.Connection:
    """A copy in memory, the log of a crashed writer included: what the archive held at this moment.

    Raises UnreadableArchive if it is too large for that.
    """
    sources = [place.with_name(place.name + suffix) for suffix in ("", "-wal")]
    size = sum(source.stat().st_size for source in sources if os.path.exists(source))
    if size > LARGEST_COPY:
        raise UnreadableArchive(
            f"{place} is {size} bytes, and this archive can only be read as a copy in memory, which may be {LARGEST_COPY} bytes; "
            "copy it to a folder that you may write to, or upgrade it there by continuing its run"
        )
    with _scratch(place) as folder:
        copy = folder / "archive.db"
        for source, suffix in zip(sources, ("", "-wal"), strict=True):
            if there(source):
                _copy(source, copy.with_name(copy.name + suffix))
        memory = _open(":memory:")
        disk = _open(copy.as_uri())
        try:
            disk.backup(memory)
        except BaseException:
            memory.close()
            raise
        finally:
            disk.close()
        return memory


@contextlib.contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """A folder for a copy. Raises UnreadableArchive where there is none, or no room in it."""
    remedy = "set TMPDIR to a folder that can be written to and has room, such as /dev/shm"
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UnreadableArchive(
            f"{place} can only be read as a copy here, and there is no temporary folder; {remedy}"
        ) from error
    try:
        with tempfile.TemporaryDirectory(prefix="evopo-archive-", dir=folder) as scratch:
            yield Path(scratch)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise UnreadableArchive(
            f"{place} can only be read as a copy here, and {folder} cannot take it ({error.strerror}); {remedy}"
        ) from error


def _copy(source: Path, target: Path) -> None:
    with os.fdopen(open_regular(source), "rb") as old, target.open("xb") as new:
        shutil.copyfileobj(old, new)


def _upgraded_copy(place: Path) -> sqlite3.Connection:
    """A copy in memory with today's schema of an archive that an older evopo wrote; the file stays as it is."""
    copy = _private_copy(place)
    # The file may be a stranger's: no trigger of theirs runs because we change the copy.
    for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        copy.execute('DROP TRIGGER "{}"'.format(str(name).replace('"', '""')))
    migrate(copy)
    return copy


def _open(uri: str) -> sqlite3.Connection:
    # Threads are serialised by the Reader.
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _harden(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cell_size_check = ON")


def _explained(place: Path, error: Exception) -> ArchiveError:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return NotAnArchive(f"{place} is not an SQLite database; give the archive.db of a run directory")
    # The last one is about the -shm file beside it.
    unopened = ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_AUTH", "SQLITE_IOERR_SHM")
    if name.startswith(unopened) or isinstance(error, OSError):
        return UnreadableArchive(f"{place} cannot be opened ({error}); check its permissions and those of its folder")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return UnreadableArchive(f"{place} is locked by another program ({error}); close it there, or wait")
    return CorruptArchive(
        f"{place} is damaged ({error}); copy it again together with its -wal file, or see what is left with: "
        "sqlite3 FILE .recover"
    )
