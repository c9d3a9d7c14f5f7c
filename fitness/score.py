"""What an evaluation gives back: one seed's result, or the reason why there is none.

Policy for numbers: a fitness and every metric that is present is finite. What could not be measured is left out, and a
training run that yields no finite fitness is an `EvaluationFailed`, never a low score.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fitness.costs import Usage


class FailureReason(StrEnum):
    """Why an evaluation has no fitness. The first five say something of the loss or task, the last two of the machine."""

    DIVERGED = "diverged"  # a loss, gradient or weight became NaN or infinite
    COLLAPSED = "collapsed"  # training ended, but the policy is degenerate by the task's own test
    OUT_OF_MEMORY = "out_of_memory"
    BAD_DATA = "bad_data"  # the task's data set or model cannot be used as configured
    UNSUPPORTED_LOSS = "unsupported_loss"  # the graph is invalid, of another contract, or needs what this task lacks
    WORKER_DIED = "worker_died"
    TIMEOUT = "timeout"


Points = Sequence[tuple[int, float]]
"""A curve: (optimiser step, value), values that are not finite among them."""


class EvaluationFailed(Exception):
    """An evaluation that ended without a fitness; `reason` is for programs, `detail` for people.

    `paid` is what a judge was paid before it failed, None where none was asked; `curves` is what was watched of the training
    until then (see `fitness.training.curves`).
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
    """The failure for what is wrong with model, data or surroundings, and what to do about it."""
    return EvaluationFailed("bad_data", f"{problem}: {remedy}")


MOST_ITEMS = 200_000
LONGEST_GROUP = 200  # characters of a group's name
ROUNDING = 1e-6  # between a fitness and the mean of its items, as a part of the largest of them


@dataclass(frozen=True)
class ItemScores:
    """The fitness of one training item by item (test pair, answer, picture), in units of the fitness: it is their mean.

    `groups` names what each item belongs to, a prompt say: items of one group are not independent. Trainings of one rung that
    are judged on the same item name its group alike, whatever their seed. Raises ValueError for values that are not finite,
    another number of groups than of values, none, more than MOST_ITEMS, or names longer than LONGEST_GROUP.
    """

    values: tuple[float, ...]
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.values) == len(self.groups) <= MOST_ITEMS:
            raise ValueError(
                f"expected 1 to {MOST_ITEMS} items with a group each, got {len(self.values)} items, {len(self.groups)} groups"
            )
        if not all(math.isfinite(value) for value in self.values):
            raise ValueError("expected a finite fitness of every item")
        if any(len(group) > LONGEST_GROUP for group in self.groups):
            raise ValueError(f"expected names of groups of at most {LONGEST_GROUP} characters")

    @classmethod
    def of(cls, values: Iterable[float], groups: Iterable[str]) -> "ItemScores":
        """From any sequences. Raises ValueError as above, and for what is no number or no text."""
        try:
            return cls(tuple(float(value) for value in values), tuple(_text(group) for group in groups))
        except TypeError as error:
            raise ValueError(f"expected a number and a name of a group for every item: {error}") from None

    @property
    def mean(self) -> float:
        """The fitness."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True)
class SeedResult:
    """One training run with one seed. Raises ValueError for items whose mean is not the fitness."""

    fitness: float  # the task's metric, larger is better
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0  # wall clock of training and evaluation
    tokens: int = 0  # seen in training, padding left out
    steps: int = 0  # optimiser steps
    seed: int = 0
    items: ItemScores | None = None  # None: the fitness is no mean of items
    paid: Usage | None = None  # what a judge was paid for it; None where none was asked
    curves: Mapping[str, Points] = field(
        default_factory=dict
    )  # what was watched in training; see fitness.training.curves

    def __post_init__(self) -> None:
        if self.items is None:
            return
        scale = max(abs(value) for value in self.items.values)
        if abs(self.items.mean - self.fitness) > ROUNDING * scale:
            raise ValueError(f"the items' mean is {self.items.mean}, expected the fitness, {self.fitness}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__} as the name of a group")
    return value
