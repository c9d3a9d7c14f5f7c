"""Fixtures: a small archive, and short methods to add rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive


class Writer:
    """An archive with short forms of common calls."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    def seed(self, name: str = "dpo") -> int:
        """An accepted seed."""
        candidate = self.archive.add_candidate("seed", name, "", f"def {name}(): ...", "preference")
        self.archive.record_verdict(candidate, {"status": "accepted", "graph": {"nodes": []}, "hash": name})
        return candidate

    def request(self, step: int, attempt: int = 0, operator: str = "refine") -> int:
        """A requested proposal without a reply."""
        return self.archive.request_proposal(
            step, attempt, operator, "llm", "model-a", 0.7, "template", {"parents": [1]}, self.archive.last_event()
        )

    def child(self, step: int, *parents: int, role: str = "refined", operator: str = "refine") -> int:
        """A candidate made of a received reply."""
        proposal = self.request(step, operator=operator)
        self.archive.receive_proposal(proposal, f"reply {step}", 100, 50, 0.01, 2.0)
        return self.archive.add_candidate(
            "proposal",
            f"loss{step}",
            "a thought",
            "source",
            "preference",
            proposal,
            [(parent, role) for parent in parents],
        )

    def score(self, candidate: int, fitness: float, seed: int = 0, rung: str = "full", **more: Any) -> int:
        """A finished evaluation."""
        evaluation = self.archive.queue_evaluation(candidate, "sentiment", rung, seed, more.pop("beta", None))
        self.archive.start_evaluation(evaluation)
        self.archive.score_evaluation(evaluation, fitness, more.pop("metrics", {"kl": 1.5}), seconds=2.0, tokens=100)
        return evaluation


@pytest.fixture
def run() -> RunRow:
    return RunRow(
        name="demo",
        seed=3,
        task="sentiment",
        contract="preference",
        identity={"task": "sentiment"},
        config={"workers": 2},
        version="0.1.0",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.db"


@pytest.fixture
def archive(path: Path, run: RunRow) -> Iterator[Archive]:
    with Archive.create(path, run) as archive:
        yield archive


@pytest.fixture
def write(archive: Archive) -> Writer:
    return Writer(archive)


@pytest.fixture
def reader(archive: Archive) -> Iterator[Reader]:
    with Reader.open(archive.path) as reader:
        yield reader
