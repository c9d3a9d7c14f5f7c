"""Registry of tasks by name: built-in tasks, tasks of other packages (entry points `evopo.tasks`), and tasks in a file on disk.

A task is loaded only when it is requested by name. So a broken plugin affects no other task and no command that does not use it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from fitness.task.faults import did_you_mean
from fitness.task.from_file import TaskFile
from fitness.task.protocol import Task, TaskError, TaskInfo, TaskOptions
from fitness.task.record import TaskRecord
from sandbox.contracts.entry_points import NAME, PluginError, plugin_named, plugins

GROUP = "evopo.tasks"

BUILT_IN: Mapping[str, str] = {
    "sentiment": "fitness.sentiment.task",
    "preference": "fitness.preference.task",
    "classification": "fitness.classification.task",
}
"""Location of each built-in task: a module, or `module:class`."""


def task_names() -> tuple[str, ...]:
    """Names of all built-in and installed tasks, built-in ones first. Tasks in files are not listed."""
    return (*BUILT_IN, *dict.fromkeys(plugin.name for plugin in plugins(GROUP) if plugin.name not in BUILT_IN))


def is_task(name: str) -> bool:
    """Whether the name is a known task or has the form of a task file; the file itself is not checked."""
    return name in BUILT_IN or TaskFile.of(name) is not None or name in task_names()


def directory_name(name: str) -> str | None:
    """Name of the task for a run's directory; None if it cannot be part of a file name."""
    file = TaskFile.of(name)
    if file is not None:
        return file.short
    return name if NAME.fullmatch(name) else None


def task_record(name: str) -> TaskRecord:
    """The task with this name, loaded and checked. Raises TaskError."""
    if name in BUILT_IN:
        return _built_in(name)
    if file := TaskFile.of(name):
        offered, digest = file.load()
        path = file.within(".").path
        return TaskRecord(file.label, offered, f"file {path}", f"sha256:{digest}", (path,))
    try:
        plugin = plugin_named(GROUP, name)
        if plugin is None:
            raise TaskError(
                f"unknown task {name!r}; known tasks: {', '.join(task_names())}{did_you_mean(name, task_names())}; for a task in a "
                "file: path/to/my_task.py:MyTask"
            )
        if not NAME.fullmatch(name):
            raise TaskError(f"{plugin}: expected a name of letters, digits and any of _.- after the first")
        origin = f"package {plugin.package}, entry point {plugin.definition}"
        return TaskRecord(name, plugin.load(), origin, plugin.package, plugin.folders)
    except PluginError as error:
        raise TaskError(str(error)) from error


def listed_tasks() -> list[tuple[str, str, str]]:
    """All tasks as (name, origin, summary or the reason why it cannot be used). Loads every task."""
    rows = [(name, "built in", _built_in(name).summary) for name in BUILT_IN]
    for plugin in plugins(GROUP):
        try:
            if plugin.name in BUILT_IN:
                raise TaskError("has the name of a built-in task, which is used in its place: rename its entry point")
            what = task_record(plugin.name).summary
        except TaskError as error:
            what = f"cannot be used: {error}"
        rows.append((plugin.name, plugin.package, what))
    return rows


def task_info(name: str, options: Mapping[str, Any] | None = None) -> TaskInfo:
    """The TaskInfo of a task with these options, without importing torch. Raises TaskError."""
    return task_record(name).info(options or {})


def task_options(name: str) -> type[TaskOptions]:
    """The options model of a task. Raises TaskError for an unknown task."""
    options: type[TaskOptions] = task_record(name).offered.Options
    return options


def begins(name: str) -> Mapping[str, Any]:
    """Values of the task's options that a new run gets if its configuration does not name them. Raises TaskError."""
    return task_record(name).begins


def check_task(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Run the task's optional `check(options)` before a run starts.

    Raises TaskError if something is missing, one line per fault with its remedy.
    """
    _check(name, options, "check")


def check_task_online(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Run the task's optional `check_online(options)`: like `check_task`, for checks that need the network."""
    _check(name, options, "check_online")


def reads_data(name: str) -> bool:
    """Whether a task reads data of the user, which `show_data` can show. Raises TaskError for an unknown task."""
    return task_record(name).offers("show_data")


def show_data(
    name: str, options: Mapping[str, Any] | None, say: Callable[[str], None], shown: int, *, whole: bool
) -> None:
    """Print through `say` how a task reads the user's data, with `shown` example items, in full if `whole`.

    Raises TaskError for invalid options, EvaluationFailed if the task's `prepare` would for this data.
    """
    task_record(name).ask("show_data", options or {}, say, shown, whole=whole)


def make_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """The task with these options; its `prepare` loads model and data. Raises TaskError."""
    return task_record(name).make(options or {})


def _built_in(name: str) -> TaskRecord:
    module, _, attribute = BUILT_IN[name].partition(":")
    offered = importlib.import_module(module)
    return TaskRecord(name, getattr(offered, attribute) if attribute else offered)


def _check(name: str, options: Mapping[str, Any] | None, part: str) -> None:
    record = task_record(name)
    if record.offers(part):
        record.ask(part, options or {})
