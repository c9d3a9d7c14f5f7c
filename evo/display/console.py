"""The console that a campaign draws its view on: control codes of its own, and text in which none is left."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import rich.console
from rich.segment import Segment
from rich.style import Style

from sandbox.verdicts.terminal import unguarded, written_in
from sandbox.verdicts.visible import visible


class Console(rich.console.Console):
    """Writes past the encoder of standard output, since it moves the cursor, and encodes each piece of text itself."""

    def __init__(self) -> None:
        super().__init__(file=unguarded(sys.stdout))

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The renderable's pieces: those that control the terminal as they are, text without links in visible characters that its
        encoding has."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = written_in(self.encoding, visible(segment.text, keep="\n"))
                yield Segment(text, _without_link(segment.style))


def _without_link(style: Style | None) -> Style | None:
    return style.update_link(None) if style is not None and style.link else style
