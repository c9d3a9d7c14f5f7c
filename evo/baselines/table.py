"""Table of `evopo baselines`: fitness, reward and KL with standard errors, differences to the baseline, and the effect of beta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median

from analysis import stats
from analysis.benchmarks.frontier import Point, area, robustness
from analysis.wording import columns, mean_error
from archive.records import EvaluationRow
from evo.baselines.design import Design, Row
from fitness.task.protocol import TaskInfo

METRICS: Mapping[str, str] = {
    "reward": "reward",
    "kl_per_sequence": "KL (nats)",
    "preference_accuracy": "pref. accuracy",
    "cross_entropy": "cross-entropy",
}
"""Metrics with a column of their own if the task reports them, and the heading of the column."""

KL_LIMIT = 5.0
"""Upper limit of KL for the area under the frontier, in nats per sequence."""


def table(rows: Sequence[Row], info: TaskInfo, wanted: Design) -> str:
    """The table as text, best mean fitness first. Below it are the losses that failed, with the reason."""
    scored = sorted((row for row in rows if row.measured), key=lambda row: -fmean(_fitness(row).values()))
    metrics = [name for name in METRICS if any(name in e.metrics for row in scored for e in row.measured)]
    graded = len(wanted.betas) > 1 and all(has_frontier(row.measured) for row in scored)
    baseline = wanted.baseline or ""
    differences = _differences(scored, baseline)
    # Medians, since a loss that hardly trains has ten times the deviation of the good ones.
    spread = _median(d.deviation for d, _ in differences.values() if d.standard_error is not None)
    within = (_median(stats.deviation(list(_fitness(row).values())) for row in scored) or 0.0) / max(
        1, len(wanted.tuning_seeds)
    ) ** 0.5

    tuned = ["beta"] if wanted.betas else []
    head = ["loss", *tuned, "fitness", f"minus {baseline}", *(METRICS[name] for name in metrics), "seeds"]
    lines = [head + (["frontier", "regret", "octaves"] if graded else [])]
    for row in scored:
        beta = ["" if row.beta is None else f"{row.beta:g}"] if tuned else []
        name = row.candidate.name + (f" ({row.caution})" if row.caution else "")
        cells = [name, *beta, mean_error(_fitness(row).values(), 4)]
        cells.append(_difference(*differences[row.candidate.id]) if row.candidate.id in differences else "")
        cells += [mean_error([e.metrics[name] for e in row.measured if name in e.metrics], 4) for name in metrics]
        lines.append([*cells, str(len(row.measured)), *(_over_beta(row, within) if graded else ())])

    caption = _caption(info, wanted, graded, within)
    if spread and len(wanted.seeds) > 1:
        error = spread / len(wanted.seeds) ** 0.5
        seen = stats.minimum_detectable_difference(error, len(wanted.seeds) - 1, comparisons=len(differences))
        caption.append(
            f"Minimum detectable difference to {baseline} of a typical comparison: {seen:.2g} (power {stats.POWER:g}, corrected)."
        )
    faults = [f"{row.candidate.name}: {row.failed}" for row in rows if row.failed]
    return "\n".join([*caption, "", *columns(lines), *faults])


def _caption(info: TaskInfo, wanted: Design, graded: bool, within: float) -> list[str]:
    lines = [
        f"Rung {wanted.rung}; fitness is {info.metric}. Means ± standard errors over {len(wanted.seeds)} fresh seeds.",
        f"Differences are paired by seed; * where p, corrected by Holm over the table, is below {stats.SIGNIFICANCE:g}.",
    ]
    if len(wanted.betas) > 1:
        grid = ", ".join(f"{beta:g}" for beta in wanted.betas)
        lines.append(
            f"beta: the best of {grid} on {len(wanted.tuning_seeds)} other seeds; empty: the loss does not use beta."
        )
    if graded:
        lines.append(
            f"Over that grid: frontier, the highest reward at a KL or below, averaged over KL from 0 to {KL_LIMIT:g} nats; "
            f"regret, best minus mean fitness; octaves, log2 width of the range of betas within {within:.2g} of the best fitness."
        )
    return lines


def _fitness(row: Row) -> dict[int, float]:
    return {e.seed: e.fitness for e in row.measured if e.fitness is not None}


def _differences(scored: Sequence[Row], baseline: str) -> dict[int, tuple[stats.Paired, bool]]:
    """By candidate: the paired difference to the baseline, and whether it may be claimed.

    It may if it is significant after Holm's correction and there is no caution about the loss.
    """
    theirs = next((_fitness(row) for row in scored if row.candidate.name == baseline), {})
    found = {
        row.candidate.id: pair
        for row in scored
        if row.candidate.name != baseline and (pair := stats.paired(_fitness(row), theirs))
    }
    adjusted = stats.holm([1.0 if pair.p_value is None else pair.p_value for pair in found.values()])
    sound = {row.candidate.id for row in scored if not row.caution}
    return {
        id: (pair, p < stats.SIGNIFICANCE and id in sound)
        for (id, pair), p in zip(found.items(), adjusted, strict=True)
    }


def _difference(pair: stats.Paired, distinguishable: bool) -> str:
    error = "" if pair.standard_error is None else f" ± {pair.standard_error:.4f}"
    return (
        f"{round(pair.difference, 4) + 0.0:+.4f}{error}{' *' if distinguishable else ''}"  # + 0.0: no minus on a zero
    )


def _over_beta(row: Row, within: float) -> tuple[str, str, str]:
    """Cells for area under the frontier, mean regret and width of the range of good betas; empty for a loss without a grid."""
    scored = scored_betas(row)
    fitness = {
        beta: fmean(_fitnesses(scored[beta])) if beta in scored else None for beta in row.tuning if beta is not None
    }
    found = robustness(fitness, within)
    if len(fitness) < 2 or found is None:
        return "", "", ""
    # One frontier and one regret per seed, so that both have a standard error.
    grids = [dict(zip(scored, done, strict=True)) for done in zip(*scored.values(), strict=True)]
    areas = [area((point(beta, [e]) for beta, e in grid.items()), KL_LIMIT) for grid in grids]
    if found.mean_regret is None:
        return mean_error(areas, 3), "failed", f"{found.octaves:.1f}"
    regrets = [_fitnesses([grid[found.best_beta]])[0] - fmean(_fitnesses([*grid.values()])) for grid in grids]
    return mean_error(areas, 3), mean_error(regrets, 3), f"{found.octaves:.1f}"


def scored_betas(row: Row) -> dict[float, list[EvaluationRow]]:
    """The tuning trainings by beta, in order of seeds. Betas with a failed training are left out."""
    return {
        beta: sorted(done, key=lambda e: e.seed)
        for beta, done in row.tuning.items()
        if beta is not None and done and None not in _values(done)
    }


def has_frontier(done: Iterable[EvaluationRow]) -> bool:
    """Whether the trainings have the metrics that a frontier needs; not all tasks report them."""
    return all({"reward", "kl_per_sequence"} <= e.metrics.keys() for e in done)


def point(beta: float, done: Sequence[EvaluationRow]) -> Point:
    """The point of a beta: means over the trainings `done`."""
    return Point(fmean(e.metrics["kl_per_sequence"] for e in done), fmean(e.metrics["reward"] for e in done), beta)


def _values(done: Sequence[EvaluationRow]) -> list[float | None]:
    return [e.fitness for e in done]


def _fitnesses(done: Sequence[EvaluationRow]) -> list[float]:
    return [value for value in _values(done) if value is not None]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value]
    return median(known) if known else None
