"""What an evaluation has to do, and everything about it that can be checked before long work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evo.evaluate.alpaca_package import package_faults
from evo.evaluate.answers import Wanted, wanted_of
from evo.evaluate.policies import Recipe, folder_of, recipes
from evo.evaluate.settings import Settings
from evo.evaluate.studies.study import Study
from evo.evaluate.subjects import Subjects
from evo.session.extras import require_training
from evo.session.preflight import Fault, PreflightFailed, contract_faults, payment_faults, task_faults
from fitness.benchmarks.generation import generator
from fitness.benchmarks.protocol import Benchmark
from fitness.chat.endpoint import Endpoint
from fitness.chat.errors import LLMError
from fitness.task.faults import did_you_mean
from fitness.task.protocol import TaskOptions


@dataclass(frozen=True)
class Work:
    """What an evaluation has to do, known before anything is trained."""

    subjects: Subjects
    settings: Settings
    benchmarks: Mapping[str, Benchmark]
    wanted: Mapping[str, Sequence[Wanted]]
    """The answers that each policy has to write, by benchmark."""
    studies: Mapping[str, tuple[Study, TaskOptions]]
    recipes: tuple[Recipe, ...]
    """The policies; empty if only studies that train by themselves were asked for."""
    endpoint: Endpoint | None
    """The judge's; None without a benchmark that needs one."""


def work_of(subjects: Subjects, settings: Settings, names: Sequence[str]) -> Work:
    """Read the questions and check everything that can be known before long work.

    Raises PreflightFailed with all faults; BenchmarkError for data that cannot be used.
    """
    require_training()
    config, info = subjects.config, subjects.info
    benchmarks, studies = settings.judged(names), settings.studies(names)
    wanted = {name: wanted_of(b, b.questions(), settings.generation) for name, b in benchmarks.items()}
    faults = [Fault("", line) for line in generator.faults(settings.generation)]
    faults += [Fault("alpaca-eval.python", line) for b in benchmarks.values() for line in package_faults(b)]
    endpoint = None
    if benchmarks and settings.judge is None:
        faults.append(
            Fault(
                "judge",
                f"{', '.join(benchmarks)} needs a judge: set judge.base_url and judge.model, by --set or in --judging",
            )
        )
    elif benchmarks and settings.judge is not None:
        try:
            endpoint = settings.judge.endpoint()
            faults += payment_faults(config, {"judge": endpoint}, no_endpoint=False)
        except LLMError as error:
            faults.append(Fault("judge", str(error)))
    if subjects.losses:
        faults += [*contract_faults(config, info, proposes=False), *task_faults(config)]
    for name, (study, options) in studies.items():
        faults += [Fault(name, line) for line in study.check(options, config, info)]
    needed = benchmarks or any(study.policies for study, _ in studies.values())
    found = recipes(subjects) if needed and not faults else ()
    if found:
        faults += [Fault("", line) for b in benchmarks.values() if (line := _opponent_fault(b, found))]
    if faults:
        raise PreflightFailed(faults)
    return Work(subjects, settings, benchmarks, wanted, studies, found, endpoint)


def _opponent_fault(benchmark: Benchmark, found: Sequence[Recipe]) -> str:
    """A line if the policy that a benchmark compares with is not evaluated; empty if it is, or if none was named."""
    name = getattr(benchmark, "opponent", None)
    if name is None or any(name in (recipe.loss, recipe.kind, recipe.name) for recipe in found):
        return ""
    known = list(dict.fromkeys(recipe.loss or recipe.name for recipe in found))
    meant = did_you_mean(name, known)
    return f"{benchmark.name}.opponent is {name!r}, which is not evaluated: expected one of {', '.join(known)}{meant}"


def check_chats(work: Work, path: Path) -> None:
    """Raises BenchmarkError if a named model, or a saved reference, has no tokenizer or no chat template. Loads no weights."""
    from fitness.benchmarks.generation.chats import Chats

    for recipe in work.recipes if work.benchmarks else ():
        if recipe.graph is None and folder_of(recipe, path).is_dir():
            Chats(folder_of(recipe, path), work.settings.generation)
