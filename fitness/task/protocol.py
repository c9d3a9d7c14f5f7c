"""What a task is, and the registry of tasks by name.

A task lives in a module that can be imported without torch and offers three names:

    Options              a frozen pydantic model; unknown keys fail
    info(options)        TaskInfo, readable without torch
    make(options)        a Task; torch may be imported here or, better, in its `prepare`
    check(options)       optional: raises TaskError for what is missing, such as a file, before a run is made; one line
                         per fault, beginning with the option's key
    check_online(options)  optional: likewise for what only the network can tell
    show_data(options, say, shown, whole)  optional: says what would be seen of the user's data, and `shown` items of it,
                         as `evopo data` prints; raises EvaluationFailed where `prepare` would

Tasks of other distributions register such a module under the entry-point group `evopo.tasks`.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from fitness.costs import Service, Usage
from fitness.score import EvaluationFailed, FailureReason, ItemScores, Score, SeedResult
from fitness.task.faults import did_you_mean, faults

if TYPE_CHECKING:
    from sandbox.graph.loss_graph import VerifiedGraph

__all__ = [
    "EvaluationFailed",
    "FailureReason",
    "ItemScores",
    "Rung",
    "Score",
    "SeedResult",
    "Task",
    "TaskError",
    "TaskInfo",
    "TaskOptions",
    "check_task",
    "check_task_online",
    "make_task",
    "reads_data",
    "show_data",
    "task_info",
    "task_names",
    "task_options",
]

OPTIONS = "fitness"
"""The section of a configuration that a task's options stand in, so the beginning of each one's full key."""

BUILT_IN: Mapping[str, str] = {
    "sentiment": "fitness.sentiment.task",
    "preference": "fitness.preference.task",
    "classification": "fitness.classification.task",
}


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

    name: str
    contract: str  # name of the sandbox contract that its losses follow
    metric: str  # how the fitness is made, in words
    rungs: Mapping[str, Rung]  # from cheapest to dearest, held-out ones last
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
        return {"metric": words, "shown": dict(self.shown)}

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

    name: str
    contract: str
    metric: str
    rungs: Mapping[str, Rung]

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


def task_names() -> tuple[str, ...]:
    """Names of all tasks, ours first."""
    return (*BUILT_IN, *(point.name for point in entry_points(group="evopo.tasks") if point.name not in BUILT_IN))


def task_info(name: str, options: Mapping[str, Any] | None = None) -> TaskInfo:
    """Describe a task with these options, without importing torch. Raises TaskError."""
    module = _module(name)
    info = module.info(_options(name, module, options or {}))
    assert isinstance(info, TaskInfo)
    return info


def task_options(name: str) -> type[TaskOptions]:
    """What a task's options are. Raises TaskError for an unknown task."""
    options: type[TaskOptions] = _module(name).Options
    return options


def check_task(name: str, options: Mapping[str, Any] | None = None) -> None:
    """What can be known to be missing before anything is started: raises TaskError, one line per fault, with the remedies.

    A task's module offers it as `check(options)`; one that does not has nothing to look for.
    """
    _check(name, options, "check")


def check_task_online(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Like `check_task`, for what only the network can tell: a module's `check_online(options)`."""
    _check(name, options, "check_online")


def _check(name: str, options: Mapping[str, Any] | None, which: str) -> None:
    module = _module(name)
    check = getattr(module, which, None)
    if check is not None:
        check(_options(name, module, options or {}))


def reads_data(name: str) -> bool:
    """Whether a task reads data of the user's, which `show_data` can show. Raises TaskError for an unknown task."""
    return hasattr(_module(name), "show_data")


def show_data(
    name: str, options: Mapping[str, Any] | None, say: Callable[[str], None], shown: int, *, whole: bool
) -> None:
    """Say what a task that reads data would see of them; `shown` items in words, in full where `whole`.

    Raises TaskError for wrong options, EvaluationFailed where the task's `prepare` would for its data.
    """
    module = _module(name)
    module.show_data(_options(name, module, options or {}), say, shown, whole=whole)


def make_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """Build a task with these options; its `prepare` does the heavy part. Raises TaskError."""
    module = _module(name)
    task: Task = module.make(_options(name, module, options or {}))
    return task


def _module(name: str) -> ModuleType:
    if name in BUILT_IN:
        return importlib.import_module(BUILT_IN[name])
    for point in entry_points(group="evopo.tasks", name=name):
        return importlib.import_module(point.value)
    raise TaskError(f"unknown task {name!r}; known tasks: {', '.join(task_names())}{did_you_mean(name, task_names())}")


def _options(name: str, module: ModuleType, options: Mapping[str, Any]) -> TaskOptions:
    try:
        validated: TaskOptions = module.Options.model_validate(dict(options))
    except ValidationError as error:
        raise TaskError("\n".join(faults(error, module.Options, OPTIONS)) + f" (task {name})") from error
    return validated
