"""How many requests an endpoint is sent at once: all that come, or so many, and fewer once it shows that these are too many for it.

A server with few slots lets the others wait, and those run into their time limit though each alone would be in time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Passage:
    """One request on its way. `together` is the most that were under way with it at one time, itself among them."""

    together: int = 1


class Gate:
    """Requests pass through it one after another, from threads or in an event loop. What it has learnt holds while it lives.

    `limit` is how many may be under way at once; None before the endpoint has shown a limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._under_way: set[Passage] = set()
        self._waiting: list[Callable[[], object]] = []

    @contextmanager
    def passage_of_thread(self) -> Iterator[Passage]:
        """Keep this thread waiting for a turn, and be under way while the block runs."""
        turn = threading.Event()
        while (mine := self._entered(turn.set)) is None:
            turn.wait()
            turn.clear()
        try:
            yield mine
        finally:
            self._leave(mine)

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[Passage]:
        """The same in an event loop, which goes on meanwhile."""
        turn, loop = asyncio.Event(), asyncio.get_running_loop()
        while (mine := self._entered(lambda: loop.call_soon_threadsafe(turn.set))) is None:
            await turn.wait()
            turn.clear()
        try:
            yield mine
        finally:
            self._leave(mine)

    def narrow(self, passage: Passage) -> bool:
        """Let half as many through as were too many, one at least. False where so few are let through already."""
        with self._lock:
            half = max(1, passage.together // 2)
            if passage.together == 1 or (self.limit is not None and self.limit <= half):
                return False
            self.limit = half
            return True

    def _entered(self, wake: Callable[[], object]) -> Passage | None:
        """A passage, or None where there is no room: then `wake` is called once there may be."""
        with self._lock:
            if self.limit is not None and len(self._under_way) >= self.limit:
                self._waiting.append(wake)
                return None
            mine = Passage()
            self._under_way.add(mine)
            for passage in self._under_way:
                passage.together = max(passage.together, len(self._under_way))
            return mine

    def _leave(self, mine: Passage) -> None:
        with self._lock:
            self._under_way.remove(mine)
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()
