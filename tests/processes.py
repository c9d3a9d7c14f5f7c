"""Whether processes have ended, for tests of several packages."""

from __future__ import annotations

import time

import psutil


def has_ended(pid: int, patience: float = 60.0) -> bool:
    """Waits until the process ends, at most `patience` seconds. A zombie has ended."""
    deadline = time.monotonic() + patience
    while _runs(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # at once, or between the two calls
        return False
