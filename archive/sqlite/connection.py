"""A writer's connection to SQLite: how it is opened, its transactions, and its errors in words."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive.disk.files import located, require_regular
from archive.errors import ArchiveError, MissingRow, NotAnArchive, UnsafeFile, WriteFailed, WrongState
from archive.sqlite.values import compress, dump_json, storable_text

BUSY_SECONDS = 30.0
"""How long a write waits for somebody who has the file locked, such as an open transaction in the sqlite3 shell."""


COMPANIONS = ("-wal", "-shm", "-journal")
"""Ends of the names of the files that SQLite keeps beside a database, and opens by itself."""


def resolve(path: str | Path) -> Path:
    """The true path of an archive that is to be written to, so that one file has one lock.

    Its folder must exist. Raises ArchiveError, and UnsafeFile as `require_database` does.
    """
    place = located(path)
    if not os.path.isdir(place.parent):
        raise ArchiveError(f"the folder {place.parent} does not exist; create it first")
    require_database(place, writing=True)
    return place


def require_database(place: Path, *, writing: bool) -> None:
    """Raises UnsafeFile if SQLite must not be let near the archive at `place`, because of it or of the files beside it.

    Each must be a regular file, without a second name where SQLite writes to it: a reader, too, writes to the -shm file.
    """
    require_regular(place, alone=writing)
    for suffix in COMPANIONS:
        require_regular(place.with_name(place.name + suffix), alone=True)
    journal = place.with_name(f"{place.name}-journal")
    try:
        filled = os.lstat(journal).st_size > 0
    except FileNotFoundError:
        return
    # Whoever opens the archive, SQLite rolls back by this file, and then removes the file whose path is written in it.
    if filled:
        raise UnsafeFile(
            f"{journal} should not be there: evopo never makes one, and SQLite would change files by what it says; "
            "move it away, or get a fresh copy of the run"
        )


def connect(path: Path) -> sqlite3.Connection:
    """A connection that may write, but has not touched the file yet."""
    # Transactions are ours to begin; threads are serialised by the Archive.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Write-ahead log, every commit synced, foreign keys on. Changes the file: only for one that is an archive."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise WriteFailed(
            f"{path}: this file system allows no write-ahead log (SQLite kept {mode!r}); use a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turns errors of SQLite into ours, with a remedy."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if "FOREIGN KEY" in str(error):
            raise MissingRow(f"{path}: a row that this one refers to does not exist") from error
        raise WrongState(f"{path}: recorded already, or with values that do not fit together ({error})") from error
    except sqlite3.OperationalError as error:
        raise WriteFailed(f"{path}: SQLite could not write ({error}); nothing of this was kept") from error
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            raise NotAnArchive(f"{path} is not an SQLite database; give the archive.db of a run directory") from error
        raise WriteFailed(
            f"{path}: {error}; check the disk, and the file with: sqlite3 FILE 'PRAGMA integrity_check'"
        ) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator["Write"]:
    """All of the block's statements, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield Write(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite rolls back by itself on some errors (disk full), and then there is nothing left to do.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class Write:
    """The statements of one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def event(
        self,
        kind: str,
        payload: Any = None,
        *,
        candidate_id: int | None = None,
        proposal_id: int | None = None,
        evaluation_id: int | None = None,
    ) -> int:
        """Appends an event and returns its id."""
        return self.insert(
            "event",
            at=now(),
            kind=kind,
            candidate_id=candidate_id,
            proposal_id=proposal_id,
            evaluation_id=evaluation_id,
            payload=dump_json({} if payload is None else payload),
        )

    def insert(self, table: str, **columns: Any) -> int:
        """Adds a row and returns its id."""
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        values = [_bound(value) for value in columns.values()]
        row = self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values).lastrowid
        return int(row or 0)

    def text(self, text: str) -> str:
        """Stores a text unless it is there already, and returns its hash."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        sql = "INSERT OR IGNORE INTO text (hash, content) VALUES (?, ?)"
        self._connection.execute(sql, (digest, compress(text)))
        return digest

    def update(self, table: str, id: int, **columns: Any) -> None:
        """Changes columns of one row."""
        names = ", ".join(f'"{name}" = ?' for name in columns)
        values = [_bound(value) for value in columns.values()]
        self._connection.execute(f"UPDATE {table} SET {names} WHERE id = ?", (*values, id))

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, None if there is no row."""
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def ids(self, sql: str, values: Sequence[Any] = ()) -> tuple[int, ...]:
        """The first column of all rows."""
        return tuple(row[0] for row in self._connection.execute(sql, values))

    def next_id(self, table: str) -> int:
        """The id of the row to come: rows are never removed, and there is one writer."""
        return int(self.value(f"SELECT coalesce(max(id), 0) + 1 FROM {table}"))

    def candidate_of(self, evaluation_id: int) -> int:
        """The candidate that an evaluation is of."""
        return int(self.value("SELECT candidate_id FROM evaluation WHERE id = ?", (evaluation_id,)))

    def require(self, table: str, id: int, *states: str) -> str:
        """The state of a row, which must be one of `states`; else MissingRow or WrongState."""
        state = self.value(f"SELECT state FROM {table} WHERE id = ?", (id,))
        if state is None:
            raise MissingRow(f"there is no {table} {id}")
        if state not in states:
            raise WrongState(f"{table} {id} should be {' or '.join(states)}, but it is {state}")
        return str(state)


def _bound(value: Any) -> Any:
    return storable_text(value) if isinstance(value, str) else value
