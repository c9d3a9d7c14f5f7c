"""What is evaluated: losses to train on a task, and models that are trained already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.claims.comparison import decide
from analysis.snapshot import Snapshot
from archive.query import Reader
from evo.autopsy.settings import settings_of
from evo.baselines.compared_losses import ComparedLoss, published
from evo.baselines.named_losses import named_losses
from evo.config.new_run import settled
from evo.config.rundir import NotInRun, existing_run
from evo.config.schema import Config, ConfigError, load_config
from evo.search.rng import derive
from fitness.task import TaskError, TaskInfo, task_info
from fitness.task.registry import directory_name, task_record
from sandbox import known

DPO = "dpo"
"""The known loss beside which all others are judged."""
JUDGE_KEYS = ("evaluation", "held_out_evaluation")
"""Task options that only decide how a training is scored. A saved policy is not scored, so they are left out."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    named: tuple[str, ...] = ()
    """Losses, and directories of runs."""
    models: tuple[Path, ...] = ()
    reference: Path | None = None
    """A trained model that takes the place of the task's untrained one."""
    task: str | None = None
    config: Path | None = None
    seeds: int = 3
    rung: str | None = None


@dataclass(frozen=True)
class Subjects:
    """What is evaluated, resolved."""

    config: Config
    info: TaskInfo
    rung: str
    losses: tuple[ComparedLoss, ...]
    """DPO first; empty if nothing is trained."""
    seeds: tuple[int, ...]
    models: tuple[Path, ...]
    reference: Path | None


def subjects_of(wish: Wish, overrides: Sequence[str], path: Path) -> Subjects:
    """Resolve the wish; `path` is the directory of the evaluation.

    A run stands for its finalists. The task is that of `config`, of `task`, of the first run, or the embedded one. Raises
    TaskError, ConfigError, NotInRun, RunDirError, ArchiveError.
    """
    runs = [directory for text in wish.named if (directory := _run_of(text)) is not None]
    config, info = _settings(wish, overrides, runs, path)
    losses: tuple[ComparedLoss, ...] = ()
    if wish.named or wish.task or wish.config:
        texts = [one for text in wish.named for one in ([text] if _whole_run(text) is None else _finalists(Path(text)))]
        if info.contract != "preference":
            raise TaskError(
                f"the task {info.name} trains {info.contract} losses; benchmarks judge language models, which the tasks "
                "sentiment and preference train"
            )
        losses = _beside_dpo(named_losses(texts, info.contract) if texts else ())
        if not callable(getattr(task_record(config.task).make(config.fitness), "save_policy", None)):
            raise TaskError(
                f"the task {info.name} saves no policies (a method save_policy), so they cannot be evaluated"
            )
    elif not wish.models:
        raise ConfigError(
            "nothing to evaluate: give losses, directories of runs, --task, or trained models with --model"
        )
    rung = info.rung(wish.rung or info.search_rungs[-1].name).name
    seeds = tuple(derive(config.seed, "evaluate", number) for number in range(wish.seeds))
    for model in (*wish.models, *([wish.reference] if wish.reference else [])):
        _check_folder(model)
    return Subjects(config, info, rung, losses, seeds, wish.models, wish.reference)


def default_directory(wish: Wish) -> Path:
    """`runs/evaluate-NAME`: the name of the first run, else of the task, else of the first model."""
    runs = [directory for text in wish.named if (directory := _run_of(text)) is not None]
    task = wish.config.stem if wish.config else directory_name(wish.task) if wish.task else None
    model = wish.models[0].resolve().name if wish.models and not wish.named else None
    name = task or (runs[0].resolve().name if runs else model) or "sentiment"
    return Path("runs") / f"evaluate-{name}"


def _settings(wish: Wish, overrides: Sequence[str], runs: Sequence[Path], path: Path) -> tuple[Config, TaskInfo]:
    if wish.config is None and wish.task is None and runs:
        with Reader.open(existing_run(runs[0]).archive) as reader:
            config, info = settings_of(reader, runs[0], None, overrides)
    else:
        task = [f"task={wish.task}"] if wish.task else []
        config = settled(load_config(wish.config, [*task, *overrides]), path)
        info = task_info(config.task, config.fitness)
    config = config.model_copy(update={"name": "evaluate"})
    if info.services:
        options = {key: value for key, value in config.fitness.items() if key not in JUDGE_KEYS}
        config = config.model_copy(update={"fitness": options})
        info = task_info(config.task, config.fitness)
        if info.services:
            raise TaskError(
                f"the task {info.name} is scored by an endpoint ({info.services[0].key}), even to train a policy"
            )
    return config, info


def _whole_run(text: str) -> Path | None:
    """The directory of a run that is named as a whole; None for anything else."""
    path = Path(text)
    return path if text not in known.names() and not text.endswith(".py") and os.path.isdir(path) else None


def _run_of(text: str) -> Path | None:
    """The directory of the run that `text` names as a whole, or a candidate of."""
    directory, mark, candidate = text.rpartition("#")
    return Path(directory) if mark and directory and candidate else _whole_run(text)


def _finalists(directory: Path) -> list[str]:
    """The finalists of a run, each as DIRECTORY#ID, best first. Raises NotInRun if it has none yet."""
    with Reader.open(existing_run(directory).archive) as reader, reader.consistent():
        decision = decide(Snapshot.of(reader))
    ids = [] if decision is None or not decision.fresh else [found.arm.candidate for found in decision.finalists]
    if not ids:
        raise NotInRun(f"the run in {directory} has no finalists yet; finish it, or name candidates: {directory}#ID")
    return [f"{directory}#{id}" for id in dict.fromkeys(ids)]


def _beside_dpo(losses: tuple[ComparedLoss, ...]) -> tuple[ComparedLoss, ...]:
    dpo = published(DPO)
    return (dpo, *(loss for loss in losses if loss.graph != dpo.graph))


def _check_folder(path: Path) -> None:
    missing = [name for name in ("config.json", "tokenizer_config.json") if not os.path.isfile(path / name)]
    if missing:
        what = f"has no {' and no '.join(missing)}" if os.path.isdir(path) else "is no folder"
        raise TaskError(f"--model: {path} {what}; give a folder that save_pretrained wrote, model and tokenizer")
