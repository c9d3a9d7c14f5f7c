"""One record per task: its parts, checked as it is loaded, so that a task that lacks one fails by the part's name.

What a plugin raises is told with the plugin's name, its file and the line. What a task of our own raises is a bug of ours, and
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
from sandbox.contracts.entry_points import told

T = TypeVar("T")

MADE = ("prepare", "score_seed")
"""Methods of a Task."""
OPTIONAL = ("check", "check_online", "show_data")


@dataclass(frozen=True)
class TaskRecord:
    """A task, found and checked. `origin` and `version` are those of a plugin, empty for a task of our own."""

    name: str
    """As users write it and archives record it."""
    offered: Any
    origin: str = ""
    version: str = ""
    folders: tuple[str, ...] = ()
    """Where a plugin's own files are."""

    def __post_init__(self) -> None:
        """Raises TaskError that names every part that is missing or is something else."""
        missing = [f"{part} ({what})" for part, what in self._faults()]
        if missing:
            raise TaskError(f"{self}: it lacks {', '.join(missing)}")

    def __str__(self) -> str:
        return f"task {self.name!r}" + f" ({self.origin})" * bool(self.origin)

    @property
    def summary(self) -> str:
        """The first sentence of its docstring, or nothing."""
        words = " ".join((getattr(self.offered, "__doc__", None) or "").partition("\n\n")[0].split())
        return words.partition(". ")[0].rstrip(".")

    def options(self, given: Mapping[str, Any]) -> TaskOptions:
        """Its options, validated. Raises TaskError with a line per fault."""
        model: type[TaskOptions] = self.offered.Options
        try:
            return self._asked("Options", lambda: model.model_validate(dict(given)))
        except ValidationError as error:
            raise TaskError("\n".join(faults(error, model, OPTIONS)) + f" (task {self.name})") from error

    def info(self, given: Mapping[str, Any]) -> TaskInfo:
        """What is known of it with these options, under its own name. Raises TaskError."""
        options = self.options(given)
        info = self._asked("info", lambda: self.offered.info(options))
        if not isinstance(info, TaskInfo):
            raise TaskError(f"{self}: info(options) should return a TaskInfo, but returned {_kind(info)}")
        self._check_rungs(info)
        try:
            contract_named(info.contract)
        except ValueError as error:
            raise TaskError(f"{self}: {error}") from None
        identified = info.identified
        if identified is dict:  # it says nothing of its own: then its options are what fixes the fitness

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
        """The task itself with these options. Raises TaskError."""
        self.info(given)  # graphs of the task's contract can be verified from now on
        options = self.options(given)
        make = self.offered if self._makes_itself else self.offered.make
        task: Task = self._asked("make", lambda: make(options))
        lacking = [name for name in MADE if not callable(getattr(task, name, None))]
        if lacking:
            raise TaskError(f"{self}: what make(options) returned, {_kind(task)}, lacks {' and '.join(lacking)}")
        return task

    def offers(self, part: str) -> bool:
        """Whether it has an optional part."""
        return hasattr(self.offered, part)

    def ask(self, part: str, given: Mapping[str, Any], *arguments: Any, **named: Any) -> None:
        """Call an optional part that it offers. Raises TaskError, and EvaluationFailed where the part does."""
        options = self.options(given)
        self._asked(part, lambda: getattr(self.offered, part)(options, *arguments, **named))

    def broken(self, part: str, error: BaseException) -> TaskError | None:
        """What to say of an exception that a part of a plugin raised; None for a task of our own."""
        return TaskError(f"{self}: {part} failed: {told(error, self.folders)}") if self.origin else None

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
