"""Restoration of line breaks that a model lost when it wrote code into a JSON string, if there is only one way to do it.

The rules work on text only: the code is not parsed, and the sandbox decides whether it is Python. Two operands in a row,
`x = a - b return x`, cannot be one statement, so a line ended between them. The indentation of the next line is known if its spaces
are still there, or if the text is the body of one function without inner blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from evo.proposing.reply.lenient_json import unescape

LONGEST = 8000
"""Characters of code on one line."""
_TOKEN = re.compile(
    r"""[ \t]+|\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\])*+"?|'(?:\\.|[^'\\])*+'?|[^\W\d]\w*|\d[\w.]*|\#|."""
)
_STRING = re.compile(r""""(?:\\.|[^"\\])*+"|'(?:\\.|[^'\\])*+'""")
_BLOCKS = frozenset({"def", "class", "if", "elif", "else", "for", "while", "with", "try", "except", "finally"})
"""Words that begin a statement with a block."""
_WITHIN = frozenset({"and", "or", "not", "in", "is", "as"})
"""Words between two operands."""
_EITHER = frozenset({"if", "else", "for"})
"""Words that begin a statement or stand within one."""
_OUTER = frozenset({"def", "class", "import", "from"})
_WITH_OPERAND = frozenset(
    {"return", "import", "from", "assert", "raise", "del", "lambda", "yield", "await", "global", "nonlocal"}
)


def restored(code: str) -> str | None:
    """`code` with line breaks restored; None if none were lost or if there is more than one way."""
    text = code.strip()
    if "\n" in text or len(text) > LONGEST:
        return None
    bare = _STRING.sub("", text).partition("#")[0]
    # Outside a string it is no Python: every escape is there twice.
    if r"\n" in bare or (r"\n" in text and "def " not in bare):
        return unescape(text)
    return _Lines().read(text)


@dataclass
class _Lines:
    """Splits code on one line into lines, token by token."""

    lines: list[str] = field(default_factory=list)
    columns: list[int] = field(default_factory=lambda: [0])
    """Columns of the open blocks."""
    unit: int = 0
    """Spaces before the first line of the body; 1 where the indentation was lost too."""
    statement: str = ""
    first: str = ""
    """The first word of the statement."""
    depth: int = 0
    before: str = ""
    """The token before: operand, header (the colon that begins a block), comment, or another."""
    cuts: int = 0
    """Number of places with two operands in a row."""

    def read(self, text: str) -> str | None:
        position, gap = 0, 0
        while token := _TOKEN.match(text, position):
            position = token.end()
            if token[0].isspace():
                gap = len(token[0])
                continue
            if token[0] == "#":
                position = self._comment(text, token.start())
                token_text = text[token.start() : position].rstrip()
            else:
                token_text = token[0]
            if not token_text or not self._take(token_text, gap):
                return None
            gap = 0
        self.lines.append(self.statement)
        return "\n".join(self.lines) + "\n" if self.cuts else None

    def _comment(self, text: str, start: int) -> int:
        """End of a comment: before the next line's indentation. Without indentation the end is unknown."""
        if self.unit == 1 or (self.before != "header" and not self.unit):
            return start
        unit = self.unit or 2
        found = re.compile(f" {{{unit},}}").search(text, start)
        return found.start() if found else len(text)

    def _take(self, token: str, gap: int) -> bool:
        """Process a token. Returns False if the text is ambiguous."""
        if self._is_unclear(token, gap):
            return False
        if self._begins(token, gap):
            if not self._open_line(token, gap):
                return False
        else:
            self.statement += " " * gap + token
        self.first = self.first or token
        self.depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token, 0)
        header = token == ":" and self.depth == 0 and self.first in _BLOCKS
        operand = token[0].isalnum() or token[0] in "_\"')]}"
        word = token in _WITHIN | _WITH_OPERAND | _BLOCKS
        self.before = (
            "header" if header else "comment" if token[0] == "#" else "operand" if operand and not word else "other"
        )
        return True

    def _is_unclear(self, token: str, gap: int) -> bool:
        """Whether a token may belong to this line or to the next: a continuation, a decorator, a block without indentation, or a
        comment that may contain the rest of the text.
        """
        if self.depth:
            return False
        if self.before == "operand" and gap and token[0] in "\"'([{-+~*":
            return token[0] in "\"'" or (self.unit > 1 and gap in self.columns)
        if token[0] == "#":
            return not self.cuts and self.before != "header" and bool(self.unit)
        inner = token == ":" and self.first not in _BLOCKS and "lambda" not in self.statement
        return token in ("\\", "@") or (inner and not self.statement.strip().isidentifier())

    def _begins(self, token: str, gap: int) -> bool:
        """Whether a statement begins with this token."""
        if self.before in ("header", "comment"):
            return True
        if self.depth or not gap or self.before != "operand" or not (token[0].isalpha() or token[0] in "_\"'#"):
            return False
        if token[0] == "#":
            return self.unit > 1 and gap in self.columns
        if token in _WITHIN or (token == "import" and self.first == "from") or token[0] in "\"'":
            return False
        return token not in _EITHER or (self.unit > 1 and gap in self.columns)

    def _open_line(self, token: str, gap: int) -> bool:
        self.cuts += self.before == "operand"
        self.lines.append(self.statement)
        if not self.unit and self.before == "operand":  # before the function
            column = 0
            if token not in _OUTER:
                return False
        elif self.unit == 1 or (not self.unit and gap == 1):
            if self.unit and (self.before == "header" or self.first == "return"):
                return False  # a block within the body, or something after it: where it ends is lost
            self.unit, column = 1, 4
            if gap != 1:
                return False
        elif self.before == "header":
            self.unit, column = self.unit or gap, gap
            if column <= self.columns[-1]:
                return False
            self.columns.append(column)
        else:
            column = gap
            if column not in self.columns[1:]:
                return False
            del self.columns[self.columns.index(column) + 1 :]
        self.statement, self.first = " " * column + token, ""
        return True
