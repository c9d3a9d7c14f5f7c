"""Refused source as a model is shown it: the code, without what is written to be read.

Threat model. The source was written by a model, perhaps one that was told to take over the next. Comments, docstrings and longer
texts in other strings would be read as advice. Covered: these are gone, also from code that is not valid Python: it is not
parsed, let alone executed. Not covered: names, texts without a space that are no longer than an option's, and words that are no
Python.
"""

from __future__ import annotations

import re

LONGEST_OPTION = 24
"""Characters of a string that may be an option of a call, such as 'batchmean' or 'ij,ij->i'."""

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
    """`source` without comments and without strings that are statements, with `"..."` for other strings that hold a text.

    Every line keeps its number. `begins` is whether a statement may begin where the source does: not in an excerpt of a line.
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
    """Whether a statement may begin after these characters; `begins` is whether one may before them."""
    last = max(between.rfind("\n"), between.rfind(";"))
    return (begins or last >= 0) and not between[last + 1 :].strip()


def _short(string: str) -> str:
    """A string literal, or `"..."` where it holds a text."""
    content = _AROUND.sub("", string)
    return '"..."' if len(content) > LONGEST_OPTION or re.search(r"\s", content) else string
