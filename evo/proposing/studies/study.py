"""What a study yields, is sent and returns; the seeds and the noise rule of all studies."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis import stats
from archive.records import Operator
from evo.proposing.genetic.proposal import named, stem
from evo.search.rng import derive
from sandbox.graph.edits.edit import Edit, attempted
from sandbox.graph.loss_graph import VerifiedGraph

STUDY = "study"
"""Name of the proposer in the archive."""
VERSION = f"{STUDY}-2"
"""Increased whenever the same scores give other trials or another loss than before."""

SEEDS = 4
"""Seeds on which a decision is made. No other training of the run uses the seeds of a study."""
SURE = 1.0
"""Standard errors of a mean paired difference beyond which it counts as more than noise."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A training that a study wants: the loss with these edits, with this seed. No edits: the loss itself."""

    edits: tuple[Edit, ...]
    graph: VerifiedGraph
    seed: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a study concludes. `edits`: those of the loss that it proposes; None if it proposes none. `words` say why."""

    edits: tuple[Edit, ...] | None
    words: str


Study = Generator[list[Trial], Sequence[float | None], Conclusion]
"""Yields trials and is sent their fitness in the same order, None for a refused form and for a failed training."""


def study_seeds(seed: int) -> tuple[int, ...]:
    """The seeds of all studies of a run."""
    return tuple(derive(seed, "study", i) for i in range(64))


def form(graph: VerifiedGraph, edits: Iterable[Edit], seeds: Iterable[int]) -> list[Trial] | None:
    """The trials of a loss with edits, one per seed; None if the edits give no valid graph."""
    edits = tuple(edits)
    made = attempted(graph, edits)
    return None if made is None else [Trial(edits, made, seed) for seed in seeds]


@dataclass(frozen=True, slots=True)
class Paired:
    """Mean paired difference of a form to the loss itself over seeds, with its standard error. Units of the fitness."""

    mean: float
    error: float

    @classmethod
    def of(cls, own: Sequence[float | None], whole: Sequence[float | None]) -> Paired | None:
        """None if a training of the form failed, or fewer than two seeds are left."""
        pairs = [(a, b) for a, b in zip(own, whole, strict=True) if b is not None]
        differences = [a - b for a, b in pairs if a is not None]
        if len(differences) < max(2, len(pairs)):
            return None
        return cls(fmean(differences), stats.standard_error(differences) or 0.0)

    @property
    def gains(self) -> bool:
        """Whether the form is better by more than noise."""
        return self.mean > SURE * self.error

    @property
    def costs_nothing(self) -> bool:
        """Whether the form is not worse by more than noise."""
        return self.mean >= -SURE * self.error

    @property
    def text(self) -> str:
        """Difference and standard error."""
        return f"{self.mean:+.4g} ± {self.error:.2g}"


def answer(operator: str, name: str, graph: VerifiedGraph, concluded: Conclusion, trainings: int) -> str:
    """The reply of a study as it is recorded: `Suggestion` with its graph, or why there is none."""
    told: dict[str, object] = {"thought": concluded.words, "trainings": trainings}
    if concluded.edits is not None:
        tag = {Operator.TUNE: "optimised", Operator.SIMPLIFY: "simplified"}[Operator(operator)]
        made = attempted(graph, concluded.edits)
        assert made is not None, "its trials were made from the same edits"
        told |= {"name": named(stem(name), tag), "graph": made.to_json()}
    return json.dumps(told)
