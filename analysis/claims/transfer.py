"""Transfer of losses: the same losses in several settings of a task, and whether the winner of the first setting stays ahead.

After Lu et al. 2024, section 3: losses that a search found with one network are trained with others. The directory of a transfer
holds a file `transfer.json`, which names the settings and losses, and an archive for each setting. Every setting has fresh seeds of
its own: with shared ones, a winner that was lucky with its data in the first setting would be lucky again in the others.

In each further setting the winner is compared with every other loss, paired by seed, with an error that covers seeds and test items
as in a final. Holm's correction covers all these comparisons together. The winner *stays* if it is significantly better than every
other loss, and *falls back* if at least one is significantly better. Else it cannot be told apart from the losses that are named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis import stats
from analysis.claims.crossed import covering_items
from analysis.output.encode import one_line
from analysis.output.errors import AnalysisError
from analysis.snapshot import CAUTION, SINGLES_OUT, Arm, Snapshot
from archive.disk.files import read_bounded, there
from archive.errors import UnsafeFile
from archive.query import Reader
from archive.records import Items
from sandbox import known
from sandbox.verdicts.verdict import VerdictStatus

PLAN = "transfer.json"
"""Name of the file with the plan."""

SETTING_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
"""A setting's name is that of its folder."""

VERSION = 1


@dataclass(frozen=True)
class Plan:
    """What `evopo transfer` compares: the losses, the baseline first, and the settings, that of the search first."""

    task: str
    losses: tuple[str, ...]
    settings: Mapping[str, tuple[str, ...]]
    """Changed options of the task, KEY=VALUE, by the setting's name."""

    def to_json(self) -> str:
        """The text of the file."""
        settings = [{"name": name, "changes": list(changes)} for name, changes in self.settings.items()]
        plan = {"version": VERSION, "task": self.task, "losses": list(self.losses), "settings": settings}
        return json.dumps(plan, indent=1) + "\n"

    @classmethod
    def read(cls, directory: Path) -> Plan:
        """The plan in a directory. Raises AnalysisError."""
        path = directory / PLAN
        if not there(path):
            raise AnalysisError(f"{directory} holds no {PLAN}: give the directory of a finished `evopo transfer`")
        try:
            plan = json.loads(read_bounded(path))
            if plan["version"] != VERSION:
                raise ValueError(f"expected version {VERSION}, got {str(plan['version'])[:20]}")
            settings = {s["name"]: tuple(map(_text, s["changes"])) for s in plan["settings"]}
            if not settings or not all(SETTING_NAME.fullmatch(name) for name in settings):
                raise ValueError("expected settings with names of letters, digits, and any of _.- after the first")
            return cls(one_line(_text(plan["task"]), 200), tuple(map(_text, plan["losses"])), settings)
        except (UnsafeFile, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise AnalysisError(
                f"{path} is no plan of a transfer ({one_line(str(error), 120)}); run the command again in this directory"
            ) from None


@dataclass(frozen=True)
class Result:
    """One loss in one setting."""

    name: str
    fitness: Mapping[int, float]
    """By seed."""
    items: Mapping[int, Items]
    failed: frozenset[int]
    """Seeds on which the training failed."""
    refused: bool = False
    """Whether the sandbox refused it."""
    caution: str = ""
    """Why no claim may be made of it; empty where claims are allowed."""

    @property
    def mean(self) -> float | None:
        """Mean fitness; None without a score."""
        return stats.mean(list(self.fitness.values())) if self.fitness else None

    @property
    def sound(self) -> bool:
        """Whether it was scored on all seeds on which it was trained."""
        return bool(self.fitness) and not self.failed


@dataclass(frozen=True)
class Setting:
    """The results of one setting, in the order of the plan."""

    name: str
    changes: tuple[str, ...]
    metric: str
    rung: str
    seeds: tuple[int, ...]
    """The seeds on which every loss that can be trained has ended."""
    results: tuple[Result, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Result]:
        """The results by loss."""
        return {r.name: r for r in self.results}

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """Rank by mean fitness, 1 is best, equal means have the same; losses with failed trainings come after all others."""
        order = {r.name: (r.sound, r.mean) for r in self.results if r.mean is not None}
        return {name: 1 + sum(other > own for other in order.values()) for name, own in order.items()}

    @cached_property
    def seed_ranks(self) -> Mapping[str, tuple[float, ...]]:
        """Rank on each seed; equal values have the mean of their ranks, and a failed training is worse than any other."""
        trained = [r for r in self.results if not r.refused]
        found: dict[str, list[float]] = {r.name: [] for r in trained}
        for seed in self.seeds:
            values = {r.name: r.fitness.get(seed, -float("inf")) for r in trained}
            for name, own in values.items():
                above = sum(other > own for other in values.values())
                found[name].append(above + (sum(other == own for other in values.values()) + 1) / 2)
        return {name: tuple(ranks) for name, ranks in found.items()}


class Verdict(StrEnum):
    """What became of the winner in a further setting."""

    STAYS = "stays"
    """It is significantly better than every other loss."""
    OPEN = "cannot be told apart"
    """No loss is significantly better, and at least one is not significantly worse."""
    FALLS = "falls back"
    """At least one loss is significantly better."""
    FAILS = "fails"
    """Its training failed, at least on one seed."""


@dataclass(frozen=True)
class Comparison:
    """The winner minus another loss in one setting."""

    other: str
    paired: stats.Paired
    adjusted: float
    """p-value, corrected by Holm over all comparisons of the winner."""

    @property
    def significant(self) -> bool:
        """Whether the difference is past the noise."""
        return self.adjusted < stats.SIGNIFICANCE


@dataclass(frozen=True)
class Standing:
    """The winner in one further setting."""

    setting: str
    verdict: Verdict
    comparisons: tuple[Comparison, ...]
    """The other losses, best mean fitness first. Losses with failed trainings are left out: their means are over other seeds."""
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Transfer:
    """The results of `evopo transfer`."""

    plan: Plan
    settings: tuple[Setting, ...]

    @property
    def winner(self) -> str | None:
        """The loss with the best mean fitness in the first setting; None if none was scored on all seeds."""
        first = self.settings[0]
        fit = [r for r in first.results if r.sound and not r.caution]
        return min(fit, key=lambda r: first.ranks[r.name]).name if fit else None

    @cached_property
    def standings(self) -> tuple[Standing, ...]:
        """What became of the winner in each further setting."""
        winner = self.winner
        if winner is None:
            return ()
        further = self.settings[1:]
        pairs = {
            (setting.name, other.name): pair
            for setting in further
            for other in setting.results
            if other.name != winner and other.sound and (pair := _paired(setting.by_name[winner], other))
        }
        adjusted = stats.holm([1.0 if pair.p_value is None else pair.p_value for pair in pairs.values()])
        p_values = dict(zip(pairs, adjusted, strict=True))
        return tuple(
            _standing(
                setting,
                winner,
                [Comparison(other, p, p_values[at, other]) for (at, other), p in pairs.items() if at == setting.name],
            )
            for setting in further
        )


def transfer_of(directory: Path) -> Transfer:
    """The results in a directory of `evopo transfer`. Raises AnalysisError, ArchiveError."""
    plan = Plan.read(directory)
    settings = []
    for name, changes in plan.settings.items():
        archive = directory / name / "archive.db"
        if not there(archive):
            raise AnalysisError(f"the setting {name} in {directory} is not measured yet: run the same command again")
        with Reader.open(archive) as reader:
            settings.append(_setting(Snapshot.of(reader), plan, name, changes))
    return Transfer(plan, tuple(settings))


def _setting(snapshot: Snapshot, plan: Plan, name: str, changes: tuple[str, ...]) -> Setting:
    final, ids = snapshot.final, {row.name: row.id for row in snapshot.seeds}
    if final is None or (missing := [loss for loss in plan.losses if loss not in ids]):
        what = f" of {one_line(missing[0])}" if final else ""
        raise AnalysisError(f"the setting {name} has no results{what} yet: run the same command again")
    results = []
    for loss in plan.losses:
        arm, verdict = Arm(ids[loss], final.rung), snapshot.verdicts.get(ids[loss])
        scores, items = snapshot.scores.get(arm, {}), snapshot.items.get(arm, {})
        noted = loss not in known.names() and any(f.rule == SINGLES_OUT for f in snapshot.findings.get(ids[loss], ()))
        results.append(
            Result(
                one_line(loss, 60),
                {seed: scores[seed] for seed in final.seeds if seed in scores},
                {seed: items[seed] for seed in final.seeds if seed in items},
                snapshot.failures.get(arm, frozenset()) & final.seeds,
                refused=verdict is not None and verdict.status != VerdictStatus.ACCEPTED,
                caution=CAUTION if noted else "",
            )
        )
    trained = [r for r in results if not r.refused]
    ended = tuple(sorted(s for s in final.seeds if all(s in r.fitness or s in r.failed for r in trained)))
    metric = one_line(snapshot.metric(final.rung), 200)
    return Setting(name, tuple(map(one_line, changes)), metric, one_line(final.rung), ended, tuple(results))


def _paired(ours: Result, theirs: Result) -> stats.Paired | None:
    pair = stats.paired(ours.fitness, theirs.fitness)
    return pair and covering_items(pair, ours.items, theirs.items)


def _standing(setting: Setting, winner: str, comparisons: Sequence[Comparison]) -> Standing:
    ordered = tuple(sorted(comparisons, key=lambda c: c.paired.difference))
    compared = {winner, *(c.other for c in ordered)}
    left_out = tuple(r.name for r in setting.results if r.name not in compared)
    worse = [c for c in ordered if c.significant and c.paired.difference > 0]
    verdict = Verdict.STAYS if ordered and len(worse) == len(ordered) else Verdict.OPEN
    if any(c.significant and c.paired.difference < 0 for c in ordered):
        verdict = Verdict.FALLS
    if not setting.by_name[winner].sound:
        verdict = Verdict.FAILS
    return Standing(setting.name, verdict, ordered, left_out)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value
