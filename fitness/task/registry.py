"""Tasks by name: those of our own, those of other packages (entry points `evopo.tasks`), and those in a file on disk.

A task is loaded when its own name is asked for, so a broken plugin breaks no other task and no command that does not use it.
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
"""Where each of our own tasks is: a module, or `module:class`."""


def task_names() -> tuple[str, ...]:
    """Names of all tasks, ours first; those in files have none before somebody names the file."""
    return (*BUILT_IN, *dict.fromkeys(plugin.name for plugin in plugins(GROUP) if plugin.name not in BUILT_IN))


def is_task(name: str) -> bool:
    """Whether there may be a task of that name: a known one, or a file, which is not looked for."""
    return name in BUILT_IN or TaskFile.of(name) is not None or name in task_names()


def directory_name(name: str) -> str | None:
    """What a directory of a run of that task may be called; None where the name cannot be part of a file name."""
    file = TaskFile.of(name)
    if file is not None:
        return file.short
    return name if NAME.fullmatch(name) else None


def task_record(name: str) -> TaskRecord:
    """The task of that name, loaded and checked. Raises TaskError."""
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
    """Every task with where it comes from, and what it is, or why it cannot be used. Loads them all."""
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
    """Describe a task with these options, without importing torch. Raises TaskError."""
    return task_record(name).info(options or {})


def task_options(name: str) -> type[TaskOptions]:
    """What a task's options are. Raises TaskError for an unknown task."""
    options: type[TaskOptions] = task_record(name).offered.Options
    return options


def check_task(name: str, options: Mapping[str, Any] | None = None) -> None:
    """What can be known to be missing before anything is started: raises TaskError, one line per fault, with the remedies.

    A task offers it as `check(options)`; one that does not has nothing to look for.
    """
    _check(name, options, "check")


def check_task_online(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Like `check_task`, for what only the network can tell: a task's `check_online(options)`."""
    _check(name, options, "check_online")


def reads_data(name: str) -> bool:
    """Whether a task reads data of the user's, which `show_data` can show. Raises TaskError for an unknown task."""
    return task_record(name).offers("show_data")


def show_data(
    name: str, options: Mapping[str, Any] | None, say: Callable[[str], None], shown: int, *, whole: bool
) -> None:
    """Say what a task that reads data would see of them; `shown` items in words, in full where `whole`.

    Raises TaskError for wrong options, EvaluationFailed where the task's `prepare` would for its data.
    """
    task_record(name).ask("show_data", options or {}, say, shown, whole=whole)


def make_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """Build a task with these options; its `prepare` does the heavy part. Raises TaskError."""
    return task_record(name).make(options or {})


def _built_in(name: str) -> TaskRecord:
    module, _, attribute = BUILT_IN[name].partition(":")
    offered = importlib.import_module(module)
    return TaskRecord(name, getattr(offered, attribute) if attribute else offered)


def _check(name: str, options: Mapping[str, Any] | None, part: str) -> None:
    record = task_record(name)
    if record.offers(part):
        record.ask(part, options or {})
