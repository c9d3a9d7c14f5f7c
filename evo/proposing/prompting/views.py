"""What a prompt is rendered from, as plain data. Texts of a model in it are untrusted; `encoders` makes them harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from archive.records import FindingRow
from evo.proposing.reply.reply import ParsedReply
from sandbox.contracts.contract import Contract

NOISE_LIMIT = 2.0
"""Standard errors below which a difference counts as noise."""


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """Paired difference of a loss's fitness to the baseline's, on the seeds that both were trained with."""

    baseline: str
    mean: float
    standard_error: float | None
    seeds: int

    @property
    def verdict(self) -> str:
        """Whether the difference is within the noise, in words."""
        if self.standard_error is None:
            return "its error is unknown"
        if abs(self.mean) <= NOISE_LIMIT * self.standard_error:
            return "within the noise"
        return "better" if self.mean > 0 else "worse"


@dataclass(frozen=True, slots=True)
class LandmarkView:
    """Another loss by its score alone. `pooled`: the error is that of other losses' seeds."""

    name: str
    fitness: float | None
    standard_error: float | None = None
    seeds: int = 0
    pooled: bool = False
    difference: DifferenceView | None = None


@dataclass(frozen=True, slots=True)
class ParentView:
    """A loss as a template sees it. `code` is printed from the graph, except for a refused loss, which may have none.

    `fitness` is None where there is no score; `failure` then says what went wrong in training, if anything did.
    """

    code: str
    name: str
    thought: str = ""
    fitness: float | None = None
    standard_error: float | None = None
    seeds: int = 0
    pooled: bool = False
    difference: DifferenceView | None = None
    metrics: Mapping[str, float] = field(default_factory=_nothing)
    descriptors: Mapping[str, Any] = field(default_factory=_nothing)
    findings: Sequence[FindingRow] = ()
    failure: str = ""
    shows_score: bool = True
    """False where scores are left out on purpose."""


@dataclass(frozen=True, slots=True)
class TriedView:
    """An earlier proposal in one line: what it was, and its outcome. `formula` is printed from a graph, or empty."""

    name: str
    formula: str = ""
    outcome: str = ""
    difference: DifferenceView | None = None


@dataclass(frozen=True, slots=True)
class TaskView:
    """What the losses are scored on: its name, its metric in words, and facts of a training by name."""

    name: str
    metric: str
    facts: Mapping[str, str] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class MeasuredView:
    """What the run has measured about its task. `noise`: standard deviation of a loss's fitness from seed to seed."""

    noise: float | None = None
    baseline: str = ""
    scaled_margin: float | None = None
    """Mean of beta * rho on unseen pairs at the end of the baseline's trainings."""


UNMEASURED = MeasuredView()


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One earlier proposal in chat mode and its outcome: a fitness or a failure."""

    reply: ParsedReply | str
    fitness: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Switches:
    """The parts of a prompt that can be left out, for ablations."""

    thoughts: bool = True
    scores: bool = True
    feedback: bool = True


EVERYTHING = Switches()


@dataclass(frozen=True, slots=True)
class Briefing:
    """All data that a prompt is rendered from."""

    contract: Contract
    task: TaskView
    parents: Sequence[ParentView] = ()
    landmarks: Sequence[LandmarkView] = ()
    measured: MeasuredView = UNMEASURED
    best: Sequence[TriedView] = ()
    """The run's best losses, best first."""
    where: Sequence[str] = ()
    """Definitions of the names in the formulas of `best` and `tried`."""
    tried: Sequence[TriedView] = ()
    """What was made from the parents already, or for explore the latest explorations; most informative first."""
    nearby: Sequence[TriedView] = ()
    """Further losses in the same cell of the grid as the first parent."""
    wanted: Sequence[str] = ()
    """For explore: properties that no measured loss has together, each in words."""
    summary: str = ""
    """What a language model wrote of the earlier results; untrusted."""
    turns: Sequence[ChatTurn] = ()
    """For the chat: all earlier turns, oldest first."""
    example: str = ""
    """Code of a known loss, to show the form of a reply."""
    switches: Switches = EVERYTHING
    left_out: Sequence[str] = ()
    """What was left out because the prompt was too long, in words."""
