"""Reading of lm-eval's results files. Their contents are untrusted, and every number is checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness.benchmarks.protocol import BenchmarkError
from fitness.task.faults import did_you_mean

VERSIONS = "0.4."
"""Beginning of the versions of lm-eval whose results are read."""
LARGEST = 2**28
"""Maximum bytes of a results file. It holds every task's configuration, but no samples."""

_ERROR = "_stderr"


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task."""

    task: str
    metric: str
    """With the name of lm-eval's filter where there is one, for example `exact_match (strict-match)`."""
    value: float | None
    """None if lm-eval reports a number that is not finite."""
    error: float | None
    """Standard error over the items, as lm-eval reports it; None if it reports none."""
    items: int
    higher_is_better: bool
    version: str
    """Version of the task's definition."""


@dataclass(frozen=True)
class Results:
    """The scores of one model, and the version of lm-eval that measured them."""

    lm_eval: str
    scores: tuple[TaskScore, ...]


def read_results(path: Path, tasks: Sequence[str]) -> Results:
    """The scores of `tasks`, in this order. A group without a score of its own stands for its tasks.

    Raises BenchmarkError for a file that is not lm-eval's, is of another version, or lacks one of the tasks.
    """
    content = _read(path)
    version = str(content.get("lm_eval_version"))
    if not version.startswith(VERSIONS):
        raise BenchmarkError(
            f"{path}: expected results of lm-eval {VERSIONS}x, got lm_eval_version {version[:40]!r}; measure again with "
            "pip install 'evopo[lm-eval]'"
        )
    found = _Results(path, content)
    return Results(version, tuple(score for task in tasks for score in found.of(task)))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise BenchmarkError(f"{path}: expected a results file of at most {LARGEST:,} bytes")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} is not JSON ({str(error)[:120]}); measure again") from None
    if not isinstance(content, dict):
        raise BenchmarkError(f"{path}: expected an object as lm-eval writes it, got {type(content).__name__}")
    return content


class _Results:
    """A results file: its sections, and the faults that are found in them."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path, self._content = path, content
        self._scores = self._section("results")

    def of(self, task: str) -> Iterator[TaskScore]:
        """The scores of a task or a group, or those of the group's tasks. Raises BenchmarkError."""
        if self._keys(task):
            yield from self._of_one(task)
            return
        parts = [part for part in self._parts(task) if self._keys(part)]
        if not parts:
            raise BenchmarkError(f"{self._path}: results.{task} has no metric, for example 'acc,none'")
        for part in parts:
            yield from self._of_one(part)

    def _of_one(self, task: str) -> Iterator[TaskScore]:
        for key in self._keys(task):
            name, _, kind = key.partition(",")
            where, own = f"results.{task}", self._scores[task]
            error = own.get(f"{name}{_ERROR},{kind}")
            yield TaskScore(
                task=task,
                metric=name if kind == "none" else f"{name} ({kind})",
                value=self._number(own[key], f"{where}.{key}"),
                error=None if error in (None, "N/A") else self._number(error, f"{where}.{name}{_ERROR},{kind}"),
                items=self._items(task),
                higher_is_better=self._higher_is_better(task, name),
                version=str(self._section("versions").get(task, "")),
            )

    def _keys(self, task: str) -> list[str]:
        """The keys of a task's metrics: name and filter."""
        if task not in self._scores:
            raise BenchmarkError(
                f"{self._path} has no task {task!r}; it has: {', '.join(map(str, self._scores))[:400]}"
                f"{did_you_mean(task, self._scores)}"
            )
        own = self._mapping(self._scores[task], f"results.{task}")
        return [key for key in own if "," in key and not key.partition(",")[0].endswith(_ERROR)]

    def _parts(self, group: str) -> list[str]:
        """The tasks of a group and of the groups in it, each once; a task is its own only part."""
        groups = self._section("group_subtasks", optional=True)
        found, waiting = dict[str, bool](), [group]
        while waiting:
            name = str(waiting.pop(0))
            inside = groups.get(name) or []
            if name in found or not isinstance(inside, list):
                continue
            found[name] = not inside
            waiting += inside
        return [name for name, single in found.items() if single]

    def _items(self, task: str) -> int:
        samples = self._section("n-samples")
        total = 0
        for part in self._parts(task):
            number = self._mapping(samples.get(part), f"n-samples.{part}").get("effective")
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise BenchmarkError(
                    f"{self._path}: n-samples.{part}.effective: expected a number of items, got {str(number)[:80]!r}"
                )
            total += number
        return total

    def _higher_is_better(self, task: str, metric: str) -> bool:
        said = self._section("higher_is_better").get(task)
        value = said.get(metric) if isinstance(said, dict) else None
        if value is None:  # lm-eval leaves it open if the tasks of a group disagree, or a metric is the task's own
            return "perplexity" not in metric and "bits_per_byte" not in metric
        if not isinstance(value, bool):
            raise BenchmarkError(
                f"{self._path}: higher_is_better.{task}.{metric}: expected true or false, got {value!r}"
            )
        return value

    def _number(self, value: Any, where: str) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BenchmarkError(f"{self._path}: {where}: expected a number, got {str(value)[:80]!r}")
        return float(value) if math.isfinite(value) else None

    def _section(self, name: str, *, optional: bool = False) -> Mapping[str, Any]:
        if name not in self._content and optional:
            return {}
        return self._mapping(self._content.get(name), name)

    def _mapping(self, value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise BenchmarkError(f"{self._path}: {where}: expected an object, got {type(value).__name__}")
        return value
