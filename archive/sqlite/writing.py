"""The file of an archive, open for writing: made or upgraded, locked, one transaction at a time, closed.

What a crash leaves: every transaction that has ended. The database is in WAL mode with `synchronous=FULL`. `NORMAL` would be
enough for a killed process, whose pages the kernel still holds; FULL also survives a power cut, for one fsync of the log per
write (0.8 ms against 0.04 ms on the ext4 disk that we measured on), which is nothing beside an LLM call or a training.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

from archive.disk.files import remove
from archive.disk.filesystem import refuse_network
from archive.disk.lock import Holder, WriterLock
from archive.errors import ArchiveClosed, ArchiveExists, ArchiveNotFound
from archive.sqlite.connection import COMPANIONS, Write, connect, prepare, reported, resolve, transaction
from archive.sqlite.migrations import identify, migrate, require_no_triggers

FOLD_MILLISECONDS = 2000
"""How long closing waits for a reader in the middle of a query."""


class WritableFile:
    """Make one with `create` or `open`. Its transactions may be called from several threads."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: WriterLock) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._turn = threading.RLock()
        self._closed = False

    @classmethod
    def create(cls, path: str | Path, first_rows: Callable[[Write], None], *, allow_network: bool = False) -> Self:
        """A new archive at `path` with its first rows; the file appears whole or not at all.

        Raises ArchiveExists, ArchiveLocked, UnsafeFile, and NetworkFilesystem (unless `allow_network`).
        """
        place = resolve(path)
        if not allow_network:
            refuse_network(place)
        lock = WriterLock.acquire(place)
        try:
            if os.path.exists(place):
                raise ArchiveExists(
                    f"{place} exists already; open it to resume its run, or choose another name or seed"
                )
            draft = place.with_name(place.name + ".creating")
            # An orphaned -wal of an earlier archive of this name would be replayed into the new one.
            for stem in (draft, place):
                for suffix in ("", *COMPANIONS):
                    remove(stem.with_name(stem.name + suffix))
            with reported(place):
                with closing(connect(draft)) as connection:
                    prepare(connection, draft)
                    migrate(connection)
                    with transaction(connection) as write:
                        first_rows(write)
                draft.rename(place)
                return cls(place, _opened(place), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: str | Path, *, allow_network: bool = False) -> Self:
        """The archive at `path`, upgraded to today's schema if it is older; its rows are left as they are.

        Raises ArchiveNotFound, ArchiveLocked, NotAnArchive, NewerArchive, UnsafeFile, and NetworkFilesystem (unless
        `allow_network`).
        """
        place = resolve(path)
        if not os.path.exists(place):
            raise ArchiveNotFound(f"there is no archive at {place}; start a run first, or check the path")
        if not allow_network:
            refuse_network(place)
        lock = WriterLock.acquire(place)
        try:
            with reported(place):
                return cls(place, _opened(place), lock)
        except BaseException:
            lock.release()
            raise

    @property
    def replaced(self) -> Holder | None:
        """The writer that died without closing the archive, if its stale lock had to be taken over."""
        return self._lock.replaced

    def close(self) -> None:
        """Folds the log into the file, though somebody reads it, and gives up the lock.

        Closing twice does nothing; nor does a forked child.
        """
        with self._turn:
            if self._closed or os.getpid() != self._lock.holder.pid:
                return
            self._closed = True
            _fold(self._connection)
            self._connection.close()
            self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[Write]:
        """What is written within is kept whole or not at all. Raises ArchiveClosed."""
        with self._turn:
            if self._closed or os.getpid() != self._lock.holder.pid:
                raise ArchiveClosed(f"{self.path} is closed here; open it again (a forked child may not write to it)")
            with reported(self.path), transaction(self._connection) as write:
                yield write


def _opened(place: Path) -> sqlite3.Connection:
    connection = connect(place)
    try:
        pending = identify(connection, place)
        require_no_triggers(connection, place)
        prepare(connection, place)
        if pending:
            migrate(connection)
        return connection
    except BaseException:
        connection.close()
        raise


def _fold(connection: sqlite3.Connection) -> None:
    """Move the log's content into the file: closing alone would leave it in the log while anybody reads."""
    connection.execute(f"PRAGMA busy_timeout = {FOLD_MILLISECONDS}")
    with suppress(sqlite3.Error):  # as on a full disk: then it stays in the log, which is as safe
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
