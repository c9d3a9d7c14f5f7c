"""`evopo tasks`: tasks and contracts, the package that each comes from, and why one cannot be used."""

from __future__ import annotations

from analysis.output.encode import one_line
from analysis.wording import columns
from fitness.task.registry import listed_tasks
from sandbox.contracts.contract import listed_contracts

NAME, ORIGIN, SUMMARY = 40, 60, 400
"""Maximum characters of each column: other packages supply these texts."""


def tasks_text() -> str:
    """A table of tasks, a table of contracts, and how to name a task in a file, which is not listed."""
    tasks, contracts = _table("task", listed_tasks()), _table("contract", listed_contracts())
    return "\n".join([*tasks, "", "A task in a file: --set task=path/to/my_task.py:MyTask", "", *contracts])


def _table(title: str, listed: list[tuple[str, str, str]]) -> list[str]:
    rows = [(one_line(name, NAME), one_line(origin, ORIGIN), one_line(what, SUMMARY)) for name, origin, what in listed]
    return columns([(title, "from", "what it is"), *rows])
