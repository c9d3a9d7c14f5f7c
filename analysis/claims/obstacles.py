"""Obstacles to a claim, with their reasons in words: a baseline that was not tuned far enough, a loss that is a published one.

The reasons are shown with the finalists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis import stats
from analysis.output.encode import one_line
from analysis.snapshot import Arm, Snapshot
from analysis.wording import figure, how_known, told_arm, told_name
from archive.records import CandidateRow
from sandbox.identity.relation import Kind, Relation


def edge(snapshot: Snapshot, best: Arm, tried: Sequence[Arm]) -> str:
    """The reason if the best arm of a known loss is at the edge of its grid, so that an arm beyond may be better; else empty.

    The grid is the one that the final recorded, otherwise all arms tried. The best arm is inside if an arm was tried on each
    side of it, at least half a step of the grid away, failed or not. A grid of one value has no edge.
    """
    final, own = snapshot.final, (snapshot.beta, snapshot.learning_rate)
    grid = final.grid if final is not None and final.grid else tuple(_tuning(arm) for arm in tried)
    for axis, name in enumerate(("beta", "learning rate")):
        values = sorted({v for tuning in grid if (v := _value(tuning, axis, own)) is not None})
        line = [_tuning(arm) for arm in tried if _tuning(arm)[1 - axis] == _tuning(best)[1 - axis]]
        tried_values = [v for tuning in line if (v := _value(tuning, axis, own)) is not None]
        at = _value(_tuning(best), axis, own)
        if at is None or len(values) < 2:
            continue
        low, high = (values[1] / values[0]) ** 0.5, (values[-1] / values[-2]) ** 0.5
        side = "" if any(v * low <= at * (1 + 1e-9) for v in tried_values) else "smallest"
        side = side if any(v * (1 + 1e-9) >= at * high for v in tried_values) else "largest"
        if side:
            return (
                f"the best {name} of {told_name(snapshot, best.candidate)}, {figure(at)}, is the {side} that was "
                "tried, so a better one may lie beyond it"
            )
    return ""


def widening(snapshot: Snapshot) -> str:
    """The remedy if the baseline's best arm is at the edge of its grid. A finished run takes it with a larger budget only."""
    final = snapshot.final
    rates = final is not None and len({beta for beta, _ in final.grid}) < 2 and len(final.grid) > 1
    grid = "learning_rates" if rates else "betas"
    return f"widen ladder.baseline_{grid}, or raise ladder.baseline_widenings, in a new run or together with a larger budget"


class WithheldKind(StrEnum):
    """Why no loss may be called above the baseline."""

    FAILED = "failed"
    """The baseline failed on a deciding seed."""
    PENDING = "pending"
    """The baseline is not trained with all settings of its grid yet."""
    EDGE = "edge"
    """The baseline's best arm is at the edge of its grid."""


@dataclass(frozen=True)
class Withheld:
    """Why no loss may be called above the baseline, with the reason in words."""

    kind: WithheldKind
    words: str


class ObstacleKind(StrEnum):
    """Why a loss above the baseline is not a discovery: the first in this order that holds."""

    UNKNOWN = "unknown"
    """It was not compared with the published losses."""
    PUBLISHED = "published"
    """It is a published loss, perhaps at another beta or times a factor."""
    GIVEN = "given"
    """It is a seed loss of the user, perhaps at another beta or times a factor."""
    NEAR = "near"
    """It is close to a published loss that the run did not train at that beta."""
    EQUALLED = "equalled"
    """It is not significantly above a known loss of the run."""
    UNCLEAR = "unclear"
    """It is above each known loss, but not significantly after correction for the choice of the finalist."""
    UNTUNED = "untuned"
    """The best other known loss was not tuned, or not far enough."""
    UNMEASURED = "unmeasured"
    """A known loss of the run could not be compared on these seeds."""
    SEARCHED = "searched"
    """The deciding seeds are those that selected it."""


@dataclass(frozen=True)
class Obstacle:
    """Why a loss is not a discovery, with the reason in words."""

    kind: ObstacleKind
    words: str


@dataclass(frozen=True)
class KnownLosses:
    """The known losses on the deciding seeds."""

    measured: Sequence[Arm]
    """Arms that can be compared, and arms that failed on every seed."""
    missing: Sequence[CandidateRow]
    """Known losses that were not trained on these seeds, or cannot be compared on them."""
    untuned: str
    """Why the best known loss other than the baseline may have a better arm than those tried; empty if well tuned."""


def obstacle(
    snapshot: Snapshot,
    relation: Relation | None,
    fresh: bool,
    p_new: float,
    rival: Arm | None,
    clear: bool,
    known: KnownLosses,
    refound: str = "",
) -> Obstacle | None:
    """Why a loss above the baseline is not a discovery; None where it is one.

    `p_new` is Holm's p-value for being above every known loss. `clear` says whether the loss is above its rival without correction.
    `refound` says which seed loss of the user it is; empty if it is none.
    """
    if relation is None:
        return Obstacle(ObstacleKind.UNKNOWN, "it was not compared with the published losses")
    words = one_line(relation.words, 120)
    if relation.published:
        return Obstacle(ObstacleKind.PUBLISHED, f"it is {words}")
    if refound:
        return Obstacle(ObstacleKind.GIVEN, f"it is {refound}, which was given to the run")
    if relation.kind is Kind.NEAR and not _measured(snapshot, relation, known.measured):
        name = relation.parts[0].name
        there = any(row.name == name for row in snapshot.seeds)
        remedy = "" if there else f": add {one_line(name, 60)} to seeds"
        return Obstacle(ObstacleKind.NEAR, f"it is {words}, which could not be compared there{remedy}")
    if rival is None or p_new >= stats.SIGNIFICANCE:
        name = told_arm(snapshot, rival) if rival else "any known loss"
        if clear:
            return Obstacle(
                ObstacleKind.UNCLEAR, f"its difference to {name} is not significant after correction for the finalists"
            )
        how = f", {how_known(snapshot, rival.candidate)}" if rival else ""
        return Obstacle(ObstacleKind.EQUALLED, f"it is not distinguishable from {name}{how}")
    if known.untuned:
        return Obstacle(ObstacleKind.UNTUNED, known.untuned)
    if known.missing:
        names = ", ".join(told_name(snapshot, row.id) for row in known.missing)
        return Obstacle(ObstacleKind.UNMEASURED, f"it could not be compared on these seeds with {names}")
    return None if fresh else Obstacle(ObstacleKind.SEARCHED, "these seeds are those that selected it")


def _measured(snapshot: Snapshot, relation: Relation, measured: Sequence[Arm]) -> bool:
    """Whether the nearest published loss was trained at the beta of the relation."""
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
