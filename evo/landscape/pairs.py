"""`--pairs`: where the training pairs lie on each loss's curve at the end of training (Lu et al. 2024, appendix D.6).

No archive keeps the margin of each training pair. So every loss is trained again, on the task of a run or of a configuration, and
the margins of its training pairs are computed under the trained policy. Nothing is recorded, and no judge is asked.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from analysis.output.encode import one_line
from analysis.plots.landscape.features import Interval
from analysis.plots.landscape.landscape import Landscape
from analysis.wording import count, duration, mean_error
from archive.query import Reader
from evo.autopsy.settings import settings_of
from evo.baselines.compared_losses import ComparedLoss
from evo.campaign.training import TaskUnusable, ready
from evo.config.new_run import settled
from evo.config.rundir import RunDirError, existing_run
from evo.config.schema import Config, load_config
from evo.search.rng import derive
from evo.session.extras import require_training
from evo.session.preflight import preflight
from evo.session.session import worker_pool, workers_for
from evo.session.signals import ended_by_signals, interruptible
from fitness.task import EvaluationFailed, FailureReason, TaskError, TaskInfo, task_info
from fitness.task.registry import task_record
from fitness.workers.pool import WorkerPool

TITLES = ("loss", "beta", "seeds", "pairs", "between optima, %", "lowered, %", "below 0, %", "median rho", "outside")
EXPLAINED = (
    "Shares of the training pairs by their margin rho at the end of training; ± is one standard error over seeds. Between optima: "
    "where the loss rises between a minimum and a maximum. Lowered: where it rises at all, so that training lowers the margin. "
    "Below 0: ranked the wrong way. Outside: pairs of all seeds beyond the margins examined."
)


@dataclass(frozen=True, slots=True)
class Trainings:
    """What is trained: the task, its rung, and the seeds."""

    config: Config
    info: TaskInfo
    rung: str
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Margins:
    """Margins of the training pairs of one loss at one beta, in nats: one sorted list per seed; or why a training failed."""

    by_seed: tuple[tuple[float, ...], ...]
    failed: str = ""


def trainings_of(place: Path, overrides: Sequence[str], rung: str | None, seeds: int) -> Trainings:
    """The trainings on the task of a run, or of a configuration FILE.yaml; their seeds are the first of the run's search.

    Raises TaskError for a task whose training pairs cannot be examined, or for an unknown rung; RunDirError, ConfigError.
    """
    if place.suffix in (".yaml", ".yml"):
        config = settled(load_config(place, overrides), place)
        info = task_info(config.task, config.fitness)
    else:
        with Reader.open(existing_run(place).archive) as reader:
            try:
                config, info = settings_of(reader, place, None, overrides)
            except RunDirError as error:
                raise RunDirError(str(error).replace("--config FILE.yaml", "--pairs FILE.yaml")) from None
    if not callable(getattr(task_record(config.task).make(config.fitness), "pair_margins", None)):
        raise TaskError(f"--pairs: the task {info.name} gives no margins of training pairs (a method pair_margins)")
    if info.services:
        raise TaskError(
            "--pairs: a judge scores this task's trainings, and would be asked when training starts; give a configuration without "
            "one: --pairs FILE.yaml --set fitness.evaluation.by=accuracy"
        )
    chosen = info.rung(rung or info.search_rungs[-1].name).name
    return Trainings(config, info, chosen, tuple(derive(config.seed, "training", i) for i in range(seeds)))


@ended_by_signals()
def trained_margins(
    wanted: Trainings, losses: Sequence[ComparedLoss], betas: Sequence[float], say: Callable[[str], None]
) -> dict[tuple[str, float], Margins]:
    """Train every loss at every beta with every seed. Raises TaskUnusable, PreflightFailed, and ConfigError without torch."""
    require_training()
    pool = worker_pool(wanted.config)
    for note in preflight(wanted.config, wanted.info, proposes=False).notes:
        say(note)
    number = len(losses) * len(betas) * len(wanted.seeds)
    seconds = number * wanted.info.rung(wanted.rung).estimated_seconds / workers_for(wanted.config)
    say(
        f"{count(number, 'training')} on the task {wanted.info.name}, rung {wanted.rung}, about {duration(seconds)}. "
        "Their results are not recorded."
    )
    return asyncio.run(interruptible(_all(wanted, losses, betas, pool, say)))


async def _all(
    wanted: Trainings,
    losses: Sequence[ComparedLoss],
    betas: Sequence[float],
    workers: WorkerPool,
    say: Callable[[str], None],
) -> dict[tuple[str, float], Margins]:
    async with workers as pool:
        await ready(pool, say)

        async def one(loss: ComparedLoss, beta: float) -> Margins:
            found, failed = [], ""
            trainings = [pool.pair_margins(loss.graph, wanted.rung, seed, beta=beta) for seed in wanted.seeds]
            for result in await asyncio.gather(*trainings, return_exceptions=True):
                if isinstance(result, EvaluationFailed):
                    if result.reason is FailureReason.BAD_DATA:
                        raise TaskUnusable(result.detail)
                    failed = str(result)
                elif isinstance(result, BaseException):
                    raise result
                else:
                    found.append(tuple(sorted(result)))
            return Margins(tuple(found), failed)

        try:
            async with asyncio.TaskGroup() as group:  # a failure cancels the others before the workers are stopped
                tasks = {(loss.name, beta): group.create_task(one(loss, beta)) for loss in losses for beta in betas}
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return {arm: task.result() for arm, task in tasks.items()}


def table(found: Sequence[Landscape], margins: dict[tuple[str, float], Margins]) -> list[tuple[str, ...]]:
    """Titles and rows: where the training pairs of each loss lie on its curve.

    A loss that is no function of the margin alone has no shares: which way a pair is pushed depends on more than rho.
    """
    return [TITLES, *(_row(one, margins[one.name, one.beta]) for one in found if one.beta is not None)]


def _row(one: Landscape, margins: Margins) -> tuple[str, ...]:
    head = (one_line(one.name, 48), f"{one.beta:g}", str(len(margins.by_seed)))
    if not margins.by_seed:
        return (*head, "", f"failed: {one_line(margins.failed, 100)}", "", "", "", "")
    rises = one.features.rises
    closed = [rise for rise in rises if rise.between_optima]
    low, high = one.curve.margins[0], one.curve.margins[-1]
    shares = ["", ""] if one.plane else [_shares(margins, part) for part in (closed, rises)]
    return (
        *head,
        str(len(margins.by_seed[0])),
        *shares,
        mean_error([100 * bisect_left(m, 0.0) / len(m) for m in margins.by_seed], 2),
        mean_error([median(m) for m in margins.by_seed], 3),
        str(sum(bisect_left(m, low) + len(m) - bisect_right(m, high) for m in margins.by_seed)),
    )


def _shares(margins: Margins, stretches: Sequence[Interval]) -> str:
    """Mean and standard error over seeds of the share of pairs within the stretches, in percent."""
    return mean_error([100 * share_within(m, stretches) for m in margins.by_seed], 2)


def share_within(margins: Sequence[float], stretches: Sequence[Interval]) -> float:
    """The share of sorted margins that lie within the stretches; an open side has no end."""
    inside = 0
    for stretch in stretches:
        first = 0 if stretch.open_left else bisect_right(margins, stretch.start)
        last = len(margins) if stretch.open_right else bisect_left(margins, stretch.end)
        inside += last - first
    return inside / len(margins)
