"""`evopo tasks`: what a candidate can be scored on, where each task comes from, and why one cannot be used."""

from __future__ import annotations

from analysis.output.encode import one_line
from analysis.wording import columns
from fitness.task.registry import listed_tasks

NAME, ORIGIN, SUMMARY = 40, 60, 400
"""Most characters of each part: other packages say what they like."""


def tasks_text() -> str:
    """A table of all tasks, and how to name one that it cannot list."""
    rows = [
        (one_line(name, NAME), one_line(origin, ORIGIN), one_line(what, SUMMARY))
        for name, origin, what in listed_tasks()
    ]
    table = columns([("task", "from", "what it is"), *rows])
    return "\n".join([*table, "", "A task in a file: --set task=path/to/my_task.py:MyTask"])
