"""Which runs are one strategy: grouping by the keys in which their configurations differ, and short labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.compare.runs import Run, shown
from analysis.output.encode import one_line
from analysis.output.errors import NotComparable

IGNORED = ("name", "seed", "task", "fitness", "baseline", "budget", "pictures", "llm.api_key_env")
"""Keys and sections that tell no strategies apart: they are no part of one, must be equal, or are compared separately (budget)."""

FIRST = ("search.mode", "proposer", "llm.model")
"""Keys that a label prefers, where they tell strategies apart."""

LONGEST_LABEL = 48

Key = tuple[str, ...]
"""Values of some keys of a configuration, as JSON text."""


@dataclass(frozen=True)
class Strategy:
    """Runs of one strategy. `keys` are the values of the keys that tell the strategies apart."""

    label: str
    keys: Mapping[str, Any]
    runs: Mapping[Key, Run]
    """By what a run is matched with a run of another strategy: its seed, and the keys that vary within strategies."""


def strategies_of(
    runs: Sequence[Run], by: Sequence[str] = (), names: Mapping[str, str] | None = None
) -> tuple[Strategy, ...]:
    """The strategies of `runs`, in the order of their first runs.

    `by`: the keys that tell them apart; by default all in which any two runs differ, except `IGNORED`. `names` replaces labels.
    Raises NotComparable for a key that no run has, a label that does not exist, and a run given twice.
    """
    differing = _differing(runs)
    keys = [key for wanted in by for key in _named(wanted, runs)] if by else differing
    groups: dict[Key, list[Run]] = {}
    for run in runs:
        groups.setdefault(_values(run, keys), []).append(run)
    labels = _labels([group[0] for group in groups.values()], keys)
    names = names or {}
    if unknown := sorted(names.keys() - set(labels)):
        raise NotComparable(f"there is no strategy {unknown[0]!r}; the strategies are {', '.join(map(repr, labels))}")
    labels = [one_line(names.get(label, label), LONGEST_LABEL) for label in labels]
    if repeated := [label for label in labels if labels.count(label) > 1]:
        raise NotComparable(f"two strategies would be called {repeated[0]!r}; give each another label")
    varying = [key for key in differing if any(len({_values(r, [key]) for r in g}) > 1 for g in groups.values())]
    return tuple(
        Strategy(label, {key: group[0].settings.get(key) for key in keys}, _matched(group, varying))
        for label, group in zip(labels, groups.values(), strict=True)
    )


def _differing(runs: Sequence[Run]) -> list[str]:
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [key for key in keys if not _ignored(key) and len({_values(run, [key]) for run in runs}) > 1]


def _ignored(key: str) -> bool:
    return any(key == part or key.startswith(f"{part}.") for part in IGNORED)


def _named(wanted: str, runs: Sequence[Run]) -> list[str]:
    """The keys that `wanted` names: itself, or those of a section."""
    known = dict.fromkeys(key for run in runs for key in run.settings)
    found = [key for key in known if key == wanted or key.startswith(f"{wanted}.")]
    if not found:
        differing = ", ".join(map(one_line, _differing(runs))) or "none"
        raise NotComparable(f"no run has the key {wanted!r}; keys in which these runs differ: {differing}")
    return found


def _values(run: Run, keys: Iterable[str]) -> Key:
    # A missing key counts as null: it came with a later version.
    return tuple(json.dumps(run.settings.get(key), sort_keys=True, default=str) for key in keys)


def _matched(group: Sequence[Run], varying: Sequence[str]) -> dict[Key, Run]:
    found: dict[Key, Run] = {}
    for run in group:
        key = (str(run.seed), *_values(run, varying))
        if key in found:
            raise NotComparable(
                f"{found[key].name} and {run.name} have the same settings and the same seed {run.seed}: the same search, or a "
                "copy; leave one out, or, if their names differ, tell them apart with --by name"
            )
        found[key] = run
    return found


# ---- labels --------------------------------------------------------------------------------------------------------


def _labels(examples: Sequence[Run], keys: Sequence[str]) -> list[str]:
    """A short label for each strategy: the values of as few keys as tell all of them apart."""
    if len(examples) == 1 and not keys:
        return ["all runs"]
    chosen: list[str] = []
    for key in sorted(keys, key=lambda key: FIRST.index(key) if key in FIRST else len(FIRST)):
        if len({_values(run, [*chosen, key]) for run in examples}) > len({_values(run, chosen) for run in examples}):
            chosen.append(key)
    short = _short(chosen or keys[:1])
    labels = [one_line(_label(run, short), LONGEST_LABEL - 5) for run in examples]
    # Values that differ only behind the cut are numbered.
    return [label if labels.count(label) == 1 else f"{label} ({n})" for n, label in enumerate(labels, start=1)]


def _short(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, or the whole key where two have the same last part."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: part if last.count(part) == 1 else key for key, part in zip(keys, last, strict=True)}


def _label(run: Run, short: Mapping[str, str]) -> str:
    values = {key: run.settings.get(key) for key in short}
    parts = [
        shown(value) if isinstance(value, str) else f"{one_line(short[key])}={shown(value)}"
        for key, value in values.items()
        if value is not None
    ]
    return ", ".join(parts) or f"{one_line(next(iter(short.values())))}=null"
