"""Checked access to the values of one SQLite row: type, range and form. The file may come from another person."""

import re
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from archive.errors import CorruptArchive
from archive.sqlite.packed import is_packed, unpack, unpack_start
from archive.sqlite.values import LARGEST, decompress, is_finite, load_json, load_metrics

E = TypeVar("E", bound=StrEnum)

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")
_ROW_NAMES = ("id", "candidate_id", "child")


class Cells:
    """One row. Each method raises CorruptArchive for a value of another kind, with table, column, row and the value found."""

    __slots__ = ("_path", "_row", "_table")

    def __init__(self, row: sqlite3.Row, table: str, path: Path) -> None:
        self._row, self._table, self._path = row, table, path

    def of(self, table: str) -> "Cells":
        """The same row, for columns that a query took from another table."""
        return Cells(self._row, table, self._path)

    def raw(self, column: str) -> Any:
        try:
            return self._row[column]
        except IndexError:
            raise CorruptArchive(f"{self.where(column)} is missing; get a fresh copy of the archive") from None

    def where(self, column: str) -> str:
        return f"{self._path}: {self._table}.{column}"

    def wrong(self, column: str, expected: str) -> CorruptArchive:
        columns = self._row.keys()
        names = [name for name in _ROW_NAMES if name in columns]
        row = f" in the row of {names[0]} {str(self._row[names[0]])[:20]!r}" if names else ""
        came = str(self.raw(column))[:80]
        return CorruptArchive(
            f"{self.where(column)} should be {expected}, but is {came!r}{row}; get a fresh copy of the archive"
        )

    def text(self, column: str) -> str:
        value = self.raw(column)
        if not isinstance(value, str):
            raise self.wrong(column, "text")
        return value

    def text_or_none(self, column: str) -> str | None:
        value = self.raw(column)
        if value is not None and not isinstance(value, str):
            raise self.wrong(column, "text")
        return value

    def integer(self, column: str) -> int:
        value = self.raw(column)
        if not isinstance(value, int):
            raise self.wrong(column, "a whole number")
        return value

    def natural(self, column: str) -> int:
        value = self.integer(column)
        if value < 0:
            raise self.wrong(column, "a whole number, zero or more")
        return value

    def natural_or_none(self, column: str) -> int | None:
        return None if self.raw(column) is None else self.natural(column)

    def time(self, column: str) -> str:
        value = self.text(column)
        try:
            if _TIME.fullmatch(value):
                datetime.fromisoformat(value)
                return value
        except ValueError:
            pass
        raise self.wrong(column, "a time like 2026-01-31T12:00:00+00:00")

    def integer_or_none(self, column: str) -> int | None:
        value = self.raw(column)
        if value is not None and not isinstance(value, int):
            raise self.wrong(column, "a whole number")
        return value

    def real_or_none(self, column: str) -> float | None:
        value = self.raw(column)
        if value is None:
            return None
        if not isinstance(value, int | float) or not is_finite(value):
            raise self.wrong(column, f"a number of at most {LARGEST:g} in size")
        return float(value)

    def one_of(self, column: str, kind: type[E]) -> E:
        try:
            return kind(self.raw(column))
        except ValueError:
            raise self.wrong(column, f"one of {', '.join(kind)}") from None

    def word(self, column: str, allowed: Sequence[str]) -> str:
        value = self.raw(column)
        if value not in allowed:
            raise self.wrong(column, f"one of {', '.join(allowed)}")
        return str(value)

    def json(self, column: str) -> Any:
        return load_json(self.text_or_none(column), self.where(column))

    def json_object(self, column: str) -> dict[str, Any]:
        value = self.json(column)
        if not isinstance(value, dict):
            raise self.wrong(column, "a JSON object")
        return value

    def packed_text_or_none(self, column: str) -> str | None:
        """The JSON text of a packed column; in rows of older versions it is not packed."""
        value = self.raw(column)
        return unpack(value, self.where(column)) if isinstance(value, bytes) else self.text_or_none(column)

    def packed_start(self, column: str, most: int) -> str:
        """The first characters of the JSON text of a packed column, at most `most`; "" for NULL and for text that is not ASCII."""
        value = self.raw(column)
        if isinstance(value, bytes):
            return unpack_start(value, most, self.where(column))
        return (self.text_or_none(column) or "")[:most]

    def packed_json(self, column: str) -> Any:
        return load_json(self.packed_text_or_none(column), self.where(column))

    def packed_object_or_none(self, column: str) -> dict[str, Any] | None:
        value = self.packed_json(column)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(column, "a JSON object")
        return value

    def metrics(self, column: str) -> dict[str, float]:
        return load_metrics(self.text_or_none(column), self.where(column))

    def compressed(self, column: str) -> str | None:
        """A text that is packed, or zlib data in rows of older versions."""
        value = self.raw(column)
        packed = isinstance(value, bytes) and is_packed(value)
        return unpack(value, self.where(column)) if packed else decompress(value, self.where(column))
