"""Source as models write it into a reply, as the source that they mean: without what a page of text has around it.

By rules of the text alone: nothing is parsed, and whether the result is Python is the sandbox's to say. Every pass is linear.
"""

from __future__ import annotations

import re
import textwrap

_LANGUAGE = re.compile(r"\A\s*(?:python3?|py)[ \t]*\n", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([_*])")
"""As Markdown escapes them; no Python outside a string."""
_TICKED = re.compile(r"\A\s*`(?!`)([^`]*)`\s*\Z")
_LATEX = re.compile(r"\r(?=[a-z])")
"""What became of \\rho."""
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000"), " ")
_PROMPT = re.compile(r"^(?:>>>|\.\.\.)(?: |$)", re.MULTILINE)
_HUNK = re.compile(r"(?:--- |\+\+\+ |@@ |diff |index |\\ )")
_WORDS = "async|def|class|import|from|if|elif|else|for|while|with|try|except|finally|return|assert|del"
_CODE = re.compile(rf"""[@#)\]}}"']|(?:{_WORDS})\b|[A-Za-z_][\w.]*(?:\s*[=(\[]|\s+[+\-*/|&%]=)""")
"""How a line begins that is no prose."""


def tidied(code: str) -> str:
    """`code` at the margin, without marks of a diff, of a prompt or of Markdown, and with plain blanks."""
    if "\n" in code:
        code = _LATEX.sub(r"\\r", code.replace("\r\n", "\n"))
    code = code.replace("\r", "\n").translate(_BLANKS)
    code = _LANGUAGE.sub("", code)
    code = _TICKED.sub(r"\1", code)
    return textwrap.dedent(_without_marks(_ESCAPED.sub(r"\1", code)))


def _without_marks(code: str) -> str:
    """What a diff makes of a file, or what was typed at Python's prompt, where every line has such a mark."""
    lines = [line for line in code.split("\n") if line.strip()]
    if lines and all(line.startswith((">>>", "...")) for line in lines):
        return _PROMPT.sub("", code)
    if any(line.startswith("+") for line in lines) and all(line[0] in "+- " or _HUNK.match(line) for line in lines):
        kept = [line for line in lines if not _HUNK.match(line) and line[0] != "-"]
        return "\n".join(line[1:] for line in kept) + "\n"
    return code


def without_prose_below(code: str) -> str:
    """`code` up to the line at its margin that reads as prose."""
    lines = code.split("\n")
    for number, line in enumerate(lines):
        if number and line[:1].strip() and not _CODE.match(line):
            return "\n".join(lines[:number])
    return code
