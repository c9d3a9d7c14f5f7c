"""The answer of the jailed child: rule codes, source locations, a few bounded numbers, and for a few rules a short ASCII text.

The child is not trusted (see `sandbox.vetting.zygote`), so its answer has one small form, and every field is checked when it is
decoded. The text (the message of Python's parser, names of parameters) reveals no more than an excerpt of the source does.
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
"""Characters of a violation's text: room for four names of 64 characters and their separators."""
MAX_VIOLATIONS = 16


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A range of the source. Lines count from 1, columns are UTF-8 bytes from 0, as in `ast`."""

    line: int
    column: int
    end_line: int
    end_column: int

    @classmethod
    def of(cls, node: ast.AST) -> SourceSpan:
        """The range of a syntax node."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        return cls(
            line, column, getattr(node, "end_lineno", None) or line, getattr(node, "end_col_offset", None) or column
        )


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that applies to the source: the reason for a refusal, or a note.

    `call` is the index in `calls.CALLS` of the call that does not accept its arguments, or None.
    """

    code: str
    span: SourceSpan | None = None
    numbers: tuple[int, ...] = ()
    call: int | None = None
    text: str = ""


class Refusal(BaseException):
    """Raised anywhere in the child to refuse the candidate. Not an Exception, so that no handler catches it by accident."""

    def __init__(
        self,
        code: str,
        numbers: Sequence[int] = (),
        span: SourceSpan | None = None,
        call: int | None = None,
        text: str = "",
    ) -> None:
        super().__init__(code)
        self.violation = Violation(code, span, tuple(numbers), call, text)


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer: violations, or a graph as JSON text with notes on what was rewritten in the source.

    `at` is where tracing ended. For a partial graph it is the location of the last node, which does not type-check; the parent
    determines the reason itself. `entry` is the location of the entry function's name.
    """

    violations: tuple[Violation, ...] = ()
    graph: str | None = None
    at: SourceSpan | None = None
    entry: SourceSpan | None = None
    notes: tuple[Violation, ...] = ()

    def encode(self) -> bytes:
        """The answer as bytes for the pipe."""
        data = {
            "violations": list(map(_plain, self.violations)),
            "graph": self.graph,
            "at": _span(self.at),
            "entry": _span(self.entry),
            "notes": list(map(_plain, self.notes)),
        }
        return json.dumps(data, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Answer:
        """The answer in `raw`, every field checked. Raises ValueError, and nothing else, for bytes of any content."""
        if len(raw) > MAX_ANSWER_BYTES:
            raise ValueError("the answer is too long")
        try:
            data = json.loads(raw)
        except RecursionError:
            raise ValueError("the answer is nested too deep") from None
        if not isinstance(data, dict) or data.keys() != {"violations", "graph", "at", "entry", "notes"}:
            raise ValueError("the answer has an unknown form")
        violations, graph, notes = data["violations"], data["graph"], data["notes"]
        for listed in (violations, notes):
            if not isinstance(listed, list) or len(listed) > MAX_VIOLATIONS:
                raise ValueError("the answer has an unknown form")
        if not (graph is None or isinstance(graph, str)):
            raise ValueError("the answer has an unknown form")
        if bool(violations) == (graph is not None) or (violations and notes):
            raise ValueError("the answer must hold violations, or a graph and notes")
        places = _read_span(data["at"]), _read_span(data["entry"])
        return cls(tuple(map(_read_violation, violations)), graph, *places, tuple(map(_read_violation, notes)))


def _plain(c: Violation) -> list[Any]:
    return [c.code, _span(c.span), list(c.numbers), c.call, encoded(c.text)]


def encoded(text: str) -> str:
    """Text in the form that the pipe allows: printable ASCII, cut to MAX_TEXT characters."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text[: MAX_TEXT + 1])
    return plain if len(plain) <= MAX_TEXT else plain[: MAX_TEXT - 3] + "..."


def _span(span: SourceSpan | None) -> list[int] | None:
    return None if span is None else [span.line, span.column, span.end_line, span.end_column]


def _read_span(data: Any) -> SourceSpan | None:
    if data is None:
        return None
    if not isinstance(data, list) or len(data) != 4 or not all(_small(v) and v >= 0 for v in data):
        raise ValueError("a source location has an unknown form")
    return SourceSpan(*data)


def _read_violation(data: Any) -> Violation:
    if not isinstance(data, list) or len(data) != 5:
        raise ValueError("a violation has an unknown form")
    code, span, numbers, call, text = data
    if not isinstance(code, str) or len(code) != 6:
        raise ValueError("a violation has an unknown code")
    if not isinstance(numbers, list) or len(numbers) > MAX_NUMBERS or not all(map(_small, numbers)):
        raise ValueError("a violation has unknown numbers")
    if call is not None and not (_small(call) and call >= 0):
        raise ValueError("a violation names an unknown call")
    if not isinstance(text, str) or len(text) > MAX_TEXT or not (text.isascii() and text.isprintable()):
        raise ValueError("a violation has an unknown text")
    return Violation(code, _read_span(span), tuple(numbers), call, text)


def _small(value: Any) -> bool:
    return type(value) is int and abs(value) <= MAX_NUMBER
