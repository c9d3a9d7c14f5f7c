"""Earlier sessions of a run: is the run finished, and which settings differ from the recorded ones?

A finished run is only read. The command that made it prints its table again, and a larger budget continues it. A command with other
settings is refused, since its table would not belong to these settings. An unfinished run continues with changed settings, except
those that identify the run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.output.encode import one_line
from analysis.recorded import section, sessions_of
from archive.disk.files import there
from archive.query import Reader
from archive.records import EventKind
from evo.campaign.stop_rules import stop_of
from evo.config.budget_settings import AMOUNTS, BudgetConfig
from evo.config.old_keys import with_keys_of_today
from evo.config.proposer_settings import BUILTIN, OPENAI, ProposerConfig
from evo.config.rundir import RunDir, RunDirError, differences, identity
from evo.config.schema import Config
from evo.search.population import Population
from fitness.task.protocol import TaskInfo

NEUTRAL = frozenset({
    "name", "pictures", "workers", "threads", "launcher", "timeout_seconds", "search.in_flight", "search.give_up_after",
    "llm.api_key_env", "llm.timeout_seconds", "llm.attempts", "llm.usd_per_million_in", "llm.usd_per_million_out",
    "llm.concurrency",
})  # fmt: skip
"""Keys that change the speed, timeouts, prices or output of a run and not its results; a finished run ignores changes of them. All
other keys count as changes, including keys added by later versions until they are listed here."""

ELSEWHERE = ("task", "seed", "fitness", "baseline", "budget")
"""Keys and sections that other checks compare: the identity of the run, and its budget."""


class FinishedRun(RunDirError):
    """The directory holds a finished run with other settings."""

    def __init__(self, message: str, larger: Mapping[str, float]) -> None:
        super().__init__(message)
        self.larger = larger
        """Larger values for the budgets that ended it, by key, with which it would continue."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished run: why it ended, and how to continue it."""

    reason: str
    larger: Mapping[str, float]
    """As in FinishedRun."""


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value differs from the recorded one."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} from {_shown(self.before)} to {_shown(self.now)}"


def finished(path: Path, config: Config, info: TaskInfo, population: Population | None = None) -> Ended | None:
    """Why the run in `path` is finished under this configuration; None if it continues or has another identity.

    Read-only. `population`: the state of the run, which is advanced if it is needed; without one, it is made anew. Raises
    FinishedRun if it is finished and was made with other settings; ArchiveError.
    """
    archive = RunDir(path).archive
    if not there(archive):
        return None
    with Reader.open(archive) as reader:
        run = reader.run()
        begun, ended = (reader.events(kind=kind) for kind in (EventKind.SESSION_STARTED, EventKind.FINISHED))
        if differences(run.identity, identity(config, info)) or config.baseline not in (None, run.baseline):
            return None
        if not ended or (begun and begun[-1].id > ended[-1].id):
            return None
        population = (population or Population(config, info, workers=1)).advance(reader)
        used, before = population.spent(population.recorded_seconds), last_settings(reader)
    limits, amounts = config.budget.limits, asdict(used)
    reached = [name for name, limit in limits.items() if amounts[name] >= limit]
    stop = None if reached else stop_of(config.budget, population)
    if (
        not reached
        and stop is None
        and (_raised(section(before, "budget"), limits) or _loosened(before, config.budget))
    ):
        return None
    # A run ends before a limit is reached if the next call could exceed it.
    nearest = reached or sorted(limits, key=lambda name: amounts[name] / limits[name])[-1:]
    told = ended[-1].payload
    recorded = one_line(str(told.get("reason", "")) if isinstance(told, Mapping) else "", 200)
    reason = f"the budget of {limits[reached[0]]:.10g} {reached[0]} is reached" if reached else recorded
    larger = {f"budget.{name}": 2 * max(limits[name], amounts[name]) or 1 for name in nearest}
    if stop is not None:
        reason, larger = stop.reason, {stop.key: stop.larger}
    changed = [change for change in changes(before, config) if _decides(change.key)]
    if changed:
        raise FinishedRun(
            f"{path} holds a finished run ({reason}) with other settings: {in_words(changed)}. Nothing was run, and nothing in "
            "it was changed.",
            larger,
        )
    return Ended(reason, larger)


def _raised(before: Mapping[str, Any], limits: Mapping[str, float]) -> bool:
    """Whether a limit of the earlier budget was raised or removed."""
    numbers = {name: before[name] for name in AMOUNTS if isinstance(before.get(name), int | float)}
    return any(limits.get(name, math.inf) > limit for name, limit in numbers.items())


def _loosened(before: Mapping[str, Any], budget: BudgetConfig) -> bool:
    """Whether a rule that ends the search was loosened or removed."""
    earlier, now = section(before, "budget"), {"target": budget.target, "patience": budget.patience}
    given = {name: earlier[name] for name in now if isinstance(earlier.get(name), int | float)}
    return any((math.inf if now[name] is None else now[name]) > value for name, value in given.items())


def last_settings(reader: Reader) -> Mapping[str, Any]:
    """The configuration of the last session, or of the run's creation if there is none, with current key names."""
    sessions = sessions_of(reader.events(kind=EventKind.SESSION_STARTED))
    return with_keys_of_today(sessions[-1][1] if sessions else reader.run().config)


def changed_task(reader: Reader, info: TaskInfo) -> str | None:
    """A warning if a plugin's task (content of its file, version of its package) changed since the run began; else None."""
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
    """The keys that differ, in the order of the configuration. A key that an older version did not record counts as its default."""
    defaults = _flat(Config().model_dump(mode="json"))
    earlier, now = _flat(_resolved(before)), _flat(_resolved(config.model_dump(mode="json")))
    keys = dict.fromkeys([*now, *(key for key in earlier if key.startswith("fitness."))])
    found = (Change(key, earlier.get(key, defaults.get(key)), now.get(key)) for key in keys)
    return [change for change in found if change.before != change.now]


def in_words(changed: list[Change]) -> str:
    """The changes as one line that is safe for a terminal."""
    return ", ".join(map(str, changed))


def _decides(key: str) -> bool:
    section, *rest = key.split(".")
    of_model = f"llm.{rest[-1]}" if section == "proposers" and rest else key
    return of_model not in NEUTRAL and section not in ELSEWHERE


def _resolved(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with `proposer: auto` resolved, so that naming the same proposer explicitly is no change, and with the proposers
    by name, each with the keys that differ from the defaults."""
    llm, several = section(settings, "llm"), settings.get("proposers")
    auto = OPENAI if llm.get("base_url") or llm.get("model") or several else BUILTIN
    found = {**settings, "proposer": auto if settings.get("proposer", "auto") == "auto" else settings["proposer"]}
    if isinstance(several, Sequence):
        defaults = ProposerConfig(name="any").model_dump(mode="json")
        records = [one for one in several if isinstance(one, Mapping)]
        found["proposers"] = {
            str(one.get("name")): {key: value for key, value in one.items() if value != defaults.get(key)}
            for one in records
        }
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _shown(value: Any) -> str:
    """A value as YAML text, without the password that a URL may contain."""
    text = json.dumps(value, ensure_ascii=False)
    return one_line(re.sub(r"//[^/@\s]*@", "//", text), 60)
