"""What stands in the way of a claim, in words: a baseline that was not tuned far enough, a loss that is known already.

The reasons are shown beside the finalists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis import stats
from analysis.snapshot import Arm, Snapshot
from analysis.wording import arm_name, display_name, figure
from archive.records import CandidateRow
from sandbox.relation import Kind, Relation


def edge(snapshot: Snapshot, best: Arm, tried: Sequence[Arm]) -> str:
    """Says that the baseline's best arm lies at the edge of what was tried, so a further one may be better still; else empty.

    An arm that failed bounds the grid like one that scored. A baseline with one arm has no edge: it was not to be tuned.
    """
    own = (snapshot.beta, snapshot.learning_rate)
    for axis, name in enumerate(("beta", "learning rate")):
        line = [arm for arm in tried if _tuning(arm)[1 - axis] == _tuning(best)[1 - axis]]
        values = sorted(value for arm in line if (value := _value(arm, axis, own)) is not None)
        at = _value(best, axis, own)
        if at is None or len(values) < 2 or at not in (values[0], values[-1]):
            continue
        side = "smallest" if at == values[0] else "largest"
        key = "ladder.yardstick_betas" if axis == 0 else "ladder.yardstick_learning_rates"
        return (
            f"the best {name} of {display_name(snapshot.candidates[best.candidate])}, {figure(at)}, is the {side} that was "
            f"tried, so a better one may lie beyond it: widen {key}, or raise ladder.yardstick_widenings"
        )
    return ""


class Bar(StrEnum):
    """What forbids to call a loss that is above the baseline a discovery; the first that holds, in this order."""

    UNKNOWN = "unknown"
    """It was not compared with the published losses."""
    PUBLISHED = "published"
    """It is one of them, perhaps at another beta or times a factor."""
    NEAR = "near"
    """It is nearly one of them, which the run did not measure there."""
    EQUALLED = "equalled"
    """A known loss of the run does as well."""
    UNMEASURED = "unmeasured"
    """A known loss of the run was not measured on these seeds."""
    SEARCHED = "searched"
    """The seeds are those that chose it."""


@dataclass(frozen=True)
class Obstacle:
    """What forbids a discovery, and the reason in words."""

    bar: Bar
    words: str


def obstacle(
    snapshot: Snapshot, relation: Relation | None, fresh: bool, p_new: float, rival: Arm | None, measured: Sequence[Arm],
    missing: Sequence[CandidateRow],
) -> Obstacle | None:  # fmt: skip
    """What stands between a loss that is above the baseline and a discovery; None where nothing does."""
    if relation is None:
        return Obstacle(Bar.UNKNOWN, "it was not compared with the published losses")
    if relation.published:
        return Obstacle(Bar.PUBLISHED, f"it is {relation.words}")
    if relation.kind is Kind.NEAR and not _measured(snapshot, relation, measured):
        name = relation.parts[0].name
        return Obstacle(Bar.NEAR, f"it is {relation.words}, which this run did not measure there: add {name} to seeds")
    if rival is None or p_new >= stats.SIGNIFICANCE:
        known = arm_name(snapshot.candidates[rival.candidate], rival) if rival else "any known loss"
        return Obstacle(Bar.EQUALLED, f"it cannot be told from {known}, which is published")
    if missing:
        names = ", ".join(display_name(row) for row in missing)
        return Obstacle(Bar.UNMEASURED, f"it was not compared on these seeds with {names}")
    return None if fresh else Obstacle(Bar.SEARCHED, "these seeds are those that chose it")


def _measured(snapshot: Snapshot, relation: Relation, measured: Sequence[Arm]) -> bool:
    """Whether the published loss that it is nearest to was trained at the beta in question."""
    (part,) = relation.parts
    ids = {row.id for row in snapshot.seeds if row.name == part.name}
    own = snapshot.beta
    if own is None:
        return any(arm.candidate in ids for arm in measured)
    wanted = own * part.beta_factor
    return any(arm.candidate in ids and abs((arm.beta or own) / wanted - 1) < 0.01 for arm in measured)


def _tuning(arm: Arm) -> tuple[float | None, float | None]:
    return arm.beta, arm.learning_rate


def _value(arm: Arm, axis: int, own: tuple[float | None, float | None]) -> float | None:
    value = _tuning(arm)[axis]
    return own[axis] if value is None else value
