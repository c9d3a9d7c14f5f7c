"""Inputs of `check`: files, directories, standard input, JSON lines. Sizes are limited, and reading never waits for a pipe.

A file that the user named may be a symbolic link. A link that was found in a directory is an error and is not followed, because
somebody else may have put it there, and findings would show excerpts of the file that it points to.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from sandbox.child.allowlist.limits import MAX_SOURCE_BYTES
from sandbox.graph.loss_graph import MAX_JSON_BYTES

MAX_LINE = 1_000_000
"""Bytes of one JSON line."""


@dataclass(frozen=True, slots=True)
class Item:
    """One input: its name, and its source, its graph, or an error if there is neither. `id` is that of a JSON line."""

    name: str
    source: bytes | str = b""
    graph: bytes | None = None
    error: str = ""
    id: Any = None


_CLOSED = Item("<stdin>", error="cannot be read: standard input is closed")


def collect(paths: Iterable[str]) -> Iterator[Item]:
    """The items of files, of directories (their .py files), and of `-`, standard input. A .json file is a graph."""
    for path in paths:
        if path == "-":
            yield _CLOSED if sys.stdin is None else Item("<stdin>", sys.stdin.buffer.read(MAX_SOURCE_BYTES + 1))
        elif os.path.isdir(path):
            yield from _directory(Path(path))
        else:
            yield _file(path)


def _directory(root: Path) -> Iterator[Item]:
    found = False
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        for name in sorted(files):
            if name.endswith(".py") and not name.startswith("."):
                found = True
                yield _file(os.path.join(folder, name), follow=False)
    if not found:
        yield Item(str(root), error="the directory holds no candidates: expected .py files")


def _file(path: str, *, follow: bool = True) -> Item:
    opened = _opened(path, follow=follow)
    if isinstance(opened, Item):
        return opened
    is_graph = path.endswith(".json")
    try:
        with opened as stream:
            raw = stream.read((MAX_JSON_BYTES if is_graph else MAX_SOURCE_BYTES) + 1)
    except OSError as error:  # a damaged disk, or a file of /proc that may be opened and not read
        return _unreadable(path, error)
    return Item(path, graph=raw) if is_graph else Item(path, raw)


def collect_lines(paths: Iterable[str]) -> Iterator[Item]:
    """The items of JSON lines {"id", "code"} in files or standard input. A bad line is an item with an error."""
    for path in paths:
        if path == "-":
            yield from [_CLOSED] if sys.stdin is None else _lines("<stdin>", sys.stdin.buffer)
            continue
        item = _opened(path)
        if isinstance(item, Item):
            yield item
            continue
        try:
            with item:
                yield from _lines(path, item)
        except OSError as error:
            yield _unreadable(path, error)


def _opened(path: str, *, follow: bool = True) -> BinaryIO | Item:
    """A regular file, opened without waiting for a pipe; or an item with an error."""
    if not follow and os.path.islink(path):
        return Item(path, error="a symbolic link, which is not followed; name the file itself to have it vetted")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except (OSError, ValueError) as error:
        return _unreadable(path, error)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return Item(path, error="not a regular file")


def _unreadable(path: str, error: Exception) -> Item:
    return Item(path, error=f"cannot be read: {getattr(error, 'strerror', None) or 'no such name is possible'}")


def _lines(path: str, stream: BinaryIO) -> Iterator[Item]:
    for number, (raw, complete) in enumerate(_bounded(stream), 1):
        name = f"{path}:{number}"
        if not complete:
            yield Item(name, error=f"the line is longer than {MAX_LINE} bytes")
        elif raw.strip():
            yield _line(name, raw)


def _bounded(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Lines, and whether each is complete. A line longer than MAX_LINE is skipped and given as b""."""
    while raw := stream.readline(MAX_LINE + 1):
        complete = len(raw) <= MAX_LINE
        rest = raw
        while not complete and rest and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE)
        yield (raw, True) if complete else (b"", False)


def _line(name: str, raw: bytes) -> Item:
    try:
        data = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return Item(name, error="the line is not valid JSON")
    if not isinstance(data, dict) or not isinstance(data.get("code"), str):
        return Item(name, error='expected an object with "id" and "code", a string')
    identity = data.get("id")
    if not isinstance(identity, str | int | float | None) or (
        isinstance(identity, float) and not math.isfinite(identity)
    ):
        return Item(name, error='"id" must be a string or a finite number')
    return Item(name, data["code"], id=identity)


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser accepts, but which are not JSON and could not be written again."""
    raise ValueError(f"JSON has no {name}")
