"""`evopo data`: what a model would see of the data; nothing is trained, no endpoint asked, no run made."""

from __future__ import annotations

import os
from collections.abc import Callable

from evo.campaign.training import TaskUnusable
from evo.config.schema import Config
from evo.session.extras import require_training
from evo.session.preflight import PreflightFailed, task_faults
from fitness.task import EvaluationFailed, reads_data, show_data, task_info


def data_shown(config: Config, say: Callable[[str], None], shown: int, *, whole: bool) -> None:
    """Say what a model would see of the data of the configuration's task, and the first `shown` pairs of it.

    Raises PreflightFailed and TaskUnusable where a run would not start for it, ConfigError where packages are missing.
    """
    if not reads_data(config.task):
        say(f"The task {config.task} makes its own data and reads none of yours, so there is nothing to show.")
        return
    require_training()
    if faults := task_faults(config):
        raise PreflightFailed(faults)
    if task_info(config.task, config.fitness).offline:  # as workers are told
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    try:
        show_data(config.task, config.fitness, say, shown, whole=whole)
    except EvaluationFailed as failure:
        raise TaskUnusable(failure.detail) from None
