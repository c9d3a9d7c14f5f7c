"""What stands in the way of a claim, in words: a baseline that was not tuned far enough, a loss that is known already.

The reasons are shown beside the finalists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis import stats
from analysis.output.encode import one_line
from analysis.snapshot import Arm, Snapshot
from analysis.wording import arm_name, display_name, figure
from archive.records import CandidateRow
from sandbox.identity.relation import Kind, Relation


def edge(snapshot: Snapshot, best: Arm, tried: Sequence[Arm]) -> str:
    """Says that a known loss's best arm lies at the edge of what was tried, so a further one may be better still; else empty.

    The grid is the one that the final recorded, else all that was tried. An arm bounds it, failed or not, from half a step of
    the grid on. A loss that was not to be tuned has no edge.
    """
    final, own = snapshot.final, (snapshot.beta, snapshot.learning_rate)
    grid = final.grid if final is not None and final.grid else tuple(_tuning(arm) for arm in tried)
    for axis, name in enumerate(("beta", "learning rate")):
        values = sorted({v for tuning in grid if (v := _value(tuning, axis, own)) is not None})
        line = [_tuning(arm) for arm in tried if _tuning(arm)[1 - axis] == _tuning(best)[1 - axis]]
        beside = [v for tuning in line if (v := _value(tuning, axis, own)) is not None]
        at = _value(_tuning(best), axis, own)
        if at is None or len(values) < 2:
            continue
        low, high = (values[1] / values[0]) ** 0.5, (values[-1] / values[-2]) ** 0.5
        side = "" if any(v * low <= at * (1 + 1e-9) for v in beside) else "smallest"
        side = side if any(v * (1 + 1e-9) >= at * high for v in beside) else "largest"
        if side:
            return (
                f"the best {name} of {display_name(snapshot.candidates[best.candidate])}, {figure(at)}, is the {side} that was "
                "tried, so a better one may lie beyond it"
            )
    return ""


def widening(snapshot: Snapshot) -> str:
    """How to go on where a grid ended at its best arm."""
    final = snapshot.final
    rates = final is not None and len({beta for beta, _ in final.grid}) < 2 and len(final.grid) > 1
    return f"widen ladder.baseline_{'learning_rates' if rates else 'betas'}, or raise ladder.baseline_widenings"


class ObstacleKind(StrEnum):
    """What forbids to call a loss that is above the baseline a discovery; the first that holds, in this order."""

    UNKNOWN = "unknown"
    """It was not compared with the published losses."""
    PUBLISHED = "published"
    """It is one of them, perhaps at another beta or times a factor."""
    NEAR = "near"
    """It is nearly one of them, which the run did not measure there."""
    EQUALLED = "equalled"
    """A known loss of the run does as well."""
    UNCLEAR = "unclear"
    """It is above each known loss, but not once the choice of the finalist is paid for."""
    UNTUNED = "untuned"
    """The best other known loss was not tuned, or not far enough."""
    UNMEASURED = "unmeasured"
    """A known loss of the run could not be compared on these seeds."""
    SEARCHED = "searched"
    """The seeds are those that chose it."""


@dataclass(frozen=True)
class Obstacle:
    """What forbids a discovery, and the reason in words."""

    kind: ObstacleKind
    words: str


@dataclass(frozen=True)
class KnownLosses:
    """What the deciding seeds say of the known losses, beside the finalist's own comparisons."""

    measured: Sequence[Arm]
    """Arms that can be compared with, and those that failed on every seed."""
    missing: Sequence[CandidateRow]
    """Known losses that were trained here and cannot be compared, or were not trained here."""
    untuned: str
    """Why the best other known loss may do better still; empty where it was tuned well."""


def obstacle(
    snapshot: Snapshot,
    relation: Relation | None,
    fresh: bool,
    p_new: float,
    rival: Arm | None,
    clear: bool,
    known: KnownLosses,
) -> Obstacle | None:
    """What stands between a loss that is above the baseline and a discovery; None where nothing does.

    `p_new` is corrected; `clear` is whether the loss is above its rival before the correction.
    """
    if relation is None:
        return Obstacle(ObstacleKind.UNKNOWN, "it was not compared with the published losses")
    words = one_line(relation.words, 120)
    if relation.published:
        return Obstacle(ObstacleKind.PUBLISHED, f"it is {words}")
    if relation.kind is Kind.NEAR and not _measured(snapshot, relation, known.measured):
        name = relation.parts[0].name
        there = any(row.name == name for row in snapshot.seeds)
        remedy = "" if there else f": add {one_line(name, 60)} to seeds"
        return Obstacle(ObstacleKind.NEAR, f"it is {words}, which could not be compared there{remedy}")
    if rival is None or p_new >= stats.SIGNIFICANCE:
        name = arm_name(snapshot.candidates[rival.candidate], rival) if rival else "any known loss"
        if clear:
            return Obstacle(
                ObstacleKind.UNCLEAR, f"its distance to {name} is not clear once the choice of the finalist is paid for"
            )
        return Obstacle(ObstacleKind.EQUALLED, f"it cannot be told from {name}, which is published")
    if known.untuned:
        return Obstacle(ObstacleKind.UNTUNED, known.untuned)
    if known.missing:
        names = ", ".join(display_name(row) for row in known.missing)
        return Obstacle(ObstacleKind.UNMEASURED, f"it could not be compared on these seeds with {names}")
    return None if fresh else Obstacle(ObstacleKind.SEARCHED, "these seeds are those that chose it")


def _measured(snapshot: Snapshot, relation: Relation, measured: Sequence[Arm]) -> bool:
    """Whether the published loss that it is nearest to was trained at the beta in question."""
    part = relation.parts[0]
    ids = {row.id for row in snapshot.seeds if row.name == part.name}
    own = snapshot.beta
    if own is None:
        return any(arm.candidate in ids for arm in measured)
    wanted = own * part.beta_factor
    return any(arm.candidate in ids and abs((arm.beta or own) / wanted - 1) < 0.01 for arm in measured)


def _tuning(arm: Arm) -> tuple[float | None, float | None]:
    return arm.beta, arm.learning_rate


def _value(
    tuning: tuple[float | None, float | None], axis: int, own: tuple[float | None, float | None]
) -> float | None:
    value = tuning[axis]
    return own[axis] if value is None else value
