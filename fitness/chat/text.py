"""Sanitising of untrusted text for display."""

import contextlib
import json
import re
import unicodedata

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # window titles, links, clipboard
    r"|\x1b[ -/]*[0-~]"
)
_PLAIN, _PLAIN_LINES = re.compile(r"[ -~]*"), re.compile(r"[ -~\n]*")
"""Text without a character to remove, as nearly all text is: recognised without a look at each character."""
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, keep: str = "\n") -> str:
    """`text` without ANSI sequences and without control, format (bidirectional, zero-width), surrogate and unassigned characters.

    The characters in `keep` stay.
    """
    plain = _ANSI.sub("", text)
    if (_PLAIN_LINES if "\n" in keep else _PLAIN).fullmatch(plain):
        return plain
    return "".join(c for c in plain if c in keep or unicodedata.category(c) not in _UNPRINTABLE)


def unquoted(text: str) -> str:
    """The content of a text that is one JSON string; any other text unchanged."""
    if text.startswith('"'):
        with contextlib.suppress(ValueError):
            return str(json.loads(text, strict=False)).strip()
    return text
