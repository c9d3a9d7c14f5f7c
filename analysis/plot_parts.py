"""What the pictures share: colours of operators, the scale that fits most candidates, where an axis ends."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis import stats
from analysis.canvas import COMBINE, EXPLORE, MUTED, REFINE, REPAIR
from analysis.comparison import best_arm
from analysis.moves import Move
from analysis.snapshot import Snapshot
from archive.records import CandidateRow, Operator, Origin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 10.0
"""Inches; pages scale it to their own width."""

OPERATOR_COLOURS: Mapping[Operator, str] = {
    Operator.EXPLORE: EXPLORE,
    Operator.REFINE: REFINE,
    Operator.COMBINE: COMBINE,
    Operator.REPAIR: REPAIR,
}


def common_rung(snapshot: Snapshot) -> str | None:
    """The rung at which most candidates have scores, the higher of equals: the one scale that fits most of them."""
    counts = {rung: len(fitness_at(snapshot, rung)) for rung in snapshot.rungs}
    return max(reversed(snapshot.rungs), key=counts.__getitem__, default=None)


def fitness_at(snapshot: Snapshot, rung: str) -> dict[int, float]:
    """Mean fitness at a rung, of the best arm, by candidate."""
    found = {}
    for id in snapshot.candidates:
        arms = snapshot.arms(id, rung)
        if (arm := best_arm(arms)) is not None:
            found[id] = stats.mean(list(arms[arm].values()))
    return found


def error_at(snapshot: Snapshot, candidate: int, rung: str) -> float | None:
    arms = snapshot.arms(candidate, rung)
    arm = best_arm(arms)
    return None if arm is None else stats.standard_error(list(arms[arm].values()))


def is_proposal(snapshot: Snapshot, candidate: int) -> bool:
    return snapshot.candidates[candidate].origin is Origin.PROPOSAL


def colour_of(snapshot: Snapshot, row: CandidateRow) -> str:
    proposal = snapshot.proposals.get(row.proposal_id or 0)
    return MUTED if proposal is None else OPERATOR_COLOURS[proposal.operator]


def robust_floor(values: Sequence[float]) -> float:
    """Where the axis ends below: a collapsed training must not squeeze all others into a line."""
    if len(values) < 5:
        return min(values)
    low, _, high = statistics.quantiles(values, n=4)
    return max(min(values), low - 2.5 * (high - low))


def operator_legend(axes: Axes, found: Sequence[Move], *, line: bool) -> None:
    from matplotlib.lines import Line2D

    declared = {move.declared for move in found}
    handles = (
        [Line2D([], [], color=MUTED, marker="s", linestyle="none", markersize=5, label="seed loss")] if line else []
    )
    handles += [
        Line2D([], [], color=colour, marker="o", markersize=4.5, linewidth=1.4 * line, label=operator.value)
        for operator, colour in OPERATOR_COLOURS.items()
        if operator in declared
    ]
    axes.legend(
        handles=handles, ncols=len(handles), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2,
        handlelength=1.8 if line else 0.6, columnspacing=1.4,
    )  # fmt: skip
