"""Conversion of values to and from SQLite: the policy for non-finite numbers, missing values, text and JSON.

Non-finite numbers (NaN, +inf, -inf)
    * `evaluation.fitness` is NULL or a finite number of at most `LARGEST` in size. A training with another fitness is recorded
      as a *failed* evaluation with the reason `not_finite` and the value in its detail, so that no mean ever contains one.
    * In JSON columns they are the strings "nan", "inf" and "-inf" (JSON has no such numbers, and SQLite's JSON functions refuse
      Python's `NaN`). In `metrics`, which holds numbers only, reading converts them back. In other columns they stay strings;
      `number` converts one.
    * In other numeric columns (usd, seconds, milliseconds) they become NULL: unknown.
    * A number above `LARGEST` in size counts as not finite.
Missing
    * A metric whose value is None is left out. NULL in a column means "unknown" or "not yet".
Text
    * Lone surrogates, which a JSON reply may contain but UTF-8 cannot encode, are stored as their escape (`\\ud800`). In a JSON
      column, reading converts the escape back to the surrogate.
"""

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

from archive.errors import CorruptArchive

NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
LARGEST = 1e100
"""A number above this in size counts as infinite: sums of squares of larger numbers would overflow."""
DEEPEST, MOST_DIGITS = 64, 100
"""Largest number of levels of a JSON value, and of digits of an integer in it. A longer integer is read as infinite."""
LONGEST_REPLY = 16 * 2**20
"""Largest size in bytes of an uncompressed reply. An untrusted archive may contain a compression bomb."""


def number(value: Any) -> float:
    """The float for a number or one of the strings "nan", "inf", "-inf". Raises ValueError for other values."""
    if isinstance(value, str):
        if value not in NON_FINITE:
            raise ValueError(f"expected a number or one of {sorted(NON_FINITE)}, got {value!r}")
        return NON_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {value!r}")
    return float(value)


def is_finite(value: float) -> bool:
    """Whether a number is finite and at most `LARGEST` in size."""
    return -LARGEST <= value <= LARGEST  # false of NaN


def finite_or_null(value: float | None) -> float | None:
    """`value`, or None where it is not finite."""
    return None if value is None or not is_finite(value) else float(value)


def storable_text(text: str) -> str:
    """`text` with lone surrogates written as escapes, so that it can be stored as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def dump_json(value: Any) -> str:
    """JSON text of plain Python data and NumPy scalars, with non-finite numbers as strings. TypeError for other objects."""
    return storable_text(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def dump_metrics(metrics: Mapping[str, float | None]) -> str:
    """JSON text of named numbers. None values are left out."""
    present = {name: value for name, value in metrics.items() if value is not None}
    return dump_json({name: float(value) for name, value in present.items()})


def load_json(text: str | None, where: str) -> Any:
    """The value of a JSON column; None for NULL. CorruptArchive (with `where`) if it is not JSON or is nested too deeply."""
    if text is None:
        return None
    if text == "{}":  # most events have nothing to tell
        return {}
    try:
        value = _DECODER.decode(text)
        if text.count("[") + text.count("{") > DEEPEST:
            _check_depth(value)
        return value
    except (TypeError, ValueError, RecursionError) as error:
        raise CorruptArchive(f"{where} should hold JSON: {error}; get a fresh copy of it") from error


def load_metrics(text: str | None, where: str) -> dict[str, float]:
    """The named numbers of a metrics column. CorruptArchive for anything else."""
    value = load_json(text, where)
    if value is None:
        return {}
    try:
        return {name: number(entry) for name, entry in value.items()}
    except (AttributeError, ValueError, OverflowError) as error:
        raise CorruptArchive(f"{where} should hold named numbers: {error}") from error


def compress(text: str) -> bytes:
    """`text` as zlib-compressed UTF-8. Lone surrogates are preserved."""
    return zlib.compress(text.encode("utf-8", "surrogatepass"))


def decompress(blob: bytes | None, where: str) -> str | None:
    """The text that `compress` was given. CorruptArchive for invalid data, and for more than `LONGEST_REPLY` bytes."""
    if blob is None:
        return None
    try:
        stream = zlib.decompressobj()
        raw = stream.decompress(blob, LONGEST_REPLY)
        if not stream.eof:
            raise CorruptArchive(f"{where} should hold at most {LONGEST_REPLY} bytes of complete zlib data")
        return raw.decode("utf-8", "surrogatepass")
    except (TypeError, zlib.error, UnicodeDecodeError) as error:
        raise CorruptArchive(f"{where} should hold zlib-compressed UTF-8: {error}") from error


def _integer(digits: str) -> float:
    if len(digits) > MOST_DIGITS:
        return -math.inf if digits.startswith("-") else math.inf
    return int(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; expected a string in its place")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_no_constant)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        lists = [v for v in level if isinstance(v, list)] + [list(v.values()) for v in level if isinstance(v, dict)]
        level = [v for inner in lists for v in inner if isinstance(v, list | dict)]
        if not level:
            return
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return _plain(value.item())
    raise TypeError(f"expected plain data for a JSON column, got {type(value).__name__}; convert it first")
