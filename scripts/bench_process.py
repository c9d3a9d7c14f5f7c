"""A process tree, watched: what a running program has done, and the processor time and memory that it took."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil

POLL = 0.2
"""Seconds between two looks at a running program."""


@dataclass(frozen=True)
class Sample:
    """A moment of a running program: what it has done, and what it has cost."""

    at: float
    done: int
    cpu: float
    """Processor seconds of all processes so far."""
    largest: float
    """Resident memory of the largest process, MB."""


class Tree:
    """Processor time of a process and of all processes below it, those included that have ended and were waited for."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._cpu = 0.0

    def sample(self, done: int) -> Sample:
        largest, cpu = 0.0, 0.0
        with suppress(psutil.Error):
            for process in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.Error):
                    cpu += sum(process.cpu_times()[:4])  # user, system, and both of its ended children
                    largest = max(largest, process.memory_info().rss / 2**20)
        self._cpu = max(self._cpu, cpu)  # less if a process ended between the looks at its parent and at itself
        return Sample(time.monotonic(), done, self._cpu, largest)


def watched(process: subprocess.Popen[Any], done: Callable[[], int], ended: Callable[[], bool]) -> list[Sample]:
    """Samples until the program ends or `ended`."""
    tree, samples = Tree(process.pid), []
    while process.poll() is None and not ended():
        samples.append(tree.sample(done()))
        time.sleep(POLL)
    return samples


def between(samples: Sequence[Sample], done: float) -> float:
    """Processor time when `done` was reached, interpolated."""
    for before, after in pairwise(samples):
        if before.done <= done < after.done or (after is samples[-1] and after.done <= done):
            share = min(1.0, (done - before.done) / max(1, after.done - before.done))
            return before.cpu + share * (after.cpu - before.cpu)
    return samples[0].cpu
