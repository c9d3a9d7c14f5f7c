"""Campaigns in this process that take tenths of a second: a real archive, sandbox and worker, a task that trains nothing, and a
proposer that reads its replies from a list."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from archive.query import Reader
from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.campaign.loop import Campaign
from evo.config.schema import Config, parse_config
from evo.proposing.llm.client import AttemptObserver, Reply
from evo.proposing.request import Request
from evo.search.population import Population
from evo.search.selection.select import SELECTION, SELECTION_VERSION
from fitness.chat.endpoint import Endpoint
from fitness.task import task_info
from fitness.workers.pool import WorkerPool
from sandbox.vetting.pool import VetPool

TASK = '''
"""A task whose fitness depends on loss, rung and seed only. Trainings wait while there is a file `hold` in the folder."""
import time, zlib
from pathlib import Path
from fitness.task import EvaluationFailed, Rung, SeedResult, TaskInfo, TaskOptions

class Options(TaskOptions):
    folder: str
    contract: str = "preference"

def info(options):
    rungs = {"short": Rung("short", 1, 0.01), "full": Rung("full", 2, 0.02), "held_out": Rung("held_out", 2, 0.02, held_out=True)}
    beta = 0.1 if options.contract == "preference" else None
    return TaskInfo("instant", options.contract, "a number", rungs, lambda: {"task": "instant"}, beta=beta)

def make(options):
    return Instant(options)

class Instant:
    name, metric, notes, judged, paid = "instant", "a number", (), None, None

    def __init__(self, options):
        self.folder, self.contract, self.rungs = Path(options.folder), options.contract, info(options).rungs

    def prepare(self):
        if (self.folder / "broken").exists():
            raise EvaluationFailed("bad_data", "there is no such data set")

    def score_seed(self, graph, rung, seed, *, beta=None, learning_rate=None):
        while (self.folder / "hold").exists():
            (self.folder / "holding").touch()
            time.sleep(0.01)
        if "exp" in graph.to_json() and (self.folder / "diverges").exists():
            raise EvaluationFailed("diverged", "the loss became infinite")
        number = zlib.crc32(f"{graph.to_json()} {rung} {seed} {beta}".encode())
        return SeedResult(0.5 + number % 1000 / 10000, {}, seed=seed)
'''


@dataclass
class Scripted:
    """A proposer in place of a language model: replies by step, and the requests that were made."""

    replies: Mapping[int, str]
    otherwise: Callable[[int], str]
    hold: asyncio.Event | None = None
    """If given, replies wait until this event is set."""
    asked: list[Request] = field(default_factory=list)
    name: str = "openai"
    endpoint: Endpoint | None = None

    def template(self, operator: str) -> str:
        return "scripted"

    def worst_case(self, request: Request) -> tuple[int, float]:
        return 100, 0.0

    async def ask(self, request: Request, observer: AttemptObserver, first_attempt: int) -> Reply:
        observer.started(first_attempt, "scripted", ())
        self.asked.append(request)
        if self.hold is not None:
            await self.hold.wait()
        text = self.replies[request.step] if request.step in self.replies else self.otherwise(request.step)
        return Reply(text, "scripted", 30, 20, None, 0.1, attempt=first_attempt)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def steps(self) -> list[int]:
        """The requested steps, in order."""
        return [request.step for request in self.asked]


def install(site: Path, patch: pytest.MonkeyPatch) -> None:
    """Installs the task `instant` as a distribution in the folder `site`, for this process and its workers."""
    (site / "instant-1.0.dist-info").mkdir(parents=True)
    (site / "instant_task.py").write_text(TASK)
    (site / "instant-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: instant\nVersion: 1.0\n")
    (site / "instant-1.0.dist-info" / "entry_points.txt").write_text("[evopo.tasks]\ninstant = instant_task\n")
    patch.syspath_prepend(site)
    patch.setenv("PYTHONPATH", str(site))


@dataclass
class InstantRun:
    """A run in a folder, session by session. Its workers and sandbox are shared between runs."""

    folder: Path
    vetter: VetPool
    workers: WorkerPool
    options: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def archive(self) -> Path:
        return self.folder / "archive.db"

    def config(self, **changes: Any) -> Config:
        small = {
            "task": "instant", "workers": 1, "proposer": "openai", "seeds": ["dpo"], "fitness": self.options,
            "ladder": {"finalists": 0, "contenders": 0}, "search": {"in_flight": 1},
        }  # fmt: skip
        return parse_config({**small, **self.settings, **changes})

    async def session(
        self, proposer: Scripted, *, until: tuple[EventKind, int] | None = None,
        begun: Callable[[Campaign], None] = lambda campaign: None, **changes: Any,
    ) -> str:  # fmt: skip
        """Runs one session to its end. Returns the reason of its end.

        `until=(kind, n)`: nothing can be recorded after the archive's n-th event of this kind.
        """
        config = self.config(**changes)
        info = task_info(config.task, config.fitness)
        row = RunRow(config.name, config.seed, config.task, info.contract, baseline="dpo")
        self.folder.mkdir(exist_ok=True)
        there = self.archive.exists()
        with (
            Archive.open(self.archive) if there else Archive.create(self.archive, row) as archive,
            Reader.open(self.archive) as reader,
        ):
            archive.recover()
            archive.event(
                EventKind.SESSION_STARTED,
                {"config": config.model_dump(mode="json"), "fitness": info.described(), SELECTION: SELECTION_VERSION},
            )
            population = Population(config, info, 1)
            campaign = Campaign(config, archive, reader, population, {"openai": proposer}, self.vetter, self.workers)
            begun(campaign)
            if until is None:
                return await campaign.run()
            kind, most = until
            self._sql(
                "CREATE TRIGGER full BEFORE INSERT ON event "
                f"WHEN (SELECT count(*) FROM event WHERE kind = '{kind}') >= {most} "
                "BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
            try:
                return await campaign.run()
            finally:
                self._sql("DROP TRIGGER full")

    def _sql(self, statement: str) -> None:
        with closing(sqlite3.connect(self.archive)) as database:
            database.execute(statement)
            database.commit()
