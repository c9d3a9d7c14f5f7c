"""What a task is: its protocol, the registry of tasks by name, and what is wrong with a task's options in words.

Knows no task but by its name: a task's module is imported when the task is used.
"""

from fitness.task.protocol import TaskError, TaskInfo, make_task, task_info

__all__ = ["TaskError", "TaskInfo", "make_task", "task_info"]
