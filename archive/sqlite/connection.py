"""The writer's SQLite connection: opening, transactions, statements, and translation of errors."""

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
from archive.sqlite.packed import pack_like
from archive.sqlite.values import compress, decompress, dump_json, storable_text

BUSY_SECONDS = 30.0
"""How long a write waits while another program has the file locked, for example an open transaction in the sqlite3 shell."""

BASES = 8
"""Number of texts among which the base of a new text is sought."""

COMPANIONS = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps next to a database and opens by itself."""


def resolve(path: str | Path) -> Path:
    """The resolved path of an archive for writing, so that one file has one lock.

    Raises ArchiveError if its folder does not exist, and UnsafeFile like `require_database`.
    """
    place = located(path)
    if not os.path.isdir(place.parent):
        raise ArchiveError(f"the folder {place.parent} does not exist; create it first")
    require_database(place, writing=True)
    return place


def require_database(place: Path, *, writing: bool) -> None:
    """Raises UnsafeFile if SQLite must not open the archive at `place`, because of this file or the files next to it.

    Each must be a regular file, and must not have a second name if SQLite writes to it (a reader also writes to the -shm file).
    """
    require_regular(place, alone=writing)
    for suffix in COMPANIONS:
        require_regular(place.with_name(place.name + suffix), alone=True)
    journal = place.with_name(f"{place.name}-journal")
    try:
        filled = os.lstat(journal).st_size > 0
    except FileNotFoundError:
        return
    # On opening, SQLite would roll back from this file, and then delete the file whose path is written in it.
    if filled:
        raise UnsafeFile(
            f"{journal} should not be there: evopo never creates one, and its content would make SQLite change files; "
            "move it away, or get a fresh copy of the run"
        )


def connect(path: Path) -> sqlite3.Connection:
    """A connection for writing, which has not accessed the file yet."""
    # isolation_level=None: `transaction` begins transactions. The Archive serialises threads.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Sets WAL mode, syncing of every commit, and foreign keys. Changes the file, so call it for an archive only."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise WriteFailed(
            f"{path}: this file system allows no write-ahead log (SQLite kept {mode!r}); use a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def now() -> str:
    """The current time in UTC as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Translates SQLite's errors into ArchiveError with a remedy."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if "FOREIGN KEY" in str(error):
            raise MissingRow(f"{path}: a row that this one refers to does not exist") from error
        raise WrongState(f"{path}: recorded already, or with values that do not fit together ({error})") from error
    except sqlite3.OperationalError as error:
        raise WriteFailed(
            f"{path}: SQLite could not write ({error}); what was recorded before is kept. Once the cause is fixed, the same "
            "command goes on"
        ) from error
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
            raise NotAnArchive(f"{path} is not an SQLite database; give the archive.db of a run directory") from error
        raise WriteFailed(
            f"{path}: {error}; check the disk, and the file with: sqlite3 FILE 'PRAGMA integrity_check'"
        ) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator["Write"]:
    """A transaction: all statements of the block are kept, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield Write(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite rolls back by itself on some errors (disk full).
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

    def text(self, text: str) -> int:
        """Stores a text unless it is stored already, and returns its id.

        Of the newest texts that were stored whole, the one with the most text in common becomes its base, if that is a third of it.
        """
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        there = self.value("SELECT id FROM text WHERE hash = ?", (digest,))
        if there is not None:
            return int(there)
        base, model = max(self._whole_texts(), key=lambda whole: _in_common(text, whole[1]), default=(None, ""))
        if base is None or 3 * _in_common(text, model) < len(text):
            return self.insert("text", hash=digest, content=compress(text))
        return self.insert("text", hash=digest, base=base, content=pack_like(text, model))

    def _whole_texts(self) -> list[tuple[int, str]]:
        sql = "SELECT id, content FROM text WHERE base IS NULL ORDER BY id DESC LIMIT ?"
        rows = self._connection.execute(sql, (BASES,)).fetchall()
        return [(id, decompress(content, "text.content") or "") for id, content in rows]

    def update(self, table: str, id: int, **columns: Any) -> None:
        """Changes columns of one row."""
        names = ", ".join(f'"{name}" = ?' for name in columns)
        values = [_bound(value) for value in columns.values()]
        self._connection.execute(f"UPDATE {table} SET {names} WHERE id = ?", (*values, id))

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None without a row."""
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def ids(self, sql: str, values: Sequence[Any] = ()) -> tuple[int, ...]:
        """The first column of all rows."""
        return tuple(row[0] for row in self._connection.execute(sql, values))

    def next_id(self, table: str) -> int:
        """The id of the next row. Unique, because rows are never removed and there is one writer."""
        return int(self.value(f"SELECT coalesce(max(id), 0) + 1 FROM {table}"))

    def candidate_of(self, evaluation_id: int) -> int:
        """The candidate of an evaluation."""
        return int(self.value("SELECT candidate_id FROM evaluation WHERE id = ?", (evaluation_id,)))

    def require(self, table: str, id: int, *states: str) -> str:
        """The state of a row. Raises MissingRow, and WrongState if it is not one of `states`."""
        state = self.value(f"SELECT state FROM {table} WHERE id = ?", (id,))
        if state is None:
            raise MissingRow(f"there is no {table} {id}")
        if state not in states:
            raise WrongState(f"{table} {id} should be {' or '.join(states)}, but it is {state}")
        return str(state)


def _in_common(text: str, other: str) -> int:
    """Number of characters in the lines of a text that the other has too."""
    lines = frozenset(other.splitlines())
    return sum(len(line) for line in text.splitlines() if line in lines)


def _bound(value: Any) -> Any:
    return storable_text(value) if isinstance(value, str) else value
