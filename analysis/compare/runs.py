"""The runs of a comparison, and whether they can be compared: same task, same options of fitness, same baseline."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analysis.final import seeds_of
from analysis.output.encode import one_line
from analysis.output.errors import NotComparable
from analysis.snapshot import Arm, Snapshot
from archive.records import EvaluationRow, EventKind

MOST_NAMED = 6
"""Most differing keys that an error names."""


@dataclass(frozen=True)
class Run:
    """A recorded run. `name` is its directory as the user gave it, `settings` its configuration with dotted keys."""

    name: str
    snapshot: Snapshot
    settings: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The seed of the search."""
        return self.snapshot.run.seed

    @cached_property
    def finished(self) -> bool:
        """Whether the search and the final have ended."""
        marks = (EventKind.SESSION_STARTED, EventKind.FINISHED)
        return [e.kind for e in self.snapshot.events if e.kind in marks][-1:] == [EventKind.FINISHED]

    @cached_property
    def fresh_seeds(self) -> frozenset[int]:
        """The seeds of all its finals."""
        finals = (event.payload for event in self.snapshot.events if event.kind == EventKind.FINAL)
        return frozenset(seed for payload in finals for seed in seeds_of(payload))

    def searched(self, row: EvaluationRow) -> bool:
        """Whether a training belongs to the search, and not to a final."""
        return row.seed not in self.fresh_seeds

    @cached_property
    def advantages(self) -> Mapping[str, Mapping[int, Mapping[int, float]]]:
        """Fitness minus the baseline's on the same search seed: by rung, candidate and seed. With the task's own beta and learning
        rate. Candidates with a failed training or a caution are left out; so is the baseline itself."""
        baseline = self.snapshot.baseline
        if baseline is None:
            return {}
        failed = {
            row.candidate_id for row in self.snapshot.evaluations if row.reason is not None and self.searched(row)
        }
        found: dict[str, dict[int, dict[int, float]]] = {}
        for arm, scores in self.snapshot.scores.items():
            if arm != Arm(arm.candidate, arm.rung) or arm.candidate in failed | {baseline.id}:
                continue
            own = self.snapshot.scores.get(Arm(baseline.id, arm.rung), {})
            shared = {s: v - own[s] for s, v in scores.items() if s in own and s not in self.fresh_seeds}
            if shared and not self.snapshot.caution(arm.candidate):
                found.setdefault(arm.rung, {})[arm.candidate] = shared
        return found


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted key. Lists are values."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": deeper for inner, deeper in flat(value).items()}
        else:
            found[str(key)] = value
    return found


def shown(value: Any) -> str:
    """A setting as text for people."""
    return one_line(value if isinstance(value, str) else json.dumps(value, default=str), 60)


def require_comparable(runs: Sequence[Run]) -> None:
    """Raises NotComparable unless all runs are searches with the same task, options of fitness and baseline."""
    for run in runs:
        if kind := run.snapshot.run.identity.get("kind"):
            raise NotComparable(f"{run.name} holds {one_line(str(kind))} and no search; compare runs of `evopo run`")
        if run.snapshot.baseline is None:
            raise NotComparable(
                f"{run.name} has no baseline yet, so that no loss of it has an advantage; continue the run, or leave it out"
            )
    first = _identity(runs[0])
    for run in runs[1:]:
        own = _identity(run)
        keys = [key for key in dict.fromkeys((*first, *own)) if first.get(key) != own.get(key)]
        if keys:
            named = [
                f"{one_line(_as_written(key))} is {shown(first.get(key))} and {shown(own.get(key))}" for key in keys
            ]
            more = f", and {len(named) - MOST_NAMED} further keys" if len(named) > MOST_NAMED else ""
            raise NotComparable(
                f"{runs[0].name} and {run.name} measure different things: {'; '.join(named[:MOST_NAMED])}{more}. Compare runs "
                "of one task with the same fitness options and baseline"
            )


def deciding_rung(runs: Sequence[Run]) -> str:
    """The search rung of highest fidelity at which every run has measured its baseline and some run another loss.

    Raises NotComparable if there is none.
    """
    if not any(run.snapshot.is_proposal(id) for run in runs for own in run.advantages.values() for id in own):
        raise NotComparable("no run has a scored proposal yet, so there is nothing to compare; continue the runs")
    for run in runs:
        if not run.advantages:
            raise NotComparable(
                f"{run.name} has no scored loss besides its baseline, so there is nothing to compare; continue the run, or leave "
                "it out"
            )
    rungs = runs[0].snapshot.rungs
    for rung in reversed(rungs):
        if all(run.advantages.get(rung) for run in runs):
            return rung
    raise NotComparable(
        "the runs have no rung in common at which a loss was scored besides the baseline: "
        + ", ".join(f"{run.name} has {', '.join(map(one_line, run.advantages))}" for run in runs)
    )


def _as_written(key: str) -> str:
    """A key of an identity as the user writes it: the task's options are recorded under `fitness.options`."""
    return re.sub(r"^fitness\.options\.", "fitness.", key)


def _identity(run: Run) -> dict[str, Any]:
    """What must be equal, by dotted key."""
    row = run.snapshot.run
    parts = {key: value for key, value in row.identity.items() if key != "seed"}
    return flat({**parts, "task": row.task, "contract": row.contract, "baseline": row.baseline})
