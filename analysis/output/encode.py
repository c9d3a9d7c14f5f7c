"""Text encoders, one per output format: untrusted text is written without becoming part of the format's syntax.

Threat model. Names, thoughts, messages and code are untrusted: they may contain control characters, NUL, lone surrogates,
bidirectional overrides, quotes, markup, formulas, backslashes. Covered: the syntax of JSON (also inside a <script>), XML
1.0, DOT, CSV as spreadsheets read it, matplotlib's labels, and one line of plain text. HTML is escaped by jinja2's autoescape, in
`report`. Not covered: the JSON and Parquet exports hold names exactly, so a program that reads them must encode them again.

All encoders use `sandbox.verdicts.visible`, which writes invisible characters as escapes, so that names that look equal are equal.
"""

import json
import re
from typing import Any

from sandbox.verdicts.visible import visible

__all__ = ["block", "csv_text", "dot_text", "json_text", "label_text", "one_line", "visible", "xml_text"]

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
"""The start of a cell that a spreadsheet reads as a formula, also in the full-width forms that some locales accept."""


def one_line(text: str, width: int = 80) -> str:
    """`text` for a log, a terminal or a table cell: one line, visible, at most `width` characters."""
    flat = visible(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def block(text: str, length: int = 20_000) -> str:
    """`text` of several lines, visible, line breaks and tabs kept, at most `length` characters."""
    shown = visible(text.replace("\r\n", "\n"), keep="\n\t")
    return shown if len(shown) <= length else shown[:length] + "\n…"


def json_text(data: Any) -> str:
    """JSON in ASCII without control characters, also safe inside HTML. Strings stay exact. ValueError for non-finite numbers."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, indent=1)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\x7f", "\\u007f")


def xml_text(text: str) -> str:
    """Text that XML 1.0 allows. The XML writer escapes markup characters."""
    return visible(text, keep="\n\t")


def dot_text(text: str) -> str:
    """A quoted DOT string; backslashes are doubled, so that no `\\N` or `\\G` is expanded."""
    return '"' + visible(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def csv_text(text: str) -> str:
    """A cell that no spreadsheet reads as a formula: text that looks like one gets an apostrophe in front."""
    shown = visible(text, keep="\n")
    return "'" + shown if _FORMULA.match(shown) else shown


def label_text(text: str, width: int = 28) -> str:
    """A short label for a picture: one visible line. Draw it with `parse_math=False`, otherwise `$` starts a formula."""
    return one_line(text, width)
