"""What the jailed child says: rule codes, places in the source, a few bounded numbers, and for a few rules one short ASCII text.

The child is not believed (see `zygote`), so its answer has one small form, checked field by field on the way in. The text (what
Python's parser said, names of parameters) tells no more than an excerpt of the source does.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_ANSWER_BYTES = 160_000
MAX_NUMBERS = 4
MAX_NUMBER = 10**9
MAX_TEXT = 280
"""Characters of a complaint's text: four names of 64 and what stands between them."""
MAX_COMPLAINTS = 16


@dataclass(frozen=True, slots=True)
class Spot:
    """A stretch of the source: lines count from 1, columns are UTF-8 bytes from 0, as in `ast`."""

    line: int
    column: int
    end_line: int
    end_column: int

    @classmethod
    def of(cls, node: ast.AST) -> Spot:
        """Where a syntax node lies."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        return cls(
            line, column, getattr(node, "end_lineno", None) or line, getattr(node, "end_col_offset", None) or column
        )


@dataclass(frozen=True, slots=True)
class Complaint:
    """One refusal, or one note. `call` is the place in `exposed.CALLS` of the call whose arguments did not fit, or None."""

    code: str
    spot: Spot | None = None
    numbers: tuple[int, ...] = ()
    call: int | None = None
    text: str = ""


class Refusal(BaseException):
    """Raised anywhere in the child to refuse the candidate. Not an Exception, so nothing catches it by accident."""

    def __init__(
        self, code: str, numbers: Sequence[int] = (), spot: Spot | None = None, call: int | None = None, text: str = ""
    ) -> None:
        super().__init__(code)
        self.complaint = Complaint(code, spot, tuple(numbers), call, text)


@dataclass(frozen=True, slots=True)
class Answer:
    """All that the child says: complaints, or a graph as JSON text with notes on what was taken off the source.

    A graph that comes with `at` is one that broke off there: its last node does not type-check, and the parent finds out
    for itself why. `entry` is where the entry function's name stands in the source.
    """

    complaints: tuple[Complaint, ...] = ()
    graph: str | None = None
    at: Spot | None = None
    entry: Spot | None = None
    notes: tuple[Complaint, ...] = ()

    def encode(self) -> bytes:
        """The answer as it crosses the pipe."""
        data = {
            "complaints": list(map(_plain, self.complaints)),
            "graph": self.graph,
            "at": _spot(self.at),
            "entry": _spot(self.entry),
            "notes": list(map(_plain, self.notes)),
        }
        return json.dumps(data, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Answer:
        """The answer in `raw`, every field checked. Raises ValueError, whatever the bytes."""
        if len(raw) > MAX_ANSWER_BYTES:
            raise ValueError("the answer is too long")
        try:
            data = json.loads(raw)
        except RecursionError:
            raise ValueError("the answer is nested too deep") from None
        if not isinstance(data, dict) or data.keys() != {"complaints", "graph", "at", "entry", "notes"}:
            raise ValueError("the answer has an unknown form")
        complaints, graph, notes = data["complaints"], data["graph"], data["notes"]
        for listed in (complaints, notes):
            if not isinstance(listed, list) or len(listed) > MAX_COMPLAINTS:
                raise ValueError("the answer has an unknown form")
        if not (graph is None or isinstance(graph, str)):
            raise ValueError("the answer has an unknown form")
        if bool(complaints) == (graph is not None) or (complaints and notes):
            raise ValueError("the answer must hold complaints, or a graph and notes")
        places = _read_spot(data["at"]), _read_spot(data["entry"])
        return cls(tuple(map(_complaint, complaints)), graph, *places, tuple(map(_complaint, notes)))


def _plain(c: Complaint) -> list[Any]:
    return [c.code, _spot(c.spot), list(c.numbers), c.call, encoded(c.text)]


def encoded(text: str) -> str:
    """Text as it may cross the pipe: printable ASCII, cut to MAX_TEXT characters."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text[: MAX_TEXT + 1])
    return plain if len(plain) <= MAX_TEXT else plain[: MAX_TEXT - 3] + "..."


def _spot(spot: Spot | None) -> list[int] | None:
    return None if spot is None else [spot.line, spot.column, spot.end_line, spot.end_column]


def _read_spot(data: Any) -> Spot | None:
    if data is None:
        return None
    if not isinstance(data, list) or len(data) != 4 or not all(_small(v) and v >= 0 for v in data):
        raise ValueError("a place in the source has an unknown form")
    return Spot(*data)


def _complaint(data: Any) -> Complaint:
    if not isinstance(data, list) or len(data) != 5:
        raise ValueError("a complaint has an unknown form")
    code, spot, numbers, call, text = data
    if not isinstance(code, str) or len(code) != 6:
        raise ValueError("a complaint has an unknown code")
    if not isinstance(numbers, list) or len(numbers) > MAX_NUMBERS or not all(map(_small, numbers)):
        raise ValueError("a complaint has unknown numbers")
    if call is not None and not (_small(call) and call >= 0):
        raise ValueError("a complaint names an unknown call")
    if not isinstance(text, str) or len(text) > MAX_TEXT or not (text.isascii() and text.isprintable()):
        raise ValueError("a complaint has an unknown text")
    return Complaint(code, _read_spot(spot), tuple(numbers), call, text)


def _small(value: Any) -> bool:
    return type(value) is int and abs(value) <= MAX_NUMBER
