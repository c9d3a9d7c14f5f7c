"""Which free worker serves which request. A worker keeps the data of the seeds that it has trained on, so that making them again is
avoided where that delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fitness.workers.process import TaskWorker


class FreeWorkers:
    """Hands out workers to requests, and requests to workers that become free. No worker is idle while a request waits.

    A request gets a free worker that had its seed. A worker that becomes free gets the first waiting request whose seed no other
    worker had, else the first. A worker whose process was replaced counts as having its seeds still; that costs time only.
    """

    def __init__(self, workers: Iterable[TaskWorker] = ()) -> None:
        self._free = list(workers)
        self._waiting: list[tuple[int | None, asyncio.Future[TaskWorker]]] = []
        self._had: dict[TaskWorker, set[int | None]] = {worker: set() for worker in self._free}

    def __len__(self) -> int:
        """Number of workers that serve no request."""
        return len(self._free)

    async def take(self, seed: int | None = None) -> TaskWorker:
        """A worker for a request with this seed, at once or as soon as it has its turn; without a seed any worker."""
        if self._free:
            worker = max(self._free, key=lambda worker: seed in self._had[worker])
            self._free.remove(worker)
        else:
            turn: asyncio.Future[TaskWorker] = asyncio.get_running_loop().create_future()
            self._waiting.append((seed, turn))
            try:
                worker = await turn
            except asyncio.CancelledError:
                if turn.cancelled():
                    self._waiting.remove((seed, turn))
                else:  # the worker was assigned in the same moment
                    self.give_back(turn.result())
                raise
        self._had[worker].add(seed)
        return worker

    def give_back(self, worker: TaskWorker) -> None:
        """The worker serves its request no longer."""
        waiting = [(seed, turn) for seed, turn in self._waiting if not turn.done()]
        if not waiting:
            self._free.append(worker)
            return
        elsewhere = set().union(*(had for other, had in self._had.items() if other is not worker))
        chosen = next((each for each in waiting if each[0] not in elsewhere), waiting[0])
        self._waiting.remove(chosen)
        self._had[worker].add(
            chosen[0]
        )  # now, and not when the request goes on: the next worker may become free before
        chosen[1].set_result(worker)
