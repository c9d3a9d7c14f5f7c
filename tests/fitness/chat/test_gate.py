"""The gate limits concurrent requests, from threads and from an event loop."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fitness.chat.gate import Gate, Passage


class Counted:
    """The most that were within at one time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.now -= 1


def from_threads(gate: Gate) -> int:
    counted, two = Counted(), threading.Barrier(2)

    def request(_: int) -> None:
        with gate.passage_of_thread(), counted:
            two.wait(60.0)  # two are within together, however late a thread begins
            time.sleep(0.01)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(request, range(12)))
    return counted.most


def from_a_loop(gate: Gate) -> int:
    counted = Counted()

    async def request() -> None:
        async with gate.passage():
            with counted:
                await asyncio.sleep(0.01)

    async def all_of_them() -> None:
        await asyncio.gather(*(request() for _ in range(12)))

    asyncio.run(all_of_them())
    return counted.most


@pytest.mark.parametrize("most", [from_threads, from_a_loop])
def test_the_limit_holds_and_all_requests_are_admitted(most):
    assert most(Gate(2)) == 2


def test_all_pass_at_once_before_a_limit_is_known():
    assert from_a_loop(Gate()) == 12


def test_only_the_first_of_concurrent_timeouts_halves_the_limit():
    gate = Gate()
    assert gate.narrow(Passage(together=8)) and gate.limit == 4
    assert not gate.narrow(Passage(together=8)) and gate.limit == 4
    assert gate.narrow(Passage(together=3)) and gate.limit == 1
    assert not gate.narrow(Passage(together=1)) and gate.limit == 1


def test_a_cancelled_waiter_does_not_block_others():
    gate = Gate(1)

    async def run() -> None:
        async with asyncio.timeout(30.0):
            async with gate.passage():
                waiting = [asyncio.create_task(gate.passage().__aenter__()) for _ in range(2)]
                await asyncio.sleep(0)
                waiting[0].cancel()
            assert (await waiting[1]).together == 1

    asyncio.run(run())
