"""Encoders of untrusted text: names, thoughts, code. They keep it within its quotation or fence, on its line, and short."""

from __future__ import annotations

import json
import re

from evo.proposing.bare_source import bare
from fitness.chat.text import printable

MAX_CODE_SHOWN = 6000
"""Maximum characters of a parent's code in a prompt; a graph of 400 operations prints to more."""


def line(text: str, limit: int = 300) -> str:
    """One printable line of at most `limit` characters."""
    words = " ".join(printable(text[: 4 * limit], keep="\n\r\t").split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def quoted(text: str, limit: int = 300) -> str:
    """One line as a JSON string."""
    return json.dumps(line(text, limit), ensure_ascii=False)


def json_text(text: str) -> str:
    """A text of any length as a JSON string, with its line breaks as escapes."""
    return json.dumps(printable(text, keep="\n\t"), ensure_ascii=False)


def fenced(code: str) -> str:
    """A code block whose fence is longer than any run of backticks in the code, so that the code cannot end it."""
    shown = printable(code, keep="\n\t").strip("\n")
    if len(shown) > MAX_CODE_SHOWN:
        shown = shown[:MAX_CODE_SHOWN] + "\n# (the rest is left out)"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}python\n{shown}\n{fence}"


def numbered(code: str) -> str:
    """Refused source with the line numbers that findings refer to, without comments and texts (`bare`)."""
    lines = bare(printable(code, keep="\n\t").rstrip("\n")).split("\n")
    return "\n".join(f"{number:3d} | {text}" for number, text in enumerate(lines, 1))
