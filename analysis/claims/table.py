"""The final's table: finalists, every arm of the baseline and other known losses, with the metrics that fitness consists of.

Equal fitness can come from a higher reward at a larger KL, or from a lower reward at a smaller KL. So the metrics that the task
names are shown too, over the same seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from analysis import stats
from analysis.claims.comparison import Comparison, Decision
from analysis.claims.ending import UNDECIDED, unfinished
from analysis.claims.obstacles import WithheldKind
from analysis.output.encode import one_line
from analysis.snapshot import Arm, Snapshot
from analysis.wording import arm_name, columns, count, figure, full_name, plus_minus, told_arm

_WITHHELD = {
    WithheldKind.FAILED: "the baseline failed on a deciding seed",
    WithheldKind.PENDING: "the baseline is not trained with all its settings yet",
    WithheldKind.EDGE: "the baseline is at the edge of its grid",
}


@dataclass(frozen=True)
class Cell:
    """A mean over seeds."""

    mean: float
    error: float | None
    seeds: int

    @classmethod
    def of(cls, scores: Mapping[int, float]) -> Cell:
        """Mean and error of values by seed."""
        values = list(scores.values())
        return cls(stats.mean(values), stats.standard_error(values), len(values))


@dataclass(frozen=True)
class FinalRow:
    """One arm on the deciding seeds."""

    arm: Arm
    name: str
    known: bool
    """Whether it is a known loss; otherwise it is a proposal."""
    fitness: Cell | None
    """None where every training failed."""
    metrics: Mapping[str, Cell]
    """The metrics that the task shows with its fitness, by name."""
    comparison: Comparison | None
    """With the baseline's best arm; None for the baseline's own arms."""
    remark: str
    failed: int = 0


def final_rows(snapshot: Snapshot, decision: Decision, most: int | None = None) -> list[FinalRow]:
    """The finalists, best first, then the arms of the baseline, then all other comparisons, or the first `most` of these."""
    finalists = [_compared(snapshot, c) for c in decision.finalists]
    baseline = [
        _row(snapshot, m.arm, m.scores, None, _standing(decision, m.arm), m.failed) for m in decision.baseline_arms
    ]
    first = {c.arm for c in decision.finalists}
    others = islice((c for c in decision.comparisons if c.arm not in first), most)
    return [*finalists, *baseline, *(_compared(snapshot, c) for c in others)]


def final_lines(snapshot: Snapshot, decision: Decision, most: int) -> list[str]:
    """The table as text; at most `most` rows of losses that are neither finalists nor arms of the baseline."""
    assert snapshot.baseline is not None
    titles = snapshot.shown_metrics
    head = [
        "id",
        "loss",
        "fitness",
        *titles.values(),
        f"minus {arm_name(snapshot.baseline, decision.baseline)}",
        "seeds",
        "",
    ]
    lines = [head]
    for row in final_rows(snapshot, decision, most):
        cells = ["" if row.fitness is None else _text(row.fitness)]
        cells += [_text(row.metrics[name]) if name in row.metrics else "" for name in titles]
        pair = row.comparison.paired if row.comparison else None
        difference = "" if pair is None else plus_minus(pair.difference, pair.standard_error, signed=True)
        seeds = str(row.fitness.seeds if row.fitness else 0)
        lines.append([str(row.arm.candidate), row.name, *cells, difference, seeds, row.remark])
    return columns(lines)


def note_on_fitness(snapshot: Snapshot, decision: Decision) -> str:
    """What fitness consists of, for the best finalist and every arm of the baseline, in words; empty where unknown."""
    titles = snapshot.shown_metrics
    best = decision.best
    if not titles or best is None:
        return ""
    wanted = [best.arm, *(m.arm for m in decision.baseline_arms)]
    rows = {row.arm: row for row in final_rows(snapshot, decision, 0)}
    described = []
    for arm in wanted:
        parts = [
            f"{title} {figure(rows[arm].metrics[n].mean)}" for n, title in titles.items() if n in rows[arm].metrics
        ]
        fitness = rows[arm].fitness
        if fitness is not None and parts:
            described.append(f"{told_arm(snapshot, arm)}: {figure(fitness.mean)} ({', '.join(parts)})")
    if not described:
        return ""
    metric = snapshot.metric(decision.rung)
    return f"Fitness{f' is {one_line(metric)}' if metric else ''}. {'; '.join(described)}."


def _compared(snapshot: Snapshot, comparison: Comparison) -> FinalRow:
    return _row(
        snapshot, comparison.arm, comparison.scores, comparison, _verdict(snapshot, comparison), comparison.failed
    )


def _row(
    snapshot: Snapshot, arm: Arm, scores: Mapping[int, float], comparison: Comparison | None, remark: str, failed: int
) -> FinalRow:  # fmt: skip
    candidate = snapshot.candidates[arm.candidate]
    known = not snapshot.is_proposal(arm.candidate)
    name = arm_name(candidate, arm) if known else full_name(snapshot, arm.candidate)
    measured = [metrics for seed, metrics in snapshot.metrics.get(arm, {}).items() if seed in scores]
    cells = {
        title: Cell.of(dict(enumerate(values)))
        for title in snapshot.shown_metrics
        if (values := [m[title] for m in measured if title in m])
    }
    failures = f"failed on {count(failed, 'seed')}" if failed else ""
    remark = ", ".join(filter(None, [remark, failures]))
    return FinalRow(arm, name, known, Cell.of(scores) if scores else None, cells, comparison, remark, failed)


def _standing(decision: Decision, arm: Arm) -> str:
    return "the baseline" if arm == decision.baseline else "another arm of the baseline"


def _verdict(snapshot: Snapshot, comparison: Comparison) -> str:
    """What may be claimed for it, in a few words. The reason of a caution is shown with its name."""
    if comparison.caution:
        return "no claim is made for it"
    if comparison.adjusted is None:
        return ""
    if unfinished(snapshot):
        return UNDECIDED
    if comparison.discovery:
        return "a discovery"
    if comparison.above:
        return f"above the baseline, but {comparison.obstacle.words}" if comparison.obstacle else "above the baseline"
    if comparison.distinguishable:
        return "below the baseline"
    if comparison.withheld is None or comparison.adjusted >= stats.SIGNIFICANCE:
        return "not distinguishable"
    return f"no claim: {_WITHHELD[comparison.withheld.kind]}"


def _text(cell: Cell) -> str:
    return plus_minus(cell.mean, cell.error)
