"""What a person sees while a campaign runs, and what its log keeps: a view that ticks, lines in a file or a pipe.

Nothing here is called by the campaign: `watching` looks at it, and at the events of its archive, from second to second. Text
that a model wrote is one visible line before it is shown, and is never read as markup.
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
"""Seconds between two plain lines; a new phase brings one at once."""
TICK = 1.0
"""Seconds between two looks, at least."""
SHARE = 0.05
"""Part of the campaign's time that looking may take at most: it grows with the number of candidates."""

logger = logging.getLogger("evo")


@asynccontextmanager
async def watching(campaign: Campaign, console: Console) -> AsyncIterator[None]:
    """Shows how the campaign goes while the block runs, and logs each of its events; the display is gone when it ends."""
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
    for event in watch.news():
        if text := line(event, watch.campaign.reader):
            logger.info("%s", text)


@contextmanager
def _display(console: Console) -> Iterator[Callable[[Watch], None]]:
    # FORCE_COLOR makes rich take a file for a terminal.
    if console.is_interactive and not console.is_dumb_terminal and console.file.isatty():
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
            guard()  # the view has put streams of its own in the place of standard output and error, and restores them

            def show(watch: Watch) -> None:
                live.update(screen.view(watch, console.width, console.height, console.encoding), refresh=True)

            yield show
    else:
        yield _Lines(console)


class _Lines:
    """Prints a line whenever a phase begins, and between from time to time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._last = 0.0

    def __call__(self, watch: Watch) -> None:
        phase, now = watch.campaign.phase, time.monotonic()
        if phase != self._phase or now - self._last >= PLAIN_EVERY:
            self._phase, self._last = phase, now
            self._console.print(screen.plain(watch), highlight=False, markup=False, emoji=False, soft_wrap=True)
