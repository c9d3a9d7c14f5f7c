"""Split of a Markdown text into fenced blocks of code and the prose around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARK = r"(?P<mark>`{3,}|~{3,})"
_FENCE = re.compile(rf"^(?P<margin>[ \t>]{{0,24}}){_MARK}(?P<info>[^`]*)$")
_AFTER_WORDS = re.compile(r"^(?=\s*[^`\s])[^`]+(?P<mark>`{3,})[A-Za-z0-9+]{0,20}\s*$")
"""A fence at the end of a line of prose."""
_QUOTED = re.compile(r"^[ \t]{0,3}> ?", re.MULTILINE)
_DEEPER = 3
"""Maximum extra indentation of a closing fence relative to its opening one, in characters."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's text without its fences. `closed`: whether it has a closing fence."""

    text: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Document:
    """The fenced blocks of a text in order, and the prose around them."""

    prose: str
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, text: str) -> Document:
        """Split `text`. A fence ends at a line that consists of at least as many of the same mark; without such a line, at the
        first such mark after code or before prose.
        """
        prose: list[str] = []
        blocks: list[Block] = []
        for part in _parts(text):
            if isinstance(part, str):
                prose.append(part)
            else:
                blocks.append(part)
        return cls("\n".join(prose), tuple(blocks))


def _parts(text: str) -> Iterator[str | Block]:
    """The lines of prose and the blocks, in order."""
    fence, margin, lines = "", "", list[str]()
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence and mark and _closes(mark, fence, margin):
            yield Block(_body(lines, margin), closed=True)
            fence = ""
        elif fence:
            lines.append(line)
        elif mark or (mark := _AFTER_WORDS.match(line)):
            fence, margin, lines = mark["mark"], mark.groupdict().get("margin") or "", []
            if before := line[: mark.start("mark")].strip("> \t"):
                yield before
        else:
            yield line
    if not fence:
        return
    body, mark_found, rest = "\n".join(lines).partition(fence)
    yield Block(_body(body.split("\n"), margin), closed=bool(mark_found))
    yield from rest.split("\n") if rest.strip() else ()


def _closes(mark: re.Match[str], fence: str, margin: str) -> bool:
    same = mark["mark"].startswith(fence) and not mark["info"].strip()
    return same and len(mark["margin"]) <= len(margin) + _DEEPER and mark["margin"].count(">") == margin.count(">")


def _body(lines: list[str], margin: str) -> str:
    body = "\n".join(lines)
    return _QUOTED.sub("", body) if ">" in margin else body
