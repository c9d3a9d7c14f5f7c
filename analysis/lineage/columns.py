"""Rows of a table that is too large for memory, with one type in each column. They are kept in a temporary file, with `marshal`,
since no other program reads it and JSON takes five times as long.
"""

from __future__ import annotations

import marshal
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

Row = dict[str, Any]

_LARGEST = 2**63
"""Integers of this size or larger do not fit a 64-bit column and are exported as text."""


class Columns:
    """Rows that can be read several times, each with the values that it has, in the types of their columns."""

    def __init__(self, file: IO[bytes], rows: Iterable[Row]) -> None:
        """Reads all `rows`. Missing, NaN and infinite values are left out."""
        types: dict[str, set[type]] = {}
        self._file, self._count = file, 0
        for row in rows:
            usable = {name: value for name, value in row.items() if not _is_unusable(value)}
            for name, value in usable.items():
                types.setdefault(name, set()).add(_column_type(value))
            marshal.dump(usable, file)
            self._count += 1
        self.kinds: Mapping[str, type] = {name: _kind(found) for name, found in types.items()}
        """Type of each column that has a value, in order of first values."""

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        for _ in range(self._count):
            row = marshal.load(self._file)
            yield {name: self.kinds[name](value) for name, value in row.items()}


@contextmanager
def columns(rows: Iterable[Row]) -> Iterator[Columns]:
    """The rows in a temporary file, which is removed after the block."""
    with tempfile.TemporaryFile(prefix="evopo-") as file:
        yield Columns(file, rows)


def _kind(types: set[type]) -> type:
    if types <= {bool} or types <= {int} or types <= {str}:
        return next(iter(types))
    return float if types <= {int, float} else str


def _column_type(value: Any) -> type:
    return str if type(value) is int and abs(value) >= _LARGEST else type(value)


def _is_unusable(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
