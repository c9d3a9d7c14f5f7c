"""Progress display and log of a running campaign: a live view on a terminal, plain lines in a file or a pipe.

The campaign does not call this module. `watching` polls the campaign and the events of its archive, about once a second. Text that
a model wrote is shown as one line with visible escapes, and is never interpreted as markup.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from rich.live import Live

from evo.campaign.loop import Campaign
from evo.display import screen
from evo.display.console import Console
from evo.display.journal import line
from evo.display.watch import Watch
from sandbox.verdicts.terminal import guard

PLAIN_EVERY = 30.0
"""Seconds between two plain lines; a new phase prints one immediately."""
TICK = 1.0
"""Minimum seconds between two polls."""
SHARE = 0.05
"""Maximum share of the campaign's time that polling may take: its cost grows with the number of candidates."""

logger = logging.getLogger("evo")


@asynccontextmanager
async def watching(campaign: Campaign, console: Console) -> AsyncIterator[None]:
    """Show the progress of the campaign and log its events while the block runs. The display is removed at the end."""
    watch = Watch(campaign)
    with _display(console) as show:
        ticking = asyncio.create_task(_tick(watch, show))
        try:
            yield
            show(watch)  # the last phase may have been shorter than a tick
        finally:
            ticking.cancel()
            with suppress(asyncio.CancelledError):
                await ticking
            _log(watch)


async def _tick(watch: Watch, show: Callable[[Watch], None]) -> None:
    while True:
        began = time.monotonic()
        _log(watch)
        show(watch)
        await asyncio.sleep(max(TICK, (time.monotonic() - began) / SHARE))


def _log(watch: Watch) -> None:
    for event in watch.new_events():
        if text := line(event, watch.campaign.reader):
            logger.info("%s", text)


@contextmanager
def _display(console: Console) -> Iterator[Callable[[Watch], None]]:
    # With FORCE_COLOR, rich treats a file as a terminal.
    if console.is_interactive and not console.is_dumb_terminal and console.file.isatty():
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
            guard()  # Live replaces standard output and error by streams of its own, and restores them at the end

            def show(watch: Watch) -> None:
                live.update(screen.view(watch, console.width, console.height, console.encoding), refresh=True)

            yield show
    else:
        yield _Lines(console)


class _Lines:
    """Prints a line when a phase begins, and then every PLAIN_EVERY seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._last = 0.0

    def __call__(self, watch: Watch) -> None:
        phase, now = watch.campaign.phase, time.monotonic()
        if phase != self._phase or now - self._last >= PLAIN_EVERY:
            self._phase, self._last = phase, now
            self._console.print(screen.plain(watch), highlight=False, markup=False, emoji=False, soft_wrap=True)
