"""Tasks: their protocol, the registry of tasks by name, and error messages for a task's options.

This package imports no task itself: a task's module is imported when the task is used.
"""

from fitness.score import EvaluationFailed, FailureReason, ItemScores, SeedResult
from fitness.task.protocol import Rung, Task, TaskError, TaskInfo, TaskOptions
from fitness.task.registry import (
    check_task,
    check_task_online,
    make_task,
    reads_data,
    show_data,
    task_info,
    task_names,
    task_options,
)

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
    "check_task",
    "check_task_online",
    "make_task",
    "reads_data",
    "show_data",
    "task_info",
    "task_names",
    "task_options",
]
