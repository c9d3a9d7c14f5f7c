"""`evopo baselines`: tune and measure the compared losses, and print the table.

All results are in the archive of a run directory, so an interrupted command continues and a finished one only prints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from analysis.final import seeds_of
from analysis.wording import count, duration
from archive.query import Reader
from archive.records import EventKind
from archive.store import Archive
from evo.baselines.compared_losses import ComparedLoss
from evo.baselines.design import Design, Row, is_measured, row_of, rows
from evo.baselines.table import table
from evo.baselines.trainings import candidate_of, trainings
from evo.campaign.training import recorded
from evo.config.rundir import open_run
from evo.config.schema import Config
from evo.session.earlier_session import changed_task
from evo.session.extras import require_training
from evo.session.preflight import preflight
from evo.session.session import worker_pool, workers_for
from evo.session.signals import ended_by_signals, interruptible
from fitness.task import TaskInfo, task_info
from fitness.workers.pool import WorkerPool


@ended_by_signals()
def run_baselines(config: Config, wanted: Design, path: Path, say: Callable[[str], None]) -> list[Row]:
    """Measure the design in `path`, print the table and return its rows. Raises as `measure`."""
    wanted, done = measure(config, wanted, path, say)
    say("")
    say(table(done, task_info(config.task, config.fitness), wanted))
    return done


def measure(config: Config, wanted: Design, path: Path, say: Callable[[str], None]) -> tuple[Design, list[Row]]:
    """Run the trainings of the design that the archive in `path` does not have.

    Returns the design with the seeds that were used, and its rows. Raises TaskError if the archive holds another loss under the
    same name, TaskUnusable if the task's model or data cannot be used; RunDirError, ArchiveError.
    """
    info = task_info(config.task, config.fitness)
    require_training()
    workers = worker_pool(config)
    cleared = preflight(config, info, proposes=False)
    rundir, archive, resumed = open_run(path, config, info, {}, wanted.baseline, kind="baselines")
    with archive, Reader.open(rundir.archive) as reader:
        if resumed:
            archive.recover()
            wanted = _with_recorded_seeds(wanted, reader)
        archive.event(
            EventKind.SESSION_STARTED, {"config": config.model_dump(mode="json"), "fitness": info.described()}
        )
        for note in filter(None, (*cleared.notes, changed_task(reader, info))):
            say(note)
        for to, paid in cleared.paid.items():
            archive.charge(to, recorded(paid))
        seconds = wanted.trainings() * info.rung(wanted.rung).estimated_seconds
        say(
            f"{count(len(wanted.losses), 'loss', 'losses')}, {count(wanted.trainings(), 'training')} at rung {wanted.rung}, about "
            f"{duration(seconds / workers_for(config))} on {count(workers_for(config), 'worker')}; finished ones are not "
            f"repeated. All results are recorded in {path}; the same command continues."
        )
        archive.event(
            EventKind.BASELINES, {"rung": wanted.rung, "betas": wanted.betas, "tuning_seeds": wanted.tuning_seeds}
        )
        archive.event(EventKind.FINAL, {"rung": wanted.rung, "seeds": wanted.seeds})
        asyncio.run(interruptible(_measure(config, info, wanted, archive, reader, workers, say)))
        archive.event(EventKind.FINISHED, {"reason": "all baselines are measured"})
        return wanted, rows(reader, wanted)


def _with_recorded_seeds(wanted: Design, reader: Reader) -> Design:
    """The design with the fresh seeds that earlier sessions recorded; new seeds are used only if it needs more."""
    recorded = [seed for event in reader.events(kind=EventKind.FINAL) for seed in seeds_of(event.payload)]
    return replace(wanted, seeds=tuple(dict.fromkeys((*recorded, *wanted.seeds)))[: len(wanted.seeds)])


async def _measure(
    config: Config, info: TaskInfo, wanted: Design, archive: Archive, reader: Reader, workers: WorkerPool,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Tune and measure all losses. Raises TaskUnusable; trainings in progress then stay unfinished in the archive."""
    candidates = {loss.name: candidate_of(archive, reader, loss) for loss in wanted.losses}
    if all(is_measured(reader, candidates[loss.name], loss, wanted) for loss in wanted.losses):
        return  # without starting workers
    async with trainings(config, info, wanted.losses, wanted.rung, archive, reader, workers, say) as trained:

        async def measure(loss: ComparedLoss) -> None:
            candidate, name = candidates[loss.name], loss.name
            arms = wanted.arms(loss.graph)
            if len(arms) > 1:
                await trained.train(loss, ((s, b) for b in arms for s in wanted.tuning_seeds))
            row = row_of(reader, candidate, loss, wanted)
            if row.failed and len(arms) > 1 and row.beta is None:
                say(f"{name}: training failed at every beta of the grid ({row.failed})")
                return
            await trained.train(loss, ((s, row.beta) for s in wanted.seeds))
            row = row_of(reader, candidate, loss, wanted)
            values = [e.fitness for e in row.measured if e.fitness is not None]
            at = "" if row.beta is None else f" at beta {row.beta:g}"
            say(f"{name}{at}: " + (f"{fmean(values):.4f}" if values else row.failed))

        await trained.each(measure)
