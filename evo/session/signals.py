"""Signals that end a session like Ctrl-C: nothing is left running, and the same command continues.

SIGTERM comes from a batch system or `kill`, SIGHUP from a terminal or a connection that was closed. A signal that is ignored when
the session starts stays ignored: `nohup` asks for that.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within the block, these signals raise KeyboardInterrupt in the main thread. In other threads nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {ending: signal.signal(ending, _interrupt) for ending in _heard()}
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


async def interruptible(work: Coroutine[object, object, T]) -> T:
    """Runs `work` and cancels it at one of these signals, so that it can clear up. Raises KeyboardInterrupt after that."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    ended = False

    def end() -> None:
        nonlocal ended
        ended = True
        task.cancel()

    before = {ending: signal.getsignal(ending) for ending in _heard()}
    for ending in before:
        loop.add_signal_handler(ending, end)
    try:
        return await task
    except (asyncio.CancelledError, OSError):  # a terminal that was closed cannot be written to either
        if ended:
            raise KeyboardInterrupt from None
        raise
    finally:
        for ending, handler in before.items():
            loop.remove_signal_handler(ending)
            signal.signal(ending, handler)


def _heard() -> list[signal.Signals]:
    return [ending for ending in ENDING if signal.getsignal(ending) is not signal.SIG_IGN]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
