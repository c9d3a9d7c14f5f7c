"""What a task is: what whoever writes one offers, and what evopo reads of it.

A task is a class, a module or any other object that offers these parts (`fitness.task.record` checks them):

    Options              a subclass of TaskOptions: frozen, unknown keys fail
    info(options)        TaskInfo, readable without torch
    make(options)        a Task; torch may be imported here or, better, in its `prepare`. A class need not offer it: it is
                         called with the options, and its instances are the tasks
    check(options)       optional: raises TaskError for what is missing, such as a file, before a run is made; one line
                         per fault, beginning with the option's key
    check_online(options)  optional: likewise for what only the network can tell
    show_data(options, say, shown, whole)  optional: says what would be seen of the user's data, and `shown` items of it,
                         as `evopo data` prints; raises EvaluationFailed where `prepare` would

How evopo finds it: docs/extending.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from fitness.costs import Service, Usage
from fitness.score import EvaluationFailed, FailureReason, ItemScores, SeedResult
from fitness.task.faults import did_you_mean

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import VerifiedGraph

__all__ = [
    "EvaluationFailed",
    "FailureReason",
    "ItemScores",
    "Rung",
    "SeedResult",
    "Task",
    "TaskError",
    "TaskInfo",
    "TaskOptions",
]

OPTIONS = "fitness"
"""The section of a configuration that a task's options stand in, so the beginning of each one's full key."""


class TaskError(ValueError):
    """A task was asked for that does not exist, or with options that it does not take."""


class TaskOptions(BaseModel):
    """Base of every task's options: immutable, finite, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Rung:
    """One step of the ladder of fidelity: how long to train, and whose evaluator judges."""

    name: str
    steps: int  # optimiser steps
    estimated_seconds: float  # of one seed on one slow core or the task's usual device; for budgets and time limits
    held_out: bool = False  # judged on prompts and by an evaluator that the search never saw: for finalists
    note: str = ""
    metric: str = ""  # how the fitness is made here, in words, where it is made otherwise than in the search


@dataclass(frozen=True)
class TaskInfo:
    """What can be known of a configured task before anything heavy is imported."""

    name: str  # the name that users give; whatever the task says, evopo puts it there
    contract: str  # name of the sandbox contract that its losses follow
    metric: str  # how the fitness is made, in words
    rungs: Mapping[str, Rung]  # in order of cost, held-out ones last
    identified: Callable[[], Mapping[str, Any]] = dict  # gives `identity`; reads local models and data
    preparation_seconds: float = 600.0  # the longest that loading model and data may take, downloads included
    offline: bool = True  # nothing is downloaded, so workers may be denied the hub
    beta: float | None = None  # what losses are trained with unless told otherwise; None: the contract has no beta
    learning_rate: float | None = None  # likewise; None: the task has none that may be told otherwise
    shown: Mapping[str, str] = field(default_factory=dict)  # metrics to stand beside the fitness, and their headings
    deviation: float | None = (
        None  # over seeds, of the difference of two good losses in the final; measured, or unknown
    )
    services: tuple[Service, ...] = ()  # endpoints that are asked to score a training
    items_error: float | None = None  # of that difference, from the test items that all seeds share; a standard error
    counted: Callable[[], int | None] = lambda: None  # gives `judged`; reads local data
    origin: str = ""  # of a plugin: its package and entry point, or its file; evopo puts it there
    version: str = ""  # likewise its package's version, or the digest of its file: what a change of the task is seen by

    @property
    def identity(self) -> Mapping[str, Any]:
        """What fixes the fitness: resolved options, and the contents of local models and data. Asked for by who trains; who
        looks at a run, perhaps a stranger's, reads no file that its configuration names."""
        return self.identified()

    @property
    def judged(self) -> int | None:
        """The most groups of items (prompts, say) that finals are judged on; None where that is not known."""
        return self.counted()

    @property
    def search_rungs(self) -> tuple[Rung, ...]:
        """Rungs that the search may spend on, cheapest first."""
        return tuple(rung for rung in self.rungs.values() if not rung.held_out)

    def judging(self, rung: str) -> Usage:
        """What the endpoints that score a training at this rung may be paid for it at most."""
        return sum((service.worst_case for service in self.services if rung in service.rungs), Usage())

    def described(self) -> dict[str, Any]:
        """What the fitness is made of, as plain data for the record of a run: words by rung, and the metrics to show."""
        words = {name: rung.metric or self.metric for name, rung in self.rungs.items()}
        plugin = {"origin": self.origin, "version": self.version} if self.origin else {}
        return {"metric": words, "shown": dict(self.shown), **plugin}

    def rung(self, name: str) -> Rung:
        """The rung of that name; TaskError names the known ones."""
        if name not in self.rungs:
            raise TaskError(
                f"task {self.name!r} has no rung {name!r}; it has: {', '.join(self.rungs)}{did_you_mean(name, self.rungs)}"
            )
        return self.rungs[name]


class Task(Protocol):
    """Scores verified graphs. Not thread-safe: one task per worker process.

    It may have `notes`, sentences on what was prepared that a user should read, such as what was left out of the data, and
    `judged`, how many groups of items finals are judged on, where that is known once it is prepared.
    """

    def prepare(self) -> None:
        """Import libraries, load model and data. Called once; raises EvaluationFailed('bad_data', ...)."""

    def score_seed(
        self,
        graph: "VerifiedGraph",
        rung: str,
        seed: int,
        *,
        beta: float | None = None,
        learning_rate: float | None = None,
    ) -> SeedResult:
        """Train with the graph once and measure; `beta` and `learning_rate` override the options' own. Raises EvaluationFailed."""
