"""Pictures of scores and losses: fitness over steps, finalists and known losses, shapes of losses.

Each function returns a matplotlib figure; `canvas.svg` and `canvas.png` write it. All raise MissingExtra without matplotlib, and
NothingToDraw if the archive holds nothing that the picture would show. `analysis.plots.lineage` draws the lineage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from analysis import stats
from analysis.claims.comparison import Comparison, Decision
from analysis.lineage.moves import moves
from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.plots.canvas import EXPLORE, FAINT, INK, MUTED, PAPER, blank, drawing
from analysis.plots.landscape.curve import Curve
from analysis.plots.parts import WIDTH, colour_of, levels, operator_legend, robust_floor
from analysis.snapshot import Arm, Snapshot
from analysis.wording import arm_name, display_name, told_arm
from archive.records import CandidateRow, Origin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---- fitness over time ---------------------------------------------------------------------------------------------


def draw_progress(snapshot: Snapshot) -> Figure:
    """Fitness over steps, one panel per rung, with standard errors, the best so far, and the baseline."""
    rungs = [rung for rung in snapshot.rungs if any(snapshot.is_proposal(id) for id in levels(snapshot, rung))]
    if not rungs:
        raise NothingToDraw("no proposed loss was scored yet, so there is no progress to draw")
    with drawing():
        figure = blank(WIDTH, 0.7 + 2.1 * len(rungs))
        panels = figure.subplots(len(rungs), 1, sharex=True, squeeze=False)[:, 0]
        for axes, rung in zip(panels, rungs, strict=True):
            _progress_panel(axes, snapshot, rung)
        panels[-1].set_xlabel("step")
        operator_legend(panels[0], moves(snapshot), line=False)
        return figure


def _progress_panel(axes: Axes, snapshot: Snapshot, rung: str) -> None:
    found = levels(snapshot, rung)
    floor = robust_floor([level.value for level in found.values()])
    proposals = [id for id in found if snapshot.is_proposal(id)]
    alike: dict[tuple[str, bool, bool], list[int]] = {}  # one call for each point would take minutes in a long run
    for id in proposals:
        seen = found[id].value >= floor
        colour = colour_of(snapshot, snapshot.candidates[id])
        alike.setdefault((colour, seen, seen and found[id].error is not None), []).append(id)
    for (colour, seen, barred), ids in alike.items():
        axes.errorbar(
            [snapshot.step(id) for id in ids], [max(found[id].value, floor) for id in ids],
            yerr=[found[id].error or 0.0 for id in ids] if barred else None,
            fmt="o" if seen else "v", markersize=4.5, color=colour, linestyle="none",
            markeredgecolor=PAPER, markeredgewidth=0.5, elinewidth=1, capsize=2, zorder=3,
        )  # fmt: skip
    steps = sorted((snapshot.step(id), found[id].value) for id in proposals if not snapshot.caution(id))
    if steps:
        best = list(accumulate((value for _, value in steps), max))
        last = max(snapshot.step(id) for id in snapshot.candidates)
        line = [max(value, floor) for value in (*best, best[-1])]
        axes.step([s for s, _ in steps] + [last], line, where="post", color=INK, linewidth=1.3, zorder=2)
        axes.annotate(
            f"best {best[-1]:#.3g}", (last, line[-1]), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8,
            annotation_clip=False,
        )  # fmt: skip
    baseline = snapshot.baseline
    if baseline is not None and baseline.id in found:
        level = found[baseline.id].value
        axes.axhline(level, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            label_text(display_name(baseline), 14), (0, level), xycoords=("axes fraction", "data"), xytext=(3, 2),
            textcoords="offset points", fontsize=8, color=MUTED,
        )  # fmt: skip
    counts = sorted({len(s) for id in proposals for s in snapshot.arms(id, rung).values()})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed" + "s" * (counts[0] > 1)
    axes.set_title(f"rung {label_text(rung)}  ·  {len(proposals)} losses, {seeds} each")
    axes.set_ylabel("fitness")


# ---- finalists and known losses ------------------------------------------------------------------------------------


def draw_comparison(snapshot: Snapshot, decision: Decision) -> Figure:
    """The finalists and every arm of the known losses: fitness per seed with mean and standard error, and paired differences."""
    rows = _comparison_rows(snapshot, decision)
    baseline = told_arm(snapshot, decision.baseline)
    with drawing():
        figure = blank(WIDTH, 0.85 + 0.33 * len(rows))
        left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [1.15, 1]})
        for height, (arm, scores, comparison) in enumerate(rows):
            row = snapshot.candidates[arm.candidate]
            colour = colour_of(snapshot, row)
            values = list(scores.values())
            left.scatter(values, [height] * len(values), s=11, c=colour, alpha=0.35, linewidths=0, zorder=2)
            left.errorbar(
                stats.mean(values), height, xerr=stats.standard_error(values), fmt="s" if row.origin is Origin.SEED else "o",
                color=colour, markersize=6, markeredgecolor=PAPER, elinewidth=1.8, capsize=3, zorder=3,
            )  # fmt: skip
            if comparison is not None:
                _difference_row(right, height, comparison, colour)
        right.axvline(0, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        left.set_yticks(range(len(rows)), [_comparison_label(snapshot, arm, compared) for arm, _, compared in rows])
        left.tick_params(axis="y", labelcolor=INK, labelsize=8.5)
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.set_title(f"fitness at rung {label_text(decision.rung)}")
        right.set_title(f"difference to {label_text(baseline, 40)},\npaired by seed")
        for axes in (left, right):
            axes.grid(True, axis="x")
            axes.grid(False, axis="y")
        return figure


def _comparison_label(snapshot: Snapshot, arm: Arm, comparison: Comparison | None) -> str:
    name, id = arm_name(snapshot.candidates[arm.candidate], arm), _told_apart(snapshot, arm.candidate)
    unclaimed = " (no claim)" if comparison and comparison.caution else ""
    return label_text(name, 40 - len(id) - len(unclaimed)) + id + unclaimed


def _told_apart(snapshot: Snapshot, candidate: int) -> str:
    """The id of a candidate whose name another one has too, to be added to its name."""
    return f" #{candidate}" if candidate in snapshot.namesakes else ""


def _difference_row(axes: Axes, height: int, comparison: Comparison, colour: str) -> None:
    pair = comparison.paired
    if pair.standard_error is not None and pair.freedom is not None:
        reach = stats.student_quantile(1 - stats.SIGNIFICANCE / 2, pair.freedom) * pair.standard_error
        axes.plot(
            [pair.difference - reach, pair.difference + reach], [height] * 2, color=colour, linewidth=0.9, zorder=2
        )
    axes.errorbar(
        pair.difference, height, xerr=pair.standard_error, fmt="D", color=colour, markersize=4.5, elinewidth=2.6, zorder=3,
    )  # fmt: skip


def _comparison_rows(
    snapshot: Snapshot, decision: Decision
) -> list[tuple[Arm, Mapping[int, float], Comparison | None]]:
    """The finalists, then every arm of the known losses, best first."""
    others = [(c.arm, c.scores, c) for c in decision.comparisons]
    chosen = {c.arm for c in decision.finalists}
    finalists = [entry for entry in others if entry[0] in chosen]
    known: list[tuple[Arm, Mapping[int, float], Comparison | None]] = [
        (m.arm, m.scores, None) for m in decision.baseline_arms if m.scores
    ]
    known += [entry for entry in others if not snapshot.is_proposal(entry[0].candidate)]
    by_mean = sorted(known, key=lambda entry: -stats.mean(list(entry[1].values())))
    return [*finalists[:12], *by_mean]


# ---- shapes --------------------------------------------------------------------------------------------------------


def draw_shapes(curves: Sequence[tuple[CandidateRow, Curve]], reference: Curve | None = None) -> Figure:
    """Panels per loss: the loss over the margin (above) and its slope (below), with the baseline's slope in grey."""
    if not curves:
        raise NothingToDraw("no loss with a graph to draw")
    columns, names = min(4, len(curves)), Counter(row.name.lower() for row, _ in curves)
    lines = -(-len(curves) // columns)
    with drawing():
        figure = blank(WIDTH, 0.2 + 2.25 * lines)
        panels = figure.subplots(
            2 * lines, columns, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [1.5, 1] * lines}
        )
        for place in range(lines * columns):
            upper, lower = (
                panels[2 * (place // columns)][place % columns],
                panels[2 * (place // columns) + 1][place % columns],
            )
            if place >= len(curves):
                upper.set_axis_off()
                lower.set_axis_off()
                continue
            row, curve = curves[place]
            id = f" #{row.id}" if names[row.name.lower()] > 1 else ""
            _shape_panel(upper, lower, row, curve, reference, id)
            lower.tick_params(labelbottom=True)
            if place + columns >= len(curves):
                lower.set_xlabel(curves[place][1].axis)
        return figure


def _shape_panel(upper: Axes, lower: Axes, row: CandidateRow, curve: Curve, reference: Curve | None, id: str) -> None:
    colour = INK if row.origin is Origin.SEED else EXPLORE
    upper.plot(curve.margins, curve.values, color=colour, linewidth=1.6)
    upper.set_title(label_text(display_name(row), 24) + id + (" ‡" if curve.coupled else ""), fontsize=8.5, pad=9)
    scale = curve.usual_slope
    if reference is not None:
        grey = [slope / reference.usual_slope for slope in reference.slopes]
        lower.plot(reference.margins, grey, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
    # NaN is kept, and leaves a gap in the line.
    slopes = [slope if math.isnan(slope) else min(1.6, max(-1.6, slope / scale)) for slope in curve.slopes]
    lower.fill_between(curve.margins, slopes, color=colour, alpha=0.16, linewidth=0)
    lower.plot(curve.margins, slopes, color=colour, linewidth=1.1)
    lower.axhline(0, color=MUTED, linewidth=0.6)
    lower.set_ylim(-1.5, 0.9)
    lower.set_yticks([-1, 0], ["fall", "0"])
    for axes in (upper, lower):
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    finite = [value for value in curve.values if math.isfinite(value)]
    if finite:
        low, high = min(finite), max(finite)
        # A loss that grows exponentially is cut off, so that its shape near zero remains visible.
        inner = [
            v
            for m, v in zip(curve.margins, curve.values, strict=True)
            if math.isfinite(v) and abs(m) <= max(curve.margins) / 2
        ]
        top = min(high, 3 * max(inner, default=high) - 2 * low) if inner else high
        upper.set_ylim(low - 0.06 * (top - low or 1), top + 0.06 * (top - low or 1))
