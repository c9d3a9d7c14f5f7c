"""Refused source code for a prompt: the code without comments, docstrings and other texts.

Threat model. The source was written by a model, possibly with instructions that are meant to control the next model (prompt
injection). Covered: comments, docstrings and longer texts in other strings are removed, also from code that is not valid Python.
The code is neither parsed nor executed. Not covered: names, strings without a space that are not longer than an option, and words
outside of valid Python.
"""

from __future__ import annotations

import re

LONGEST_OPTION = 24
"""Maximum characters of a string that may be an option of a call, such as 'batchmean' or 'ij,ij->i'."""

_PIECE = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<string> (?:\b[bfrtuBFRTU]{1,2})? (?:
            \"{3} (?:\\(?:.|\Z)|[^\\])*? (?:\"{3}|\Z)
          | '{3} (?:\\(?:.|\Z)|[^\\])*? (?:'{3}|\Z)
          | "(?:\\(?:.|\Z)|[^"\\\n])* (?:"|(?=\n)|\Z)
          | '(?:\\(?:.|\Z)|[^'\\\n])* (?:'|(?=\n)|\Z) ) )
      | [()\[\]{}]""",
    re.VERBOSE | re.DOTALL,
)
_ENDS = re.compile(r"[ \t]*(?:[\n;#]|\Z)")
_AROUND = re.compile(r"\A[a-zA-Z]*(\"{3}|'{3}|[\"'])|(\"{3}|'{3}|[\"'])\Z")


def bare(source: str, *, begins: bool = True) -> str:
    """`source` without comments and without strings that are statements; other strings that hold a text become `"..."`.

    Line numbers do not change. `begins`: whether a statement may begin at the start of `source`; False for an excerpt of a line.
    """
    parts: list[str] = []
    depth, end = 0, 0
    for piece in _PIECE.finditer(source):
        between, text = source[end : piece.start()], piece.group()
        end, begins = piece.end(), _begins(between, begins)
        if piece["comment"] is not None:
            text = ""
        elif piece["string"] is not None:
            shown = "" if begins and depth == 0 and _ENDS.match(source, end) else _short(text)
            text, begins = shown if shown == text else shown + "\n" * text.count("\n"), False
        else:
            depth, begins = max(0, depth + (1 if text in "([{" else -1)), False
        parts += [between, text]
    parts.append(source[end:])
    return "\n".join(line.rstrip() for line in "".join(parts).split("\n"))


def _begins(between: str, begins: bool) -> bool:
    """Whether a statement may begin after the characters `between`; `begins`: whether one may begin before them."""
    last = max(between.rfind("\n"), between.rfind(";"))
    return (begins or last >= 0) and not between[last + 1 :].strip()


def _short(string: str) -> str:
    """The string literal, or `"..."` if it holds a text."""
    content = _AROUND.sub("", string)
    return '"..."' if len(content) > LONGEST_OPTION or re.search(r"\s", content) else string
