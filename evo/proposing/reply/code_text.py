"""Cleaning of source code in a reply: removal of diff marks, prompts, Markdown and prose around the code.

The rules work on text only: the code is not parsed, and the sandbox decides whether it is Python. Every pass is linear in the text.
"""

from __future__ import annotations

import re
import textwrap

_LANGUAGE = re.compile(r"\A\s*(?:python3?|py)[ \t]*\n", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([_*])")
"""Markdown escapes, which are not Python outside a string."""
_TICKED = re.compile(r"\A\s*`(?!`)([^`]*)`\s*\Z")
_LATEX = re.compile(r"\r(?=[a-z])")
"""The carriage return that a JSON string makes of the start of \\rho."""
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000"), " ")
_PROMPT = re.compile(r"^(?:>>>|\.\.\.)(?: |$)", re.MULTILINE)
_HUNK = re.compile(r"(?:--- |\+\+\+ |@@ |diff |index |\\ )")
_WORDS = "async|def|class|import|from|if|elif|else|for|while|with|try|except|finally|return|assert|del"
_CODE = re.compile(rf"""[@#)\]}}"']|(?:{_WORDS})\b|[A-Za-z_][\w.]*(?:\s*[=(\[]|\s+[+\-*/|&%]=)""")
"""Start of a line that is code and not prose."""


def tidied(code: str) -> str:
    """`code` without common indentation, without marks of a diff, of a Python prompt or of Markdown, and with plain spaces."""
    if "\n" in code:
        code = _LATEX.sub(r"\\r", code.replace("\r\n", "\n"))
    code = code.replace("\r", "\n").translate(_BLANKS)
    code = _LANGUAGE.sub("", code)
    code = _TICKED.sub(r"\1", code)
    return textwrap.dedent(_without_marks(_ESCAPED.sub(r"\1", code)))


def _without_marks(code: str) -> str:
    """The new version of a file in a diff, or the input at a Python prompt, if every line has such a mark."""
    lines = [line for line in code.split("\n") if line.strip()]
    if lines and all(line.startswith((">>>", "...")) for line in lines):
        return _PROMPT.sub("", code)
    if any(line.startswith("+") for line in lines) and all(line[0] in "+- " or _HUNK.match(line) for line in lines):
        kept = [line for line in lines if not _HUNK.match(line) and line[0] != "-"]
        return "\n".join(line[1:] for line in kept) + "\n"
    return code


def without_prose_below(code: str) -> str:
    """`code` up to the first line without indentation that is prose."""
    lines = code.split("\n")
    for number, line in enumerate(lines):
        if number and line[:1].strip() and not _CODE.match(line):
            return "\n".join(lines[:number])
    return code
