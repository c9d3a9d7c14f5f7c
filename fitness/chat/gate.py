"""Limit on concurrent requests to an endpoint, lowered when the endpoint turns out to be overloaded.

A server that processes few requests at a time queues the others. The queued ones then time out, although each alone would be
answered in time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Passage:
    """One request in flight. `together` is the largest number of requests in flight at once during it, itself included."""

    together: int = 1


class Gate:
    """Admits requests from threads or from an event loop, up to `limit` in flight at once; None: no limit is known yet."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._under_way: set[Passage] = set()
        self._waiting: list[Callable[[], object]] = []

    @contextmanager
    def passage_of_thread(self) -> Iterator[Passage]:
        """Block this thread until the request is admitted; it counts as in flight while the block runs."""
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
        """The same for an event loop, without blocking it."""
        turn, loop = asyncio.Event(), asyncio.get_running_loop()
        while (mine := self._entered(lambda: loop.call_soon_threadsafe(turn.set))) is None:
            await turn.wait()
            turn.clear()
        try:
            yield mine
        finally:
            self._leave(mine)

    def narrow(self, passage: Passage) -> bool:
        """Lower the limit to half of the requests that were too many, at least 1. False if the limit is that low already."""
        with self._lock:
            half = max(1, passage.together // 2)
            if passage.together == 1 or (self.limit is not None and self.limit <= half):
                return False
            self.limit = half
            return True

    def _entered(self, wake: Callable[[], object]) -> Passage | None:
        """A passage, or None if the limit is reached; then `wake` is called when a request leaves."""
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
