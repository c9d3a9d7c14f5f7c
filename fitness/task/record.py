"""Task record: a task's parts, checked when it is loaded. A task that lacks a part fails with the name of the part.

An exception in a plugin is reported with the plugin's name, file and line. An exception in a built-in task is a bug of evopo and
keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import ValidationError

from fitness.score import EvaluationFailed
from fitness.task.faults import faults
from fitness.task.protocol import OPTIONS, Rung, Task, TaskError, TaskInfo, TaskOptions
from sandbox.contracts.contract import contract_named
from sandbox.contracts.entry_points import error_line

T = TypeVar("T")

MADE = ("prepare", "score_seed")
"""Required methods of a Task."""
OPTIONAL = ("check", "check_online", "show_data")


@dataclass(frozen=True)
class TaskRecord:
    """A loaded and checked task. `origin` and `version` describe a plugin and are empty for a built-in task."""

    name: str
    """Name in configurations and archives."""
    offered: Any
    origin: str = ""
    version: str = ""
    folders: tuple[str, ...] = ()
    """Folders or files of a plugin's own code."""

    def __post_init__(self) -> None:
        """Raises TaskError that names every part that is missing or has the wrong type."""
        missing = [f"{part} ({what})" for part, what in self._faults()]
        if missing:
            raise TaskError(f"{self}: it lacks {', '.join(missing)}")

    def __str__(self) -> str:
        return f"task {self.name!r}" + (f" ({self.origin})" if self.origin else "")

    @property
    def summary(self) -> str:
        """The first sentence of the task's docstring; "" without a docstring."""
        words = " ".join((getattr(self.offered, "__doc__", None) or "").partition("\n\n")[0].split())
        return words.partition(". ")[0].rstrip(".")

    @property
    def begins(self) -> Mapping[str, Any]:
        """Values of options that a new run gets if its configuration does not name them."""
        return getattr(self.offered, "begins", {})

    def options(self, given: Mapping[str, Any]) -> TaskOptions:
        """The validated options. Raises TaskError with one line per fault."""
        model: type[TaskOptions] = self.offered.Options
        try:
            return self._asked("Options", lambda: model.model_validate(dict(given)))
        except ValidationError as error:
            raise TaskError("\n".join(faults(error, model, OPTIONS)) + f" (task {self.name})") from error

    def info(self, given: Mapping[str, Any]) -> TaskInfo:
        """The TaskInfo for these options, with this record's name, origin and version. Raises TaskError."""
        options = self.options(given)
        info = self._asked("info", lambda: self.offered.info(options))
        if not isinstance(info, TaskInfo):
            raise TaskError(f"{self}: info(options) should return a TaskInfo, but returned {_kind(info)}")
        self._check_rungs(info)
        if not isinstance(info.facts, Mapping) or not all(
            isinstance(t, str) for pair in info.facts.items() for t in pair
        ):
            raise TaskError(f"{self}: TaskInfo.facts should be texts by their names, got {_kind(info.facts)}")
        try:
            contract_named(info.contract)
        except ValueError as error:
            raise TaskError(f"{self}: {error}") from None
        identified = info.identified
        if identified is dict:  # the default: the options determine the fitness

            def identified() -> Mapping[str, Any]:
                return {"task": self.name, "options": options.model_dump(mode="json")}

        return replace(
            info,
            name=self.name,
            identified=lambda: self._asked("identified", identified),
            counted=lambda: self._asked("counted", info.counted),
            origin=self.origin,
            version=self.version,
        )

    def make(self, given: Mapping[str, Any]) -> Task:
        """The task with these options. Raises TaskError."""
        self.info(given)  # loads the task's contract, so that its graphs can be verified
        options = self.options(given)
        make = self.offered if self._makes_itself else self.offered.make
        task: Task = self._asked("make", lambda: make(options))
        lacking = [name for name in MADE if not callable(getattr(task, name, None))]
        if lacking:
            raise TaskError(f"{self}: what make(options) returned, {_kind(task)}, lacks {' and '.join(lacking)}")
        return task

    def offers(self, part: str) -> bool:
        """Whether the task has this optional part."""
        return hasattr(self.offered, part)

    def ask(self, part: str, given: Mapping[str, Any], *arguments: Any, **named: Any) -> None:
        """Call an optional part that the task has. Raises TaskError, and EvaluationFailed if the part does."""
        options = self.options(given)
        self._asked(part, lambda: getattr(self.offered, part)(options, *arguments, **named))

    def broken(self, part: str, error: BaseException) -> TaskError | None:
        """The TaskError for an exception in a part of a plugin; None for a built-in task."""
        return TaskError(f"{self}: {part} failed: {error_line(error, self.folders)}") if self.origin else None

    @property
    def _makes_itself(self) -> bool:
        return isinstance(self.offered, type) and not hasattr(self.offered, "make")

    def _asked(self, part: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (TaskError, EvaluationFailed, ValidationError):
            raise
        except (Exception, SystemExit) as error:
            broken = self.broken(part, error)
            if broken is None:
                raise
            raise broken from error

    def _faults(self) -> list[tuple[str, str]]:
        offered, found = self.offered, []
        options = getattr(offered, "Options", None)
        if not (isinstance(options, type) and issubclass(options, TaskOptions)):
            found.append(("Options", f"expected a subclass of fitness.task.TaskOptions, got {_kind(options)}"))
        if not callable(getattr(offered, "info", None)):
            found.append(("info", "expected info(options), which returns a fitness.task.TaskInfo"))
        if self._makes_itself:
            found += [(name, "expected a method") for name in MADE if not callable(getattr(offered, name, None))]
        elif not callable(getattr(offered, "make", None)):
            found.append(("make", "expected make(options), which returns an object with prepare and score_seed"))
        found += [
            (name, f"expected a function, got {_kind(getattr(offered, name))}")
            for name in OPTIONAL
            if hasattr(offered, name) and not callable(getattr(offered, name))
        ]
        return found

    def _check_rungs(self, info: TaskInfo) -> None:
        rungs = info.rungs
        if not isinstance(rungs, Mapping) or not all(
            isinstance(rung, Rung) and rung.name == name for name, rung in rungs.items()
        ):
            raise TaskError(f"{self}: TaskInfo.rungs should be fitness.task.Rung by their names")
        if not info.search_rungs:
            raise TaskError(f"{self}: TaskInfo.rungs needs at least one rung that is not held out")


def _kind(value: object) -> str:
    return "none" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
