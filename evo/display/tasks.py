"""`evopo tasks`: tasks and contracts, the package that each comes from, and why one cannot be used."""

from __future__ import annotations

from analysis.output.encode import one_line
from analysis.wording import columns
from fitness.sentiment.worlds import EMBEDDED, WORLDS
from fitness.task.registry import listed_tasks
from sandbox.contracts.contract import listed_contracts

NAME, ORIGIN, SUMMARY = 40, 60, 400
"""Maximum characters of each column: other packages supply these texts."""


def tasks_text() -> str:
    """Tables of tasks, of the worlds of `sentiment` and of contracts, and how to name a task in a file, which is not listed."""
    tasks, contracts = _table("task", listed_tasks()), _table("contract", listed_contracts())
    worlds = columns(
        [("world of sentiment", "what it is"), *((world.name, world.structure) for world in WORLDS.values())]
    )
    a_file, a_world = (
        "A task in a file: --set task=path/to/my_task.py:MyTask",
        f"A world: --set fitness.world=NAME; without it, a new run is in {EMBEDDED}",
    )
    return "\n".join([*tasks, "", a_file, "", *worlds, "", a_world, "", *contracts])


def _table(title: str, listed: list[tuple[str, str, str]]) -> list[str]:
    rows = [(one_line(name, NAME), one_line(origin, ORIGIN), one_line(what, SUMMARY)) for name, origin, what in listed]
    return columns([(title, "from", "what it is"), *rows])
