"""Signals that end a session: like Ctrl-C, also before and after the loop; an ignored one stays ignored."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from evo.session.signals import ENDING, ended_by_signals, interruptible


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of this process, restored after each test."""
    before = {ending: signal.getsignal(ending) for ending in ENDING}
    yield
    for ending, handler in before.items():
        signal.signal(ending, handler)


def ended(ending: signal.Signals, cleared: list[bool]) -> None:
    async def work() -> str:
        os.kill(os.getpid(), ending)
        try:
            await asyncio.sleep(60)
        finally:
            cleared.append(True)
        return "not reached"

    asyncio.run(interruptible(work()))


@pytest.mark.parametrize("ending", ENDING)
def test_a_signal_ends_the_loop_as_ctrl_c_does_after_it_has_cleared_up(ending: signal.Signals) -> None:
    cleared: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        ended(ending, cleared)
    assert cleared


@pytest.mark.parametrize("ending", ENDING)
def test_a_signal_before_or_after_the_loop_ends_the_session_too(ending: signal.Signals) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        asyncio.run(interruptible(asyncio.sleep(0, "the loop has ended")))
        os.kill(os.getpid(), ending)
        time.sleep(0.1)
        reached.append(True)
    assert not reached
    assert signal.getsignal(ending) is signal.SIG_DFL


def test_nohup_keeps_a_session_running() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        return "the reason"

    with ended_by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        assert asyncio.run(interruptible(work())) == "the reason"
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_session_in_another_thread_leaves_the_handlers_alone() -> None:
    seen = []

    def session() -> None:
        with ended_by_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=session)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_session_that_somebody_else_cancels_is_cancelled_and_one_that_ends_gives_its_reason() -> None:
    async def cancelled() -> str:
        session = asyncio.ensure_future(interruptible(asyncio.sleep(60, "late")))
        await asyncio.sleep(0)
        session.cancel()
        return await session

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert asyncio.run(interruptible(asyncio.sleep(0, "the reason"))) == "the reason"
