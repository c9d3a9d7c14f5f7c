"""Parts shared by the pictures: operator colours, comparable fitness of candidates, axis limits, legends."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import stats
from analysis.claims.comparison import at_rung, best_arm
from analysis.lineage.moves import Move, in_order
from analysis.plots.canvas import COMBINE, EXPLORE, FURTHER, MUTED, REFINE, REPAIR
from analysis.snapshot import Snapshot
from archive.records import CandidateRow, Operator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 10.0
"""Width of a picture in inches. Pages scale it to their own width."""

OPERATOR_COLOURS: Mapping[str, str] = {
    Operator.EXPLORE: EXPLORE,
    Operator.REFINE: REFINE,
    Operator.COMBINE: COMBINE,
    Operator.REPAIR: REPAIR,
}
"""Colours of the built-in operators. Another operator gets one of `FURTHER`, chosen by its name."""


LINKED = 1000
"""Largest number of points of a picture that are links with a tooltip: each takes 300 bytes of a page."""


@dataclass(frozen=True)
class Level:
    """Fitness of a candidate at a rung, comparable between candidates with different seeds."""

    value: float
    error: float | None = None
    """Standard error of the difference to the baseline; None below two shared seeds."""


def levels(snapshot: Snapshot, rung: str) -> dict[int, Level]:
    """Fitness of each candidate at a rung, comparable between candidates with different seeds.

    It is the baseline's mean plus the paired difference to the baseline. This is the plain mean if all have the same seeds. If the
    baseline has no score at the rung, plain means are returned.
    """
    found: dict[int, Level] = {}
    baseline = snapshot.baseline
    own = best_arm(snapshot.arms(baseline.id, rung)) if baseline else None
    if own is None:
        for id in snapshot.candidates:
            if (arm := best_arm(snapshot.arms(id, rung))) is not None:
                values = list(snapshot.scores[arm].values())
                found[id] = Level(stats.mean(values), stats.standard_error(values))
        return found
    zero = stats.mean(list(snapshot.scores[own].values()))
    found[own.candidate] = Level(zero)
    for comparison in at_rung(snapshot, rung):
        pair = comparison.paired
        error = None if pair.borrowed else pair.standard_error
        found.setdefault(comparison.arm.candidate, Level(zero + pair.difference, error))
    return found


def common_rung(snapshot: Snapshot) -> str | None:
    """The rung at which most candidates have scores, the higher one among equals. None without scores."""
    counts = {rung: sum(bool(snapshot.arms(id, rung)) for id in snapshot.candidates) for rung in snapshot.rungs}
    return max(reversed(snapshot.rungs), key=counts.__getitem__, default=None)


def colour_of(snapshot: Snapshot, row: CandidateRow) -> str:
    proposal = snapshot.proposals.get(row.proposal_id or 0)
    return MUTED if proposal is None else colour_of_operator(proposal.operator)


def colour_of_operator(name: str) -> str:
    """The colour of an operator's proposals."""
    return OPERATOR_COLOURS.get(name) or FURTHER[sum(name.encode()) % len(FURTHER)]


def robust_floor(values: Sequence[float]) -> float:
    """Lower end of a fitness axis, so that one collapsed training does not compress all others."""
    if len(values) < 5:
        return min(values)
    low, _, high = statistics.quantiles(values, n=4)
    return max(min(values), low - 2.5 * (high - low))


def operator_legend(axes: Axes, found: Sequence[Move], *, line: bool) -> None:
    from matplotlib.lines import Line2D

    handles = (
        [Line2D([], [], color=MUTED, marker="s", linestyle="none", markersize=5, label="seed loss")] if line else []
    )
    handles += [
        Line2D([], [], color=colour_of_operator(name), marker="o", markersize=4.5, linewidth=1.4 * line, label=name)
        for name in in_order(move.declared for move in found)
    ]
    axes.legend(
        handles=handles, ncols=len(handles), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2,
        handlelength=1.8 if line else 0.6, columnspacing=1.4,
    )  # fmt: skip
