"""How many requests an endpoint is asked at once, from threads.

A server with few slots lets the others wait, and those run into their time limit though each alone would be in time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Slot:
    """A request under way."""

    at_once: int
    """How many might be in flight when it left."""
    shared: bool
    """Whether another one was in flight at any time beside it."""


class Slots:
    """At most `at_once` requests in flight; fewer after timeouts of requests that shared the server."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._taken: set[Slot] = set()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self) -> Iterator[Slot]:
        """A slot, once one is free."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._taken) < self.at_once)
            slot = Slot(self.at_once, shared=bool(self._taken))
            for other in self._taken:
                other.shared = True
            self._taken.add(slot)
        try:
            yield slot
        finally:
            with self._changed:
                self._taken.discard(slot)
                self._changed.notify_all()

    def timed_out(self, slot: Slot) -> tuple[bool, int | None]:
        """Whether the request may have timed out only because others were in flight, and the new limit where there is one.

        Of several timeouts under the same limit only the first halves it.
        """
        with self._changed:
            if not slot.shared:
                return False, None
            if slot.at_once > self.at_once or self.at_once == 1:
                return slot.at_once > 1, None
            self.at_once = max(1, self.at_once // 2)
            return True, self.at_once
