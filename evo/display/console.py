"""The console for the progress view: rich's control codes pass through, and control characters in text become visible escapes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import rich.console
from rich.segment import Segment
from rich.style import Style

from sandbox.verdicts.terminal import unguarded, written_in
from sandbox.verdicts.visible import visible


class Console(rich.console.Console):
    """A rich console that bypasses the guard on standard output, since it moves the cursor, and escapes each text itself."""

    def __init__(self) -> None:
        super().__init__(file=unguarded(sys.stdout))

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of the renderable. Control segments are unchanged; text has no links, and its characters are visible and
        exist in the console's encoding."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = written_in(self.encoding, visible(segment.text, keep="\n"))
                yield Segment(text, _without_link(segment.style))


def _without_link(style: Style | None) -> Style | None:
    return style.update_link(None) if style is not None and style.link else style
