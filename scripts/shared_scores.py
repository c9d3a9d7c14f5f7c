"""Table of trainings that several runs share, and a pool of workers that trains only what the table lacks."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.score import EvaluationFailed, FailureReason, SeedResult
from fitness.workers.pool import WorkerPool
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.canonical import canonical_hash

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import LossGraph

LASTING = (FailureReason.DIVERGED, FailureReason.COLLAPSED, FailureReason.UNSUPPORTED_LOSS)
"""Failures that another training with the same seed would repeat."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    task TEXT NOT NULL, loss TEXT NOT NULL, rung TEXT NOT NULL, seed INTEGER NOT NULL, beta REAL NOT NULL,
    learning_rate REAL NOT NULL, fitness REAL, metrics TEXT NOT NULL, seconds REAL NOT NULL, steps INTEGER NOT NULL,
    reason TEXT, detail TEXT,
    PRIMARY KEY (task, loss, rung, seed, beta, learning_rate)
) WITHOUT ROWID
"""

OWN = -1.0
"""Beta or learning rate of a training with the task's own value: NULL would not be unique in a key."""


class ScoreTable:
    """Trainings in an SQLite file, by task identity, canonical hash of the loss, rung, seed, beta and learning rate.

    Several processes may use one file. Two losses with the same hash compute the same function.
    """

    def __init__(self, file: Path, task: str) -> None:
        self.task = task
        self.found = self.trained = 0
        self._database = sqlite3.connect(file, isolation_level=None, timeout=60.0)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_SCHEMA)

    def find(self, key: tuple[Any, ...]) -> SeedResult | EvaluationFailed | None:
        """The result of a training; None if it is not in the table."""
        row = self._database.execute(
            "SELECT fitness, metrics, seconds, steps, reason, detail FROM scores WHERE task = ? AND loss = ? AND rung = ? "
            "AND seed = ? AND beta = ? AND learning_rate = ?",
            (self.task, *key),
        ).fetchone()
        if row is None:
            return None
        self.found += 1
        fitness, metrics, seconds, steps, reason, detail = row
        if reason is not None:
            return EvaluationFailed(reason, detail)
        return SeedResult(fitness=fitness, metrics=json.loads(metrics), seconds=seconds, steps=steps, seed=key[2])

    def add(self, key: tuple[Any, ...], result: SeedResult | EvaluationFailed) -> None:
        """Store the result of a training."""
        self.trained += 1
        if isinstance(result, EvaluationFailed):
            row: tuple[object, ...] = (None, "{}", 0.0, 0, result.reason.value, result.detail)
        else:
            row = (result.fitness, json.dumps(dict(result.metrics)), result.seconds, result.steps, None, None)
        self._database.execute(f"INSERT OR IGNORE INTO scores VALUES ({', '.join('?' * 12)})", (self.task, *key, *row))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class SharingPool(WorkerPool):
    """A pool of workers that looks into a table first, and stores what it trains. Results have no items and no curves."""

    def __init__(self, table: ScoreTable, task: str, options: dict[str, Any], workers: int) -> None:
        super().__init__(task, options, workers)
        self._table = table

    async def score(
        self,
        graph: LossGraph | str,
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> SeedResult:
        """The result in the table, else that of a training. Raises EvaluationFailed."""
        verified = graph if isinstance(graph, VerifiedGraph) else VerifiedGraph.from_json(_text(graph))
        rates = (OWN if rate is None else rate for rate in (beta, learning_rate))
        key = (canonical_hash(verified), rung, seed, *rates)
        found = self._table.find(key)
        if isinstance(found, EvaluationFailed):
            raise found
        if found is not None:
            return found
        try:
            result = await super().score(verified, rung, seed, beta=beta, learning_rate=learning_rate)
        except EvaluationFailed as failure:
            if failure.reason in LASTING:
                self._table.add(key, failure)
            raise
        self._table.add(key, result)
        return result


def _text(graph: LossGraph | str) -> str:
    return graph if isinstance(graph, str) else graph.to_json()
