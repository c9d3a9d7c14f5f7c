"""Task protocol: the parts that a task provides, and the types that evopo reads from it.

A task is a class, a module or any other object with these parts (`fitness.task.record` checks them):

    Options              a subclass of TaskOptions: frozen, unknown keys are errors
    info(options)        returns a TaskInfo; must not need torch
    make(options)        returns a Task; torch may be imported here or, better, in its `prepare`. A class does not need it:
                         it is called with the options, and its instances are the tasks
    check(options)       optional: raises TaskError before a run starts if something is missing, such as a file; one line
                         per fault, beginning with the option's key
    check_online(options)  optional: the same for checks that need the network
    begins               optional: values of options that a new run gets if its configuration does not name them. The option's own
                         default then holds for runs that were recorded before the option existed
    show_data(options, say, shown, whole)  optional: prints through `say` how the user's data is read, and `shown` items of it
                         (the command `evopo data`); raises EvaluationFailed if `prepare` would

How evopo finds it: docs/extending.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from fitness.chat.costs import Service, Usage
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
"""Section of the configuration that holds a task's options: the first part of each option's full key."""


class TaskError(ValueError):
    """The task does not exist, or its options are not valid."""


class TaskOptions(BaseModel):
    """Base class of every task's options: immutable, numbers finite, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Rung:
    """One level of fidelity of a task: the length of the training and the kind of evaluation."""

    name: str
    steps: int  # optimiser steps
    estimated_seconds: float  # per seed, on one slow core or the task's usual device; for budgets and time limits
    held_out: bool = False  # evaluated on items, or by an evaluator, that the search never used: for the final
    note: str = ""
    metric: str = ""  # description of the fitness at this rung, if it differs from the search's


@dataclass(frozen=True)
class TaskInfo:
    """Description of a configured task, available without heavy imports."""

    name: str  # the name that users write; evopo sets it, whatever the task returned
    contract: str  # name of the sandbox contract that its losses follow
    metric: str  # description of the fitness
    rungs: Mapping[str, Rung]  # in order of cost, held-out ones last
    identified: Callable[[], Mapping[str, Any]] = dict  # computes `identity`; reads local models and data
    preparation_seconds: float = 600.0  # the longest time to load model and data, downloads included
    seed_seconds: float = (
        0.0  # how much longer the first training with a seed takes in a worker, like `estimated_seconds`
    )
    offline: bool = True  # nothing is downloaded, so workers may run without access to the hub
    beta: float | None = None  # default beta of a training; None: the contract has no beta
    learning_rate: float | None = None  # default learning rate of a training; None: it cannot be overridden
    shown: Mapping[str, str] = field(default_factory=dict)  # metrics shown next to the fitness, and their headings
    deviation: float | None = (
        None  # standard deviation over seeds of the difference of two good losses in the final; None: not measured
    )
    services: tuple[Service, ...] = ()  # endpoints that score a training
    items_error: float | None = None  # standard error of that difference from the test items that all seeds share
    counted: Callable[[], int | None] = lambda: None  # computes `judged`; reads local data
    opening: str = ""  # one line that a run shows as it begins: what is special about the task as it is configured
    facts: Mapping[str, str] = field(
        default_factory=dict
    )  # facts of a training for prompts: model, data, optimiser, ...
    origin: str = ""  # of a plugin: its package and entry point, or its file; set by evopo
    version: str = ""  # of a plugin: its package's version, or the digest of its file; set by evopo, to detect changes

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that determines the fitness: resolved options, and digests of local models and data.

        Only commands that train read it. Commands that only display a run, which may come from someone else, must not: it opens
        the files that the run's configuration names.
        """
        return self.identified()

    @property
    def judged(self) -> int | None:
        """The largest number of item groups (for example prompts) in the final's evaluation; None if unknown."""
        return self.counted()

    @property
    def search_rungs(self) -> tuple[Rung, ...]:
        """Rungs that the search uses, cheapest first."""
        return tuple(rung for rung in self.rungs.values() if not rung.held_out)

    def judging(self, rung: str) -> Usage:
        """Largest possible usage of the endpoints that score one training at this rung."""
        return sum((service.worst_case for service in self.services if rung in service.rungs), Usage())

    def described(self) -> dict[str, Any]:
        """Plain data for the record of a run: descriptions of the fitness by rung, and the metrics to show."""
        words = {name: rung.metric or self.metric for name, rung in self.rungs.items()}
        plugin = {"origin": self.origin, "version": self.version} if self.origin else {}
        return {"metric": words, "shown": dict(self.shown), **plugin}

    def rung(self, name: str) -> Rung:
        """The rung with this name. Raises TaskError that lists the known rungs."""
        if name not in self.rungs:
            raise TaskError(
                f"task {self.name!r} has no rung {name!r}; it has: {', '.join(self.rungs)}{did_you_mean(name, self.rungs)}"
            )
        return self.rungs[name]


class Task(Protocol):
    """Scores verified graphs. Not thread-safe: one task per worker process.

    A task that trains on preference pairs may have a method `pair_margins` with the arguments of `score_seed`: it trains in the
    same way, and returns the margins rho of the training pairs under the trained policy, in nats (`evopo landscape --pairs`).

    A task that trains a language model may have a method `save_policy(graph, rung, seed, path, *, beta, learning_rate)`: it trains
    in the same way, and saves the policy and its tokenizer to the folder `path`, which does not exist yet, as Hugging Face's
    `save_pretrained` does; an adapter is merged. Without a graph (None) it saves the untrained policy (`evopo evaluate`).

    After `prepare` it may have two optional attributes: `notes`, sentences for the user, for example on rows left out of the
    data; and `judged`, the number of item groups in the final's evaluation.
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
        """Train once with the graph and measure. `beta` and `learning_rate` override the options. Raises EvaluationFailed."""
