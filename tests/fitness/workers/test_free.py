"""A worker gets requests of seeds that it had; nobody waits while a worker is free, and no turn is lost by a cancellation."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from fitness.workers.free import FreeWorkers


def run(wanted: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(wanted, 20))


def test_a_free_worker_that_had_the_seed_is_taken_first():
    async def story():
        free = FreeWorkers("ab")
        first, second = await free.take(1), await free.take(2)
        free.give_back(first)
        free.give_back(second)
        return first, second, await free.take(2), await free.take(2)

    first, second, again, other = run(story())
    assert {first, second} == {"a", "b"}
    assert (again, other) == (second, first), "the request with a worker's seed, then any worker rather than none"


def test_a_worker_prefers_waiting_requests_whose_seed_no_other_worker_had():
    async def story():
        free, served = FreeWorkers("ab"), []
        first, second = await free.take(1), await free.take(2)

        async def one(seed):
            served.append((await free.take(seed), seed))

        tasks = [asyncio.create_task(one(seed)) for seed in (2, 2, 1, 3, 3)]
        for worker in (first, first, second, second, second):
            await asyncio.sleep(0)
            free.give_back(worker)
        await asyncio.gather(*tasks)
        return served, first, second

    served, first, second = run(story())
    kept = [(first, 1), (first, 3), (second, 2), (second, 2)]
    assert served == [*kept, (second, 3)], (
        "its own seed, a new seed, the other's two; last what is left, though it is the first's"
    )


@pytest.mark.parametrize("order", range(5))
def test_of_many_requests_each_seed_is_served_by_one_worker_until_the_end(order):
    """24 requests for each of 12 seeds wait, as in a final. Two workers share only the first seed and those of the end."""

    async def story():
        free, shares = FreeWorkers("ab"), {}

        async def one(seed):
            worker = await free.take(seed)
            shares.setdefault(seed, set()).add(worker)
            await asyncio.sleep(draw.random() / 1000)
            free.give_back(worker)

        draw = Random(order)
        await asyncio.gather(*(one(seed) for seed in range(12) for _ in range(24)))
        return shares, len(free)

    shares, left = run(story())
    assert left == 2
    assert sum(map(len, shares.values())) <= 15


def test_a_request_that_is_cancelled_loses_no_worker():
    async def story():
        free = FreeWorkers("a")
        worker = await free.take(0)
        before, with_it, after = (asyncio.create_task(free.take(seed)) for seed in (1, 2, 3))
        await asyncio.sleep(0)
        before.cancel()
        await asyncio.sleep(0)
        free.give_back(worker)  # the second's turn ...
        with_it.cancel()  # ... is cancelled before it runs
        await asyncio.sleep(0)
        assert await after == "a"
        free.give_back(worker)
        return len(free), before.cancelled(), with_it.cancelled()

    assert run(story()) == (1, True, True)


def test_requests_of_one_seed_are_served_in_their_order():
    async def story():
        free, order = FreeWorkers("a"), []

        async def one(number):
            worker = await free.take(0)
            order.append(number)
            await asyncio.sleep(0)
            free.give_back(worker)

        await asyncio.gather(*map(one, range(20)))
        return order

    assert all(a < b for a, b in pairwise(run(story())))
