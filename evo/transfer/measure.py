"""Trainings of `evopo transfer`: every setting has a directory of its own, measured as by `evopo baselines`, without tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from analysis.claims.transfer import PLAN, Plan, Transfer, transfer_of
from analysis.wording import count
from archive.disk.files import replace
from evo.baselines.compared_losses import ComparedLoss
from evo.baselines.design import Design
from evo.baselines.measure import measure
from evo.campaign.final_setup import with_fresh_seeds
from evo.campaign.training import TaskUnusable
from evo.config.rundir import RunDirError
from evo.config.schema import Config
from evo.session.extras import require_training
from evo.session.preflight import Fault, PreflightFailed, task_faults
from evo.session.signals import ended_by_signals
from evo.transfer.settings import Setting
from fitness.schedule.final import final_rung
from fitness.schedule.ladder import Seeds
from fitness.task import task_info


@ended_by_signals()
def run_transfer(
    configs: Mapping[str, Config], settings: Sequence[Setting], losses: Sequence[ComparedLoss], path: Path,
    say: Callable[[str], None], *, seeds: int, rung: str | None = None,
) -> Transfer:  # fmt: skip
    """Train each loss in each setting on fresh seeds, as far as `path` does not have it, and return all results.

    `configs`: the configuration of each setting, by name. Trains at `rung`, without one at the rung of the task's final. The data
    of all settings is checked first. Raises PreflightFailed, TaskError, TaskUnusable, RunDirError, ArchiveError, AnalysisError.
    """
    require_training()
    designs = {name: _design(config, losses, seeds, rung) for name, config in configs.items()}
    faults = [
        Fault("", f"setting {name}: {fault}") for name, config in configs.items() for fault in task_faults(config)
    ]
    if faults:
        raise PreflightFailed(faults)
    say(
        f"{count(len(losses), 'loss', 'losses')} in {count(len(settings), 'setting')} on {count(seeds, 'seed')} each, in {path}; "
        "the same command continues."
    )
    for name, config in configs.items():
        try:
            measure(config, designs[name], path / name, _named(name, say))
        except TaskUnusable as error:
            raise TaskUnusable(f"setting {name}: {error}") from None
    # Last, so that the file never names other settings than those in the archives.
    changes = {setting.name: setting.changes for setting in settings}
    plan = Plan(configs[settings[0].name].task, tuple(loss.name for loss in losses), changes)
    try:
        replace(path / PLAN, plan.to_json())
    except OSError as error:
        raise RunDirError(f"cannot write {path / PLAN}: {error.strerror}; the same command tries again") from None
    return transfer_of(path)


def _named(name: str, say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: say(f"{name}: {text}")


def _design(config: Config, losses: Sequence[ComparedLoss], seeds: int, rung: str | None) -> Design:
    """The design of one setting: every loss at the task's own beta, on fresh seeds. Raises TaskError for an unknown rung."""
    info = task_info(config.task, config.fitness)
    return Design(
        losses=tuple(losses),
        rung=info.rung(rung or final_rung(info)).name,
        betas=(),
        tuning_seeds=(),
        seeds=with_fresh_seeds(Seeds(search=(), final=()), seeds).final,
    )
