"""What a reader sees of an archive: all of it, its state at an earlier event, or some of its candidates.

A query names the newest event that is seen `:at`. Its errors are those of `archive.errors`.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from archive.errors import ArchiveClosed, CorruptArchive, MissingRow
from archive.sqlite.opening import open_for_reading, tidy
from archive.sqlite.queries import NOW

T = TypeVar("T")

BLOCK = 100
"""Number of items that `in_blocks` takes at a time."""


def in_blocks(items: Iterable[T]) -> Iterator[T]:
    """The same items. Those of a block are made, then used: code that makes an item and code that uses it displace each other from
    the caches of the CPU, which costs an export a tenth of its time if they take turns at each item."""
    source = iter(items)
    while block := list(islice(source, BLOCK)):
        yield from block


class View:
    """What a reader sees of an archive. Thread-safe."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        turn: threading.RLock,
        upto: int = NOW,
        only: str | None = None,
        bare: bool = False,
        *,
        owner: bool = False,
    ) -> None:
        self.path = path
        self._connection = connection
        self._turn = turn
        self._upto = upto
        self._only = only
        self._bare = bare
        self._owner = owner

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Opens an archive: during a run, finished, on a read-only disk, or after a crash.

        Raises ArchiveNotFound, NotAnArchive, CorruptArchive, NewerArchive, UnreadableArchive and UnsafeFile.
        """
        place, connection = open_for_reading(path)
        return cls(place, connection, threading.RLock(), owner=True)

    def close(self) -> None:
        """Closes the file and removes the files that reading created. Does nothing for a view made by `as_of` or `among`."""
        if self._owner:
            with self._turn:
                self._connection.close()
            tidy(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def as_of(self, event: int) -> Self:
        """A view of the archive up to and including `event`, on this reader's connection."""
        return type(self)(self.path, self._connection, self._turn, min(event, self._upto), self._only, self._bare)

    def among(self, ids: Iterable[int]) -> Self:
        """A view in which only these candidates exist, with their parents, verdicts, findings, proposals and trainings."""
        return type(self)(self.path, self._connection, self._turn, self._upto, json.dumps(sorted(ids)), self._bare)

    def bare(self) -> Self:
        """A view whose lists of rows are without what takes long to decode: replies are empty, evaluations have no metrics and no
        fitness per item, verdicts no guarantees and details."""
        return type(self)(self.path, self._connection, self._turn, self._upto, self._only, True)

    @contextmanager
    def consistent(self) -> Iterator[Self]:
        """Within the block, all queries see the same state of the archive, whatever the writer does meanwhile."""
        with self._turn:
            if self._connection.in_transaction:
                yield self
                return
            self._rows("BEGIN")
            try:
                yield self
            finally:
                self._rows("COMMIT")

    def _those(self, column: str) -> str:
        """The condition that `column` is a candidate of this view, in SQL."""
        return "" if self._only is None else f" AND {column} IN (SELECT value FROM json_each(:only))"

    def _one(self, rows: Sequence[sqlite3.Row], what: str) -> sqlite3.Row:
        if not rows:
            raise MissingRow(f"there is no {what} in {self.path}")
        return rows[0]

    def _rows(self, sql: str, **values: Any) -> list[sqlite3.Row]:
        return list(self._each(sql, **values))

    def _each(self, sql: str, **values: Any) -> Iterator[sqlite3.Row]:
        """The rows of a query one by one. For many rows, within `consistent`."""
        with self._turn:
            try:
                yield from in_blocks(self._connection.execute(sql, {"at": self._upto, "only": self._only, **values}))
            except sqlite3.ProgrammingError as error:
                raise ArchiveClosed(f"{self.path} is closed here; open it again ({error})") from error
            except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
                raise CorruptArchive(
                    f"{self.path} cannot be read ({error}); if copying it again does not help, see what is left with: "
                    "sqlite3 FILE .recover"
                ) from error
