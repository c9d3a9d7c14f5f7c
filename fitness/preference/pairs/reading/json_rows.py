"""Strict reading of JSON files, with file and line in error messages.

Accepted: one object per line, one array of objects, or consecutive objects, compressed or not. Refused: encodings other than
UTF-8, a repeated key in an object, and rows that are not objects.
"""

import bz2
import codecs
import gzip
import io
import json
import lzma
import shlex
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from fitness.score import EvaluationFailed, bad_data

PACKED = (".gz", ".bz2", ".xz", ".zst")
EXPECTED = 'expected one object per line, {"prompt": ..., "chosen": ..., "rejected": ...}'
OTHER_KINDS = {
    b"\x1f\x8b": "packed (.gz)", b"\x28\xb5\x2f\xfd": "packed (.zst)", b"PK\x03\x04": "packed (.zip)", b"PAR1": "parquet",
}  # fmt: skip
WIDE = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every row of the file, in order. Raises EvaluationFailed("bad_data")."""
    return (row for _, row in placed_rows(path))


def placed_rows(path: Path, expected: str = EXPECTED) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of the file with its place, such as `line 12 of FILE`. `expected`: the remedy for a row that is no object.

    Raises EvaluationFailed("bad_data").
    """
    try:
        with opened(path) as file:
            yield from _rows(path, file, expected)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if path.suffix.lower() not in PACKED or getattr(error, "filename", None):
            raise
        raise bad_data(f"{path} cannot be unpacked ({error})", "it is truncated or damaged; get a fresh copy") from None


def opened(path: Path) -> IO[bytes]:
    """The opened file, decompressed while reading."""
    match path.suffix.lower():
        case ".gz":
            return io.BufferedReader(gzip.open(path))
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
        case ".zst":
            import pyarrow

            return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _rows(path: Path, file: IO[bytes], expected: str) -> Iterator[tuple[str, dict[str, Any]]]:
    lines = enumerate(file, start=1)
    for number, line in lines:
        if number == 1:
            _check_encoding(path, line)
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            break
    else:
        return
    is_array = line.lstrip().startswith(b"[")
    if is_array or not _is_whole(line):  # objects over several lines
        yield from _objects(path, line + file.read(), number, expected, is_array)
        return
    for place, content in chain([(number, line)], lines):
        yield from _objects(path, content, place, expected)


def _check_encoding(path: Path, line: bytes) -> None:
    for mark, name in WIDE.items():
        if line.startswith(mark):
            raise bad_data(f"{path} is {name.upper()} text", _converted(path, name))
    for mark, name in OTHER_KINDS.items():
        if line.startswith(mark):
            raise bad_data(f"{path} is not text but {name}", "give it the suffix of its format, or give a text file")


def _is_whole(line: bytes) -> bool:
    """Whether the JSON value that begins on a line also ends on it."""
    try:
        json.JSONDecoder().raw_decode(line.decode("utf-8", "replace").strip())
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):
        pass
    return True


def _objects(
    path: Path, content: bytes, first_line: int, expected: str, is_array: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in a section of a file that begins at `first_line`, or those of one array, each with its place."""
    text = _decoded(path, content, first_line)
    position, end = 0, len(text)
    while True:
        while position < end and text[position] in " \t\r\n":
            position += 1
        if position == end:
            return
        line = first_line + text.count("\n", 0, position)
        try:
            value, position = DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            if isinstance(error, json.JSONDecodeError):
                line = first_line + error.lineno - 1
            raise _no_json(path, content, line, error, expected) from None
        if is_array and isinstance(value, list):
            yield from (_row(f"row {number} of {path}", row, expected) for number, row in enumerate(value, start=1))
        else:
            yield _row(f"line {line} of {path}", value, expected)


def _row(where: str, value: Any, expected: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise bad_data(f"{where} is not an object", expected)
    return where, value


def _decoded(path: Path, content: bytes, first_line: int) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = first_line + before.count(b"\n"), error.start - before.rfind(b"\n")
        byte = content[error.start]
        name = "cp1252" if 0x80 <= byte < 0xA0 else "latin1"
        raise bad_data(
            f"line {line} of {path} is not UTF-8 text (byte 0x{byte:02x} at column {column})", _converted(path, name)
        ) from None


def _converted(path: Path, encoding: str) -> str:
    new = path.with_name(f"utf8-{path.name}")
    return f"convert it, if that is its encoding: iconv -f {encoding} -t utf-8 {shlex.quote(str(path))} > {shlex.quote(str(new))}"


def _no_json(path: Path, content: bytes, line: int, error: Exception, expected: str) -> EvaluationFailed:
    if b"\0" in content:
        return bad_data(
            f"line {line} of {path} holds NUL bytes",
            "it is text in another encoding, or was truncated while it was written; write it again in UTF-8",
        )
    return bad_data(f"line {line} of {path} is not valid JSON ({str(error)[:120]})", f"fix the file; {expected}")


def _without_doubles(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        keys = [key for key, _ in items]
        double = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {double!r} occurs twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_without_doubles)
