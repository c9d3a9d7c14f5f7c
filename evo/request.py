"""What one proposal is asked for: the operator, the parents, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archive.records import EvaluationRow, FindingRow
from fitness.score import Score
from sandbox.graph import LossGraph


@dataclass(frozen=True, slots=True)
class Parent:
    """A loss that a proposal starts from. `graph` is None for a refused one that never had a valid graph."""

    id: int
    role: str
    name: str
    thought: str
    source: str
    graph: LossGraph | None
    score: tuple[str, Score] | None
    """Rung and score at the dearest search rung that it reached."""
    advantage: tuple[float, int] | None
    """Mean difference to the yardstick over common seeds, and how many seeds."""
    descriptors: Mapping[str, Any]
    findings: tuple[FindingRow, ...]
    failures: tuple[EvaluationRow, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier reply of the growing chat and what came of it: a fitness, or how it failed."""

    reply: str
    fitness: float | None
    failure: str


@dataclass(frozen=True, slots=True)
class Request:
    """A step's request, before it is put into a prompt or a genetic operator. Equal requests give equal prompts."""

    step: int
    seed: int
    task: str
    contract: str
    metric: str
    noise: float | None
    """Standard deviation of one loss's fitness from seed to seed, where it is known."""
    operator: str
    template: str
    """The operator, or `chat` in the paper's mode."""
    island: int
    temperature: float
    parents: tuple[Parent, ...]
    landmarks: tuple[Parent, ...]
    """The baselines, to be named with their scores."""
    turns: tuple[Turn, ...]
    wanted: Mapping[str, str]
    """For explore: descriptors that no measured loss has together; a region of the grid to aim at."""
    seen_event: int

    @property
    def references(self) -> dict[str, Any]:
        """What the archive keeps of it: enough, with the template and the archive itself, to make the prompt again."""
        return {"island": self.island, "parents": [{"id": p.id, "role": p.role} for p in self.parents]}
