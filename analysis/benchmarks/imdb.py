"""The sweep over beta: reward against the KL per token to the reference, and the area under the frontier, one row a loss.

A training that failed, or whose beta failed on another seed, is no point of a frontier: it is shown as a failure. Errors are
standard errors over the training seeds, which cover the sampling seeds; of one training seed they are those over its sampling
seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analysis import stats
from analysis.benchmarks.frontier import Point, area
from analysis.benchmarks.results import Cell, ResultTable, Rows
from analysis.output.encode import one_line
from analysis.output.files import write_whole
from analysis.plots.canvas import png, svg
from analysis.plots.frontier import Mark, Sweep, draw_frontier
from analysis.wording import count
from archive.judgements import AnswerRow

BENCHMARK = "imdb"
FAILED = "failed"
"""Key of a policy's recipe that holds why its training failed."""
KL_LIMIT = 0.5
"""Upper end of the KL that the area under the frontier is taken over, nats per token."""
REWARD, KL, REFERENCE = "reward", "kl_per_token", "reference_reward"
SAMPLING_ERROR = "_sampling_error"
BASELINE = "dpo"
DESCRIPTION = "Reward against the KL divergence per token over a grid of beta, one line per loss"
WORSE = "below the reference"


@dataclass(frozen=True)
class Arm:
    """A loss at one beta: its measured trainings by seed, and the reasons of the failed ones."""

    beta: float | None
    measured: Mapping[int, Mapping[str, float]]
    """Metrics by training seed."""
    failures: tuple[str, ...]

    @property
    def is_point(self) -> bool:
        """Whether all its trainings were measured."""
        return bool(self.measured) and not self.failures

    def values(self, metric: str) -> list[float]:
        """The metric of the measured trainings."""
        return [metrics[metric] for metrics in self.measured.values()]

    def mean(self, metric: str) -> tuple[float, float | None]:
        """Mean of a metric over the training seeds, and its standard error; of one seed, the error over its sampling seeds."""
        values = self.values(metric)
        if len(values) == 1:
            (only,) = self.measured.values()
            return values[0], only.get(metric + SAMPLING_ERROR)
        return stats.mean(values), stats.standard_error(values)

    @property
    def state(self) -> str:
        """What went wrong, in words; empty if nothing did."""
        if self.failures:
            why = ", ".join(sorted(set(self.failures)))
            return f"failed {len(self.failures)} of {len(self.failures) + len(self.measured)}: {why}"
        return WORSE if self.is_worse else ""

    @property
    def is_worse(self) -> bool:
        """Whether the reward is below the reference's by more than two standard errors of the difference."""
        if not self.measured or any(REFERENCE not in metrics for metrics in self.measured.values()):
            return False
        lost = [metrics[REFERENCE] - metrics[REWARD] for metrics in self.measured.values()]
        error = stats.standard_error(lost) if len(lost) > 1 else self.mean(REWARD)[1]
        return stats.mean(lost) > 2 * (error or 0.0)


@dataclass(frozen=True)
class LossSweep:
    """One loss over the grid; a loss that does not use beta has one arm."""

    name: str
    arms: tuple[Arm, ...]

    @property
    def points(self) -> tuple[Arm, ...]:
        """The arms without a failure."""
        return tuple(arm for arm in self.arms if arm.is_point)

    @property
    def best(self) -> Arm | None:
        """The arm of the highest mean reward."""
        return max(self.points, key=lambda arm: arm.mean(REWARD)[0], default=None)

    @cached_property
    def areas(self) -> list[float]:
        """Area under the frontier by training seed, over KL from 0 to KL_LIMIT; of seeds that all points have."""
        seeds = [set(arm.measured) for arm in self.points]
        return [self._area(seed) for seed in sorted(set.intersection(*seeds))] if seeds else []

    def _area(self, seed: int) -> float:
        measured = [(arm.beta or 0.0, arm.measured[seed]) for arm in self.points]
        start = measured[0][1].get(REFERENCE, 0.0)
        return area([Point(metrics[KL], metrics[REWARD], beta) for beta, metrics in measured], KL_LIMIT, start)


def sweeps(rows: Rows) -> list[LossSweep]:
    """The losses of a sweep: the baseline first, the others by the area under their frontier."""
    grouped: dict[str, dict[float | None, dict[int, tuple[str, AnswerRow]]]] = {}
    for answer in rows.answers:
        policy = rows.policy.get(answer.policy_id)
        if answer.benchmark != BENCHMARK or policy is None or policy.loss is None or policy.seed is None:
            continue
        beta, why = policy.recipe.get("beta"), policy.recipe.get(FAILED)
        arm = grouped.setdefault(policy.loss, {}).setdefault(beta if isinstance(beta, float) else None, {})
        arm[policy.seed] = (one_line(str(why), 40) if why else "", answer)
    found = [
        LossSweep(name, tuple(_arm(beta, arms[beta]) for beta in _in_order(arms))) for name, arms in grouped.items()
    ]
    return sorted(found, key=lambda sweep: (sweep.name != BASELINE, -_mean_area(sweep), sweep.name))


def tables(rows: Rows) -> list[ResultTable]:
    """The frontier of each loss, and reward and KL over the grid; nothing if no training is recorded."""
    found = sweeps(rows)
    if not found:
        return []
    betas = sorted({arm.beta for sweep in found for arm in sweep.arms if arm.beta is not None})
    grid = ("loss", *(f"{beta:g}" for beta in betas), "no beta")
    without = [sweep for sweep in found if any(arm.beta is None for arm in sweep.arms)]
    columns = grid if without else grid[:-1]
    return [
        ResultTable(
            "IMDb: frontier of reward against KL",
            ("loss", "area", "best reward", "at beta", "KL there", "failed betas", "below the reference"),
            tuple((sweep.name, _summary(sweep)) for sweep in found),
            _notes(found),
        ),
        *(
            ResultTable(
                title, columns, tuple((sweep.name, _over(sweep, betas, metric, bool(without))) for sweep in found)
            )
            for title, metric in (("IMDb: reward by beta", REWARD), ("IMDb: KL by beta, nats per token", KL))
        ),
    ]


def draw(rows: Rows, path: Path) -> None:
    """Write the picture, a .svg or .png file. Raises AnalysisError."""
    found = sweeps(rows)
    first = next((sweep for sweep in found if sweep.name == BASELINE), LossSweep(BASELINE, ()))
    reference = [value for sweep in found for arm in sweep.points for value in _references(arm)]
    figure = draw_frontier(
        _drawn(first), [_drawn(sweep) for sweep in found if sweep is not first], KL_LIMIT, unit="nats per token",
        reference=stats.mean(reference) if reference else None,
    )  # fmt: skip
    write_whole(path, png(figure) if path.suffix == ".png" else svg(figure, "imdb", DESCRIPTION))


def _arm(beta: float | None, trained: Mapping[int, tuple[str, AnswerRow]]) -> Arm:
    measured, failures = {}, []
    for seed, (why, answer) in sorted(trained.items()):
        if why:
            failures.append(why)
        elif REWARD in answer.metrics and KL in answer.metrics:
            measured[seed] = answer.metrics
        else:
            failures.append("no reward was measured")
    return Arm(beta, measured, tuple(failures))


def _in_order(betas: Iterable[float | None]) -> list[float | None]:
    return sorted(betas, key=lambda beta: -1.0 if beta is None else beta)


def _mean_area(sweep: LossSweep) -> float:
    return stats.mean(sweep.areas) if sweep.areas else float("-inf")


def _summary(sweep: LossSweep) -> tuple[Cell, ...]:
    best, failed = sweep.best, [arm for arm in sweep.arms if arm.failures]
    worse = [arm for arm in sweep.points if arm.is_worse]
    counted = tuple(
        Cell(
            len(arms),
            n=len(sweep.arms),
            note=", ".join("no beta" if arm.beta is None else f"{arm.beta:g}" for arm in arms),
        )
        for arms in (failed, worse)
    )
    if best is None or not sweep.areas:
        return (*(Cell(note="all failed") for _ in range(4)), *counted)
    reward, reward_error = best.mean(REWARD)
    kl, kl_error = best.mean(KL)
    n = len(best.measured)
    return (
        Cell(stats.mean(sweep.areas), stats.standard_error(sweep.areas), len(sweep.areas)),
        Cell(reward, reward_error, n),
        Cell(note="no beta") if best.beta is None else Cell(best.beta),
        Cell(kl, kl_error, n),
        *counted,
    )


def _over(sweep: LossSweep, betas: Sequence[float], metric: str, without: bool) -> tuple[Cell, ...]:
    arms = {arm.beta: arm for arm in sweep.arms}
    return tuple(_cell(arms.get(beta), metric) for beta in (*betas, *((None,) if without else ())))


def _cell(arm: Arm | None, metric: str) -> Cell:
    if arm is None:
        return Cell(note="not trained")
    if not arm.measured:
        return Cell(note=arm.state)
    value, error = arm.mean(metric)
    return Cell(value, error, len(arm.measured), note=arm.state)


def _notes(found: Sequence[LossSweep]) -> tuple[str, ...]:
    arms = [arm for sweep in found for arm in sweep.arms]
    seeds = {seed for arm in arms for seed in arm.measured}
    reasons = Counter(why for arm in arms for why in arm.failures)
    references = [value for arm in arms for value in _references(arm)]
    notes = [
        f"{count(len(seeds), 'training seed')}. Errors are standard errors over "
        + ("training seeds." if len(seeds) > 1 else "sampling seeds; they do not cover the training."),
        f"area: the highest reward at a KL or below, averaged over KL from 0 to {KL_LIMIT:g} nats per token; the reference has "
        + (
            f"KL 0 and reward {stats.mean(references):.4g}."
            if references
            else "KL 0, and its reward, not measured, counts 0."
        ),
        f"{WORSE}: the mean reward is lower by more than two standard errors of the difference.",
    ]
    if reasons:
        why = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        notes.append(
            f"{count(reasons.total(), 'training')} failed ({why}). A beta with a failed training is no point of a frontier."
        )
    return tuple(notes)


def _references(arm: Arm) -> list[float]:
    return [metrics[REFERENCE] for metrics in arm.measured.values() if REFERENCE in metrics]


def _drawn(sweep: LossSweep) -> Sweep:
    marks = []
    for arm in sweep.points:
        (kl, kl_error), (reward, reward_error) = arm.mean(KL), arm.mean(REWARD)
        marks.append(Mark(arm.beta, kl, kl_error, reward, reward_error))
    return Sweep(sweep.name, marks, [arm.beta for arm in sweep.arms if arm.failures])
