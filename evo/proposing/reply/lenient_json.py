"""Parser for nearly valid JSON of language models. It accepts a text only if it has one possible meaning.

Covered: trailing commas, comments, single-quoted and triple-quoted strings, backticks, a code fence as a value, escapes that JSON
does not know (LaTeX in a thought), raw line breaks and quotation marks in strings where what follows tells that the string goes on,
keys without quotation marks, a line's end in place of a comma, Python's True, False and None, and an object that ends after its
last value. Linear in the text.
"""

from __future__ import annotations

import itertools
import re

_COMMENT = r"(?://|\#)[^\n]{0,300}+|/\*[^*]{0,300}+\*/"
"""Bounded, since one may seem to begin after every quotation mark."""
_GAP = re.compile(rf"(?:\s+|{_COMMENT}|,)*+")
"""What stands between two members; a comma too many means nothing."""
_BETWEEN = rf"(?:\s+|{_COMMENT}){{0,16}}+"
"""Bounded too: it is looked for behind every quotation mark and every brace."""
_BLANK = re.compile(_BETWEEN)
_KEY = re.compile(r"[A-Za-z_]\w{0,39}(?=\s*:)")
START = re.compile(rf"""\{{(?={_BETWEEN}(?:["'`]|{_KEY.pattern}))""")
"""Where an object may begin."""
_NEXT_LINE = re.compile(r"""[ \t]*\n\s*(["'])\w{1,40}\1\s*:""")
"""The next member, where a comma is missing."""
MOST_MARKS = 5000
"""Quotation marks of a string, or brackets of what is passed over, before it is given up."""
_QUOTES = ('"""', "'''", "```", '"', "'", "`")
_ATOM = re.compile(r"[\w.+-]+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_MEANT = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    '"': '"',
    "'": "'",
    "`": "`",
    "\\": "\\",
    "/": "/",
    "b": "",
    "f": "",
    "\n": "",
}
_NESTED = re.compile(r"""[\[\]{}]|"(?:\\.|[^"\\])*+"?|'(?:\\.|[^'\\])*+'?""", re.DOTALL)

Value = str | list[str] | None


class _Unreadable(Exception):
    """The text means nothing here, or more than one thing."""


class _Ended(Exception):
    """The text ends where a value was begun."""


def read_object(text: str, start: int) -> dict[str, Value] | None:
    """The object that begins with the brace at `start`, as far as its values are text or lists of text; None for others.

    One that is cut off counts with the members that are complete.
    """
    members: dict[str, Value] = {}
    position = start + 1
    try:
        while True:
            position = _skip(text, position)
            if position >= len(text) or text[position] == "}":
                return members
            bare = _KEY.match(text, position)
            key, position = (bare[0], bare.end()) if bare else _string(text, position, ":")
            members[key], position = _value(text, _skip(text, _skip(text, position) + 1), ",}")
    except _Unreadable:
        return None
    except _Ended:
        return members


def unescape(text: str) -> str:
    """`text` with the escapes of a string resolved; those that mean nothing are kept as they are."""

    def meant(escape: re.Match[str]) -> str:
        code = escape[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _MEANT.get(code, escape[0])

    return _ESCAPE.sub(meant, text)


def _skip(text: str, position: int) -> int:
    found = _GAP.match(text, position)
    return found.end() if found else position


def _value(text: str, position: int, after: str) -> tuple[Value, int]:
    if position >= len(text):
        raise _Ended
    if text.startswith(_QUOTES, position):
        return _string(text, position, after)
    if text[position] == "[" and "}" in after:
        return _list(text, position + 1)
    if text[position] in "[{":
        return None, _after_nested(text, position)
    atom = _ATOM.match(text, position)
    if atom is None:
        raise _Unreadable
    return None, atom.end()


def _list(text: str, position: int) -> tuple[Value, int]:
    """A list of strings; anything else in it is left out."""
    items: list[str] = []
    while True:
        position = _skip(text, position)
        if position >= len(text):
            raise _Ended
        if text[position] == "]":
            return items, position + 1
        value, position = _value(text, position, ",]")
        items += [value] if isinstance(value, str) else []


def _string(text: str, position: int, after: str) -> tuple[str, int]:
    """The string that begins here. A quotation mark that is followed by none of `after` is part of it."""
    quote = next((q for q in _QUOTES if text.startswith(q, position)), None)
    if quote is None:
        raise _Unreadable
    begin = position + len(quote)
    end = begin - 1
    for _ in range(MOST_MARKS):
        end = text.find(quote, end + 1)
        if end < 0:
            raise _Ended
        if not _is_escaped(text, begin, end) and (len(quote) == 3 or _is_followed(text, end + 1, after)):
            break
    else:
        raise _Unreadable
    body = text[begin:end]
    if quote == "```":
        return body.partition("\n")[2], end + 3  # without the language
    return unescape(body), end + len(quote)


def _is_followed(text: str, position: int, after: str) -> bool:
    blank = _BLANK.match(text, position)
    end = blank.end() if blank else position
    if end >= len(text) or text[end] in after:
        return True
    return "}" in after and _NEXT_LINE.match(text, position) is not None


def _is_escaped(text: str, begin: int, at: int) -> bool:
    slashes = 0
    while at - slashes > begin and text[at - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _after_nested(text: str, position: int) -> int:
    depth = 0
    for mark in itertools.islice(_NESTED.finditer(text, position), MOST_MARKS):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.end()
    raise _Ended
