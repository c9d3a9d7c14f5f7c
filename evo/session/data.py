"""`evopo data`: the task's data as the model would get it. Trains nothing, sends no requests, creates no run."""

from __future__ import annotations

import os
from collections.abc import Callable

from evo.campaign.training import TaskUnusable
from evo.config.schema import Config
from evo.session.extras import require_training
from evo.session.preflight import PreflightFailed, task_faults
from fitness.task import EvaluationFailed, reads_data, show_data, task_info


def data_shown(config: Config, say: Callable[[str], None], shown: int, *, whole: bool) -> None:
    """Describe the data of the configuration's task as the model would get it, and print the first `shown` pairs.

    Raises PreflightFailed or TaskUnusable if a run could not start with this data, ConfigError if packages are missing.
    """
    if not reads_data(config.task):
        say(f"The task {config.task} generates its data and reads none of yours, so there is nothing to show.")
        return
    require_training()
    if faults := task_faults(config):
        raise PreflightFailed(faults)
    if task_info(config.task, config.fitness).offline:  # same setting as in the workers
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    try:
        show_data(config.task, config.fitness, say, shown, whole=whole)
    except EvaluationFailed as failure:
        raise TaskUnusable(failure.detail) from None
