"""Picture of `evopo baselines`: reward against KL over the grid of beta."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis import stats
from analysis.benchmarks.frontier import area
from analysis.output.files import is_special, refuse, write_whole
from analysis.plots.canvas import png, svg
from analysis.plots.frontier import Mark, Sweep, draw_frontier
from evo.baselines.design import Design, Row
from evo.baselines.table import KL_LIMIT, has_frontier, point, scored_betas
from fitness.preference.caches import why_not_writable
from fitness.task.protocol import TaskError, TaskInfo

DESCRIPTION = "Reward against KL divergence over a grid of beta, one line per loss"


def check_picture(path: Path, info: TaskInfo, wanted: Design) -> None:
    """Check before hours of training that the picture can be drawn and written. Raises TaskError, AnalysisError."""
    if path.suffix not in (".svg", ".png"):
        raise TaskError(f"--picture needs a file that ends in .svg or .png, got {path}")
    if len(wanted.betas) < 2:
        raise TaskError(
            f"--picture shows reward over a grid of beta: task {info.name} has none, or --betas names only one"
        )
    refuse(path)
    if not is_special(path) and (why := why_not_writable(path.parent)):
        raise TaskError(f"--picture cannot be written to {path} ({why}): choose another path")
    draw_frontier(Sweep("", [Mark(1.0, 1.0, None, 1.0, None)]), [], KL_LIMIT)  # raises now if matplotlib is missing


def write_picture(path: Path, rows: Sequence[Row], wanted: Design) -> None:
    """Draw the baseline, the user's own losses, and then the others by area under the frontier. Raises AnalysisError."""
    own = {loss.name for loss in wanted.losses if loss.own}
    found = sorted(_sweeps(rows), key=lambda pair: (pair[1].name not in own, -pair[0]))
    baseline = wanted.baseline or ""
    first = next((sweep for _, sweep in found if sweep.name == baseline), Sweep(baseline, ()))
    figure = draw_frontier(first, [sweep for _, sweep in found if sweep is not first], KL_LIMIT)
    write_whole(path, png(figure) if path.suffix == ".png" else svg(figure, "frontier", DESCRIPTION))


def _sweeps(rows: Sequence[Row]) -> list[tuple[float, Sweep]]:
    """(area under the frontier, sweep) of each loss that was trained over the grid."""
    found = []
    for row in rows:
        scored = scored_betas(row)
        if len(row.tuning) < 2 or not all(has_frontier(done) for done in scored.values()):
            continue
        points = [point(beta, done) for beta, done in sorted(scored.items())]
        marks = [
            Mark(
                at.beta, at.kl, stats.standard_error([e.metrics["kl_per_sequence"] for e in scored[at.beta]]), at.reward,
                stats.standard_error([e.metrics["reward"] for e in scored[at.beta]]),
            )
            for at in points
        ]  # fmt: skip
        failed = [beta for beta, done in row.tuning.items() if beta is not None and done and beta not in scored]
        found.append((area(points, KL_LIMIT), Sweep(row.candidate.name, marks, failed)))
    return found
