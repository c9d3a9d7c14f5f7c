"""A task that trains nothing, for benchmarks of the engine: the score is computed from the graph's text, the rung and the seed.

    task: scripts/trivial_task.py:TrivialTask
    fitness: {seconds: 0}

A loss has a quality drawn from its graph, and each seed adds noise, so that the ladder and selection have something to decide.
"""

from __future__ import annotations

import random
import time
import zlib
from typing import TYPE_CHECKING

from fitness.task import Rung, SeedResult, TaskInfo, TaskOptions

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import VerifiedGraph

NOISE = 0.005
"""Standard deviation over seeds of a loss's score; that between losses is 0.02."""


class TrivialOptions(TaskOptions):
    """Options of the task."""

    seconds: float = 0.0
    """Time that a training sleeps."""


def info(options: TaskOptions) -> TaskInfo:
    """Two rungs of the search and one of the final."""
    assert isinstance(options, TrivialOptions)
    whole = max(options.seconds, 0.001)
    rungs = (
        Rung("short", 1, whole),
        Rung("full", 4, whole),
        Rung("held_out", 4, whole, held_out=True),
    )
    return TaskInfo(
        name="trivial",
        contract="preference",
        metric="a number computed from the graph",
        rungs={rung.name: rung for rung in rungs},
        identified=lambda: {"task": "trivial", "options": options.model_dump()},
        beta=0.1,
    )


class TrivialTask:
    """Scores at once, or after `seconds`."""

    Options = TrivialOptions
    info = staticmethod(info)

    def __init__(self, options: TrivialOptions) -> None:
        self.options = options
        self.rungs = info(options).rungs

    def prepare(self) -> None:
        """Nothing to load."""

    def score_seed(
        self,
        graph: VerifiedGraph,
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> SeedResult:
        """The score of a graph: the same for the same arguments."""
        if self.options.seconds:
            time.sleep(self.options.seconds)
        quality = random.Random(zlib.crc32(graph.to_json().encode())).gauss(0.5, 0.02)
        noise = random.Random(zlib.crc32(f"{graph.to_json()} {rung} {seed} {beta}".encode())).gauss(0.0, NOISE)
        return SeedResult(quality + noise, {}, seed=seed, seconds=self.options.seconds)
