"""Opening an archive for reading, during a run, finished, on a read-only disk or after a crash. The file is not trusted."""

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
from archive.sqlite.identification import identify

LONGEST_VALUE = 64 * 2**20
"""Largest size in bytes of a text, blob or row that is read."""

LARGEST_COPY = 2**31
"""Largest size in bytes of an archive that is copied into memory, for example because its folder is read-only."""

BUSY_SECONDS = 10.0


def open_for_reading(path: str | Path) -> tuple[Path, sqlite3.Connection]:
    """The resolved path of the archive at `path`, and a read-only connection to it. Raises the errors of `Reader.open`."""
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
    # sqlite3 raises UnicodeDecodeError if the text of an error message contains damaged bytes of the file.
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        tidy(place)
        raise _explained(place, error) from error
    except ArchiveError:
        tidy(place)
        raise


def tidy(place: Path) -> None:
    """Removes the empty -wal and the -shm file that reading created next to the archive at `place`, unless they are in use.

    Call it after closing a connection. A read-only connection creates these files but does not remove them. A connection for
    writing removes them on closing, if it is the last connection of all processes; SQLite's own locks decide this. A log that is
    not empty was left by a crashed writer, and is kept.
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
        # Reading a database in WAL mode needs its -shm file, which cannot be created in a read-only folder. In other folders we
        # must not open the file ourselves: closing it would release the locks that a writer in this process has on it.
        if os.access(place.parent, os.W_OK):
            raise
        return _private_copy(place)


def _leaves_files(place: Path) -> bool:
    """Whether reading would create files that `tidy` cannot remove: the archive is closed and not writable for this user, but its
    folder is."""
    closed = not there(place.with_name(place.name + "-wal"))
    theirs = not os.access(place, os.W_OK) and os.access(place.parent, os.W_OK)
    return closed and theirs and os.lstat(place).st_size <= LARGEST_COPY


def _private_copy(place: Path) -> sqlite3.Connection:
    """A copy of the archive in memory, including the log of a crashed writer. Raises UnreadableArchive if it is too large."""
    sources = [place.with_name(place.name + suffix) for suffix in ("", "-wal")]
    size = sum(source.stat().st_size for source in sources if os.path.exists(source))
    if size > LARGEST_COPY:
        raise UnreadableArchive(
            f"{place} has {size} bytes, and can only be read as a copy in memory of at most {LARGEST_COPY} bytes; "
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
    """A temporary folder for a copy. Raises UnreadableArchive if there is none, or not enough space in it."""
    remedy = "set TMPDIR to a folder that can be written to and has enough space, such as /dev/shm"
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
    """A copy in memory of an archive of an older version, migrated to the current schema. The file is not changed."""
    from archive.sqlite.migrations import migrate

    copy = _private_copy(place)
    # The file is not trusted: its triggers must not run when the copy is changed.
    for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        copy.execute('DROP TRIGGER "{}"'.format(str(name).replace('"', '""')))
    migrate(copy)
    return copy


def _open(uri: str) -> sqlite3.Connection:
    # The Reader serialises threads.
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
    # SQLITE_IOERR_SHM is about the -shm file.
    unopened = ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_AUTH", "SQLITE_IOERR_SHM")
    if name.startswith(unopened) or isinstance(error, OSError):
        return UnreadableArchive(f"{place} cannot be opened ({error}); check its permissions and those of its folder")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return UnreadableArchive(f"{place} is locked by another program ({error}); close it there, or wait")
    return CorruptArchive(
        f"{place} is damaged ({error}); copy it again together with its -wal file, or see what is left with: "
        "sqlite3 FILE .recover"
    )
