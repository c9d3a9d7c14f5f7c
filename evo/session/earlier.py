"""What earlier sessions left in a run directory, and what today's command means for it.

A finished run is only read. The command that made it prints its table again; a larger budget continues it; a command with
other settings is refused, since the table would not be of these settings. An unfinished run goes on with whatever may change.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.output.encode import one_line
from analysis.recorded import section, sessions_of
from archive.disk.files import there
from archive.query import Reader
from archive.records import EventKind
from evo.config.old_keys import with_keys_of_today
from evo.config.rundir import RunDir, RunDirError, differences, identity
from evo.config.schema import Config
from evo.proposing.propose import BUILTIN, OPENAI
from evo.search.population import Population
from fitness.task.protocol import TaskInfo

NEUTRAL = frozenset({
    "name", "pictures", "workers", "threads", "launcher", "timeout_seconds", "search.in_flight",
    "llm.api_key_env", "llm.timeout_seconds", "llm.attempts", "llm.usd_per_million_in", "llm.usd_per_million_out",
})  # fmt: skip
"""Keys that say how fast, how patiently or at what price a run goes, and not what is run: on a finished one they change nothing.
Any other key does, so that a key of a later version counts until it is listed here."""

ELSEWHERE = ("task", "seed", "fitness", "baseline", "budget")
"""Sections that are judged by other rules: what identifies a run, and its budget."""


class FinishedRun(RunDirError):
    """The directory holds a finished run of other settings."""

    def __init__(self, message: str, larger: Mapping[str, float]) -> None:
        super().__init__(message)
        self.larger = larger
        """Values for the budgets that ended it, by key, with which it would go on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a finished run has nothing left to do."""

    reason: str
    """In words."""
    larger: Mapping[str, float]
    """As in FinishedRun."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key whose value is not what it was."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} from {_shown(self.before)} to {_shown(self.now)}"


def finished(path: Path, config: Config, info: TaskInfo) -> Ended | None:
    """Why the run in `path` is over under this configuration; None where it goes on, or is no run of this identity.

    Reads only. Raises FinishedRun where it is over and was made with other settings; ArchiveError.
    """
    archive = RunDir(path).archive
    if not there(archive):
        return None
    with Reader.open(archive) as reader:
        run, marks = (
            reader.run(),
            [e for e in reader.events() if e.kind in (EventKind.SESSION_STARTED, EventKind.FINISHED)],
        )
        if differences(run.identity, identity(config, info)) or config.baseline not in (None, run.baseline):
            return None
        if not marks or marks[-1].kind != EventKind.FINISHED:
            return None
        population = Population(config, info, workers=1).advance(reader)
        used, before = population.spent(population.recorded_seconds), last_settings(reader)
    limits, amounts = config.budget.limits, asdict(used)
    reached = [name for name, limit in limits.items() if amounts[name] >= limit]
    if _raised(section(before, "budget"), limits) and not reached:
        return None
    # A run may end before a limit, where the next call could have gone beyond it.
    nearest = reached or sorted(limits, key=lambda name: amounts[name] / limits[name])[-1:]
    told = marks[-1].payload
    recorded = one_line(str(told.get("reason", "")) if isinstance(told, Mapping) else "", 200)
    reason = f"the budget of {limits[reached[0]]:.10g} {reached[0]} is reached" if reached else recorded
    larger = {f"budget.{name}": 2 * max(limits[name], amounts[name]) or 1 for name in nearest}
    changed = [change for change in changes(before, config) if _decides(change.key)]
    if changed:
        raise FinishedRun(
            f"{path} holds a finished run ({reason}) with other settings: {in_words(changed)}. Nothing was run, and nothing in "
            "it was changed.",
            larger,
        )
    return Ended(reason, larger)


def _raised(before: Mapping[str, Any], limits: Mapping[str, float]) -> bool:
    """Whether a limit is higher than it was, or gone."""
    numbers = {name: limit for name, limit in before.items() if isinstance(limit, int | float)}
    return any(limits.get(name, math.inf) > limit for name, limit in numbers.items())


def last_settings(reader: Reader) -> Mapping[str, Any]:
    """The configuration of the last session, or that with which the run was made; keys have the names of today."""
    sessions = sessions_of(reader.events(kind=EventKind.SESSION_STARTED))
    return with_keys_of_today(sessions[-1][1] if sessions else reader.run().config)


def changed_task(reader: Reader, info: TaskInfo) -> str | None:
    """One line where a plugin's task is not what it was when the run began: its file's content, or its package's version."""
    sessions = reader.events(kind=EventKind.SESSION_STARTED)
    payload = sessions[0].payload if sessions else None
    before = section(payload, "fitness").get("version") if isinstance(payload, Mapping) else None
    if not info.version or not isinstance(before, str) or before == info.version:
        return None
    then, now = (one_line(version, 20) for version in (before, info.version))
    return (
        f"The task {info.name} changed since the run began ({then} then, {now} now): if that changed its fitness, results from "
        "before and after are not comparable, and another --dir starts anew."
    )


def changes(before: Mapping[str, Any], config: Config) -> list[Change]:
    """The keys that differ, in the order of the configuration. One that an older version did not record had its default."""
    defaults = _flat(Config().model_dump(mode="json"))
    earlier, now = _flat(_resolved(before)), _flat(_resolved(config.model_dump(mode="json")))
    keys = dict.fromkeys([*now, *(key for key in earlier if key.startswith("fitness."))])
    found = (Change(key, earlier.get(key, defaults.get(key)), now.get(key)) for key in keys)
    return [change for change in found if change.before != change.now]


def in_words(changed: list[Change]) -> str:
    """One line that is safe for a terminal."""
    return ", ".join(map(str, changed))


def _decides(key: str) -> bool:
    return key not in NEUTRAL and key.partition(".")[0] not in ELSEWHERE


def _resolved(settings: Mapping[str, Any]) -> dict[str, Any]:
    """With the proposer that `auto` stands for, so that naming it changes nothing."""
    llm = section(settings, "llm")
    auto = OPENAI if llm.get("base_url") or llm.get("model") else BUILTIN
    return {**settings, "proposer": auto if settings.get("proposer", "auto") == "auto" else settings["proposer"]}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _shown(value: Any) -> str:
    """A value as YAML writes it, without the password that an address may hold."""
    text = json.dumps(value, ensure_ascii=False)
    return one_line(re.sub(r"//[^/@\s]*@", "//", text), 60)
