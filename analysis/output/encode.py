"""One encoder per sink: how text that a model wrote gets into a file without becoming part of its syntax.

Threat model. Names, thoughts, messages and code are hostile: they may hold control characters, NUL, lone surrogates,
bidirectional overrides, quotes, markup, formulas, backslashes. Covered: the syntax of JSON (also inside a <script>), XML
1.0, DOT, CSV as spreadsheets read it, matplotlib's labels, and one line of plain text. HTML is jinja2's autoescape, in
`report`. Not covered: a reader of the JSON or Parquet exports, which hold names exactly, must encode them again.

`sandbox.verdicts.visible` is the common ground: what cannot be seen is written as its escape, so that two names that
look alike are alike.
"""

import json
import re
from typing import Any

from sandbox.verdicts.visible import visible

__all__ = ["block", "csv_text", "dot_text", "json_text", "label_text", "one_line", "visible", "xml_text"]

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
"""What a spreadsheet takes for a formula, also in the full-width forms that some locales accept."""


def one_line(text: str, width: int = 80) -> str:
    """`text` for a log, a terminal or a table cell: one line, visible, at most `width` characters."""
    flat = visible(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def block(text: str, length: int = 20_000) -> str:
    """`text` of several lines, visible, line breaks and tabs kept, at most `length` characters."""
    shown = visible(text.replace("\r\n", "\n"), keep="\n\t")
    return shown if len(shown) <= length else shown[:length] + "\n…"


def json_text(data: Any) -> str:
    """JSON in ASCII, without control characters, safe inside HTML too. Strings stay exact. ValueError for non-finite numbers."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, indent=1)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\x7f", "\\u007f")


def xml_text(text: str) -> str:
    """Text that XML 1.0 can hold; the markup characters are left to the XML writer."""
    return visible(text, keep="\n\t")


def dot_text(text: str) -> str:
    """A quoted DOT string; backslashes are doubled, so that no `\\N` or `\\G` is expanded."""
    return '"' + visible(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def csv_text(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: one apostrophe goes before what looks like one."""
    shown = visible(text, keep="\n")
    return "'" + shown if _FORMULA.match(shown) else shown


def label_text(text: str, width: int = 28) -> str:
    """A short label for a picture: one visible line. To be drawn with `parse_math=False`, or `$` would start a formula."""
    return one_line(text, width)
