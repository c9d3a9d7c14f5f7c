"""How many requests an endpoint is sent at once, in an event loop: all that come, until it shows that these are too many for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Passage:
    """One request on its way. `together` is the most that were under way with it at one time, itself among them."""

    together: int = 1


class Gate:
    """Requests pass through it one after another. What it has learnt holds for as long as it lives."""

    def __init__(self) -> None:
        self.limit: int | None = None
        """How many may be under way at once; None before the endpoint has shown a limit."""
        self._under_way: list[Passage] = []
        self._waiting: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[Passage]:
        """Wait for a turn, and be under way while the block runs."""
        while self.limit is not None and len(self._under_way) >= self.limit:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            finally:
                self._waiting.remove(turn)
        mine = Passage()
        self._under_way.append(mine)
        for passage in self._under_way:
            passage.together = max(passage.together, len(self._under_way))
        try:
            yield mine
        finally:
            self._under_way.remove(mine)
            for turn in self._waiting:
                if not turn.done():
                    turn.set_result(None)

    def narrow(self, passage: Passage) -> bool:
        """Let half as many through as were too many, one at least. False where so few are let through already."""
        half = max(1, passage.together // 2)
        if passage.together == 1 or (self.limit is not None and self.limit <= half):
            return False
        self.limit = half
        return True
