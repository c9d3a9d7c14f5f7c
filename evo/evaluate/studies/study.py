"""The interface of studies: benchmarks without a judge, which measure in their own way and record answers with metrics."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from archive.judgements import PolicyRow
from archive.query import Reader
from archive.store import Archive
from evo.baselines.compared_losses import ComparedLoss
from evo.config.schema import Config
from fitness.task.protocol import TaskInfo, TaskOptions

STUDIES: Mapping[str, str] = {
    "imdb": "evo.evaluate.studies.imdb:Imdb",
    "lm-eval": "evo.evaluate.studies.lm_eval:LmEval",
}
"""Location of each study: `module:class`."""


@dataclass(frozen=True)
class SavedPolicy:
    """A recorded policy and the folder with its weights and tokenizer."""

    row: PolicyRow
    folder: Path


@dataclass(frozen=True)
class StudyRun:
    """What a study works with. It records with `archive.judgements` and says what it does with `say`."""

    config: Config
    """With the task and its options."""
    info: TaskInfo
    options: TaskOptions
    """The study's own options."""
    losses: tuple[ComparedLoss, ...]
    """DPO first."""
    seeds: tuple[int, ...]
    """Seeds of the trainings."""
    policies: tuple[SavedPolicy, ...]
    """Empty unless the study's `policies` is true. The reference first."""
    archive: Archive
    reader: Reader
    directory: Path
    """The directory of the evaluation, which holds its archive."""
    say: Callable[[str], None]


class Study(Protocol):
    """A benchmark without a judge. Made without arguments."""

    options: ClassVar[type[TaskOptions]]
    policies: ClassVar[bool]
    """Whether it examines saved policies, which are then trained before it; if not, it trains by itself."""

    def check(self, options: TaskOptions, config: Config, info: TaskInfo) -> list[str]:
        """Faults that can be known before long work, one line each with its remedy."""

    def plan(self, run: StudyRun) -> str:
        """One line: what it would train or measure, and about how long that takes."""

    def run(self, run: StudyRun) -> None:
        """Measure what is not recorded yet. Raises TaskUnusable, BenchmarkError, KeyboardInterrupt."""


def study_named(name: str) -> Study:
    """The study with this name, which must be one of STUDIES."""
    module, _, attribute = STUDIES[name].partition(":")
    study: Study = getattr(importlib.import_module(module), attribute)()
    return study
