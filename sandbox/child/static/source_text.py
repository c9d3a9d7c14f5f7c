"""Checks of the source as text, before parsing: size, control and invisible characters, encoding, nesting, long literals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from sandbox.child.allowlist import limits
from sandbox.child.protocol import Refusal, SourceSpan

_NEWLINE = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that reorder text or have no width, so that the displayed source differs from the actual one."""
_ENCODING = re.compile(r"(?:[ \t\f]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))?[ \t\f]*#[^\r\n]*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)")
"""A declaration of the encoding (PEP 263): a comment in the first line, or in the second after a comment or an empty line."""
_SAME_AS_UTF_8 = re.compile(r"utf-8(?:-.*)?|utf8|(?:us-)?ascii", re.IGNORECASE)
_NUMBER = re.compile(rf"[0-9][0-9a-zA-Z_.]{{{limits.MAX_NUMBER_CHARACTERS},}}")
_NON_ASCII = re.compile(r"[^\x00-\x7f]")


_FENCE = re.compile(r"[ \t]*(```|~~~)[ \t]*(?:python3?|py)?[ \t]*", re.IGNORECASE)


def without_fences(source: str) -> str:
    """The code of a reply in Markdown with one fenced block, with every other line empty; any other source as it is."""
    lines = split_lines(source)
    fences = [i for i, line in enumerate(lines) if line.lstrip().startswith(("```", "~~~"))]
    if len(fences) != 2 or not all(_FENCE.fullmatch(lines[i]) for i in fences):
        return source
    first, last = fences
    return "\n".join(line if first < i < last else "" for i, line in enumerate(lines))


def split_lines(source: str) -> list[str]:
    """The lines as Python's parser counts them: form feeds and Unicode line separators do not end a line."""
    return _NEWLINE.split(source)


def check_text(source: str) -> None:
    """Raises Refusal for text that must not reach the parser."""
    if not source.strip():
        raise Refusal("SBX109", span=SourceSpan(1, 0, 1, 0))
    lines = split_lines(source)
    if len(lines) > limits.MAX_LINES:
        raise Refusal("SBX102", (len(lines), limits.MAX_LINES), SourceSpan(limits.MAX_LINES, 0, limits.MAX_LINES, 0))
    for pattern, code in ((_CONTROL, "SBX103"), (_INVISIBLE, "SBX104"), (_NUMBER, "SBX108")):
        if found := pattern.search(source):
            raise Refusal(code, span=span_at(source, found.start(), found.end()))
    declared = _ENCODING.match(source)
    if declared and not _SAME_AS_UTF_8.fullmatch(declared[1].replace("_", "-")):
        raise Refusal("SBX142", span=span_at(source, declared.start(1), declared.end(1)))
    _check_brackets(source)


def _check_brackets(source: str) -> None:
    depth = 0
    for found in re.finditer(r"[()\[\]{}]", source):
        depth = depth + 1 if found.group() in "([{" else max(depth - 1, 0)
        if depth > limits.MAX_BRACKETS:
            raise Refusal("SBX107", (depth, limits.MAX_BRACKETS), span_at(source, found.start(), found.end()))


def check_letters(source: str, nodes: Iterable[ast.AST]) -> None:
    """Raises Refusal for a non-ASCII character outside strings and comments.

    Python normalises such letters in names (NFKC), some of them to ASCII, so a name may differ from what is displayed.
    """
    if source.isascii():
        return
    lines = [line.encode() for line in split_lines(source)]
    for span in _strings(nodes):
        for number in range(span.line, span.end_line + 1):
            line = lines[number - 1]
            start = span.column if number == span.line else 0
            end = span.end_column if number == span.end_line else len(line)
            lines[number - 1] = line[:start] + b" " * (end - start) + line[end:]
    for number, line in enumerate(lines, 1):
        code = line.split(b"#")[0].decode("utf-8", "replace")
        if found := _NON_ASCII.search(code):
            column = len(code[: found.start()].encode())
            raise Refusal("SBX105", span=SourceSpan(number, column, number, column + len(found.group().encode())))


def _strings(nodes: Iterable[ast.AST]) -> Iterator[SourceSpan]:
    for node in nodes:
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)):
            yield SourceSpan.of(node)


def span_at(source: str, start: int, end: int) -> SourceSpan:
    """The source range of the characters from `start` to `end`."""
    before = split_lines(source[:start])
    line, column = len(before), len(before[-1].encode())
    return SourceSpan(line, column, line, column + len(source[start:end].encode()))
