"""Rows of a table that is too large for memory, with one type in each column. They are kept in a temporary file, with `marshal`,
since no other program reads it and JSON takes five times as long.
"""

from __future__ import annotations

import marshal
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any

Row = dict[str, Any]

BLOCK = 500
"""Number of rows that are kept together: `marshal` reads a file in small pieces, but a block from memory."""

_LARGEST = 2**63
"""Integers of this size or larger do not fit a 64-bit column and are exported as text."""


class Columns:
    """Rows that can be read several times, each with the values that it has, in the types of their columns."""

    def __init__(self, file: IO[bytes], rows: Iterable[Row]) -> None:
        """Reads all `rows`. Missing, NaN and infinite values are left out."""
        found: dict[tuple[str, type], None] = {}
        self._file, self._sizes, usable = file, list[int](), map(_usable, rows)
        while block := list(islice(usable, BLOCK)):
            shapes = dict.fromkeys((tuple(row), tuple(map(type, row.values()))) for row in block)
            for names, kinds in shapes:  # few: most rows have the same columns
                found.update(dict.fromkeys(zip(names, kinds, strict=True)))
            self._sizes.append(file.write(marshal.dumps(block)))
        types: dict[str, set[type]] = {}
        for name, kind in found:
            types.setdefault(name, set()).add(kind)
        self.kinds: Mapping[str, type] = {name: _kind(of_column) for name, of_column in types.items()}
        """Type of each column that has a value, in order of first values."""
        self._mixed = [name for name, of_column in types.items() if len(of_column) > 1]

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        for size in self._sizes:
            for row in marshal.loads(self._file.read(size)):
                for name in self._mixed:
                    if name in row:
                        row[name] = self.kinds[name](row[name])
                yield row


@contextmanager
def columns(rows: Iterable[Row]) -> Iterator[Columns]:
    """The rows in a temporary file, which is removed after the block."""
    with tempfile.TemporaryFile(prefix="evopo-") as file:
        yield Columns(file, rows)


def _usable(row: Row) -> Row:
    return {
        name: str(value) if type(value) is int and abs(value) >= _LARGEST else value
        for name, value in row.items()
        if value is not None and (type(value) is not float or math.isfinite(value))
    }


def _kind(types: set[type]) -> type:
    if len(types) == 1:
        return next(iter(types))
    return float if types <= {int, float} else str
