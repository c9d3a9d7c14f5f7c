"""Result of an evaluation: the scores of one seed, or the reason why there are none.

Rule for numbers: the fitness and every metric that is present are finite. A value that could not be measured is left out. A
training without a finite fitness is an `EvaluationFailed`, never a low score.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import stdev

from fitness.chat.costs import Usage


class FailureReason(StrEnum):
    """Why an evaluation has no fitness. With the last two the process was lost, in two tries; out_of_memory can be either."""

    DIVERGED = "diverged"  # a loss, gradient or weight became NaN or infinite
    COLLAPSED = "collapsed"  # the training ended, but the policy is degenerate by the task's own criterion
    OUT_OF_MEMORY = "out_of_memory"
    BAD_DATA = "bad_data"  # the task's data set or model cannot be used as configured
    UNSUPPORTED_LOSS = (
        "unsupported_loss"  # the graph is invalid, has another contract, or needs something this task lacks
    )
    WORKER_DIED = "worker_died"
    TIMEOUT = "timeout"


Points = Sequence[tuple[int, float]]
"""A curve: (optimiser step, value) pairs. Values may be NaN or infinite."""


class EvaluationFailed(Exception):
    """An evaluation that ended without a fitness; `reason` is for programs, `detail` for people.

    `paid` is a judge's usage before the failure, None if no judge was called. `curves` holds the training curves up to the
    failure (see `fitness.training.curves`).
    """

    def __init__(
        self,
        reason: FailureReason | str,
        detail: str = "",
        paid: Usage | None = None,
        curves: Mapping[str, Points] | None = None,
    ) -> None:
        self.reason = FailureReason(reason)
        self.detail = detail
        self.paid = paid
        self.curves = curves or {}
        super().__init__(self.reason, detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Torch has a class for the accelerator's memory, and plain RuntimeErrors for
    the host's and for the libraries that find none on the accelerator."""
    return isinstance(error, MemoryError) or any(
        words in str(error).lower()
        for words in ("out of memory", "can't allocate memory", "cannot allocate memory", "cublas_status_alloc_failed")
    )


def bad_data(problem: str, remedy: str) -> EvaluationFailed:
    """The EvaluationFailed for a problem with model, data or environment, with its remedy."""
    return EvaluationFailed("bad_data", f"{problem}: {remedy}")


MOST_ITEMS = 200_000
LONGEST_GROUP = 200  # characters of a group's name
ROUNDING = 1e-6  # largest difference between a fitness and the mean of its items, relative to the largest item


@dataclass(frozen=True)
class ItemScores:
    """Scores of one training by item (test pair, answer, image), in units of the fitness. The fitness is their mean.

    `groups` names the group of each item, for example its prompt: items of one group are not independent. Trainings at one rung
    use the same group name for the same item, whatever their seed. Raises ValueError if a value is not finite, if the numbers
    of values and groups differ, if there are no items or more than MOST_ITEMS, or if a name is longer than LONGEST_GROUP.
    """

    values: tuple[float, ...]
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.values) == len(self.groups) <= MOST_ITEMS:
            raise ValueError(
                f"expected 1 to {MOST_ITEMS} items with a group each, got {len(self.values)} items, {len(self.groups)} groups"
            )
        if not all(math.isfinite(value) for value in self.values):
            raise ValueError("expected a finite score for every item")
        if any(len(group) > LONGEST_GROUP for group in self.groups):
            raise ValueError(f"expected group names of at most {LONGEST_GROUP} characters")

    @classmethod
    def of(cls, values: Iterable[float], groups: Iterable[str]) -> "ItemScores":
        """From any iterables. Raises ValueError as above, and for a value that is not a number or a name that is not text."""
        try:
            return cls(tuple(float(value) for value in values), tuple(_text(group) for group in groups))
        except TypeError as error:
            raise ValueError(f"expected a number and a group name for every item: {error}") from None

    @property
    def mean(self) -> float:
        """The fitness."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True)
class SeedResult:
    """Result of one training with one seed. Raises ValueError if the mean of the items is not the fitness."""

    fitness: float  # the task's metric, larger is better
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # wall clock of training and evaluation
    tokens: int = 0  # processed in training, without padding
    steps: int = 0  # optimiser steps
    seed: int = 0
    items: ItemScores | None = None  # None: the fitness is not a mean of items
    paid: Usage | None = None  # usage of a judge; None if no judge was called
    curves: Mapping[str, Points] = field(default_factory=dict)  # training curves; see fitness.training.curves

    def __post_init__(self) -> None:
        if self.items is None:
            return
        scale = max(abs(value) for value in self.items.values)
        if abs(self.items.mean - self.fitness) > ROUNDING * scale:
            raise ValueError(f"the items' mean is {self.items.mean}, expected the fitness, {self.fitness}")


SAMPLING_ERROR = "_sampling_error"
"""End of the name of a metric's standard error over sampling seeds."""


def over_sampling_seeds(draws: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the metrics of one trained policy over its sampling seeds, and the standard errors of those that vary.

    These errors do not cover the training seed. `draws` has the same metrics for each sampling seed.
    """
    values = {name: [draw[name] for draw in draws] for name in draws[0]}
    means = {name: math.fsum(of) / len(of) for name, of in values.items()}
    errors = {name + SAMPLING_ERROR: stdev(of) / math.sqrt(len(of)) for name, of in values.items() if len(set(of)) > 1}
    return means | errors


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__} as a group name")
    return value
