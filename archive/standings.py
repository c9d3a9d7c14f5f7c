"""Scores of a candidate over its seeds, computed from its finished evaluations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from archive.decode import Brief, FinishedEvaluation
from archive.records import Origin


@dataclass(frozen=True)
class Standing:
    """Scores of a candidate at one task, rung, beta and learning rate, computed from its evaluations.

    `mean` is over the scored seeds, None without any. `standard_error` (of the mean, from the sample standard deviation) is None
    below two seeds. Both are in units of fitness.
    """

    candidate_id: int
    name: str
    origin: Origin
    status: str | None
    """Status of its verdict; None before vetting."""
    task: str
    rung: str
    beta: float | None
    learning_rate: float | None
    n: int
    mean: float | None
    standard_error: float | None
    fitnesses: tuple[float, ...]
    seeds: tuple[int, ...]
    """The scored seeds, in the order of `fitnesses`."""
    failed: int
    """Number of failed seeds."""
    seconds: float
    """Training seconds of all finished seeds."""


def standing_of(candidate: Brief, results: Sequence[FinishedEvaluation]) -> Standing:
    """The standing of a candidate from its finished evaluations, which differ in seed only. There is at least one."""
    scored = [(result.seed, result.fitness) for result in results if result.fitness is not None]
    fitnesses = tuple(fitness for _, fitness in scored)
    n = len(scored)
    mean = math.fsum(fitnesses) / n if n else None
    return Standing(
        candidate_id=candidate.id,
        name=candidate.name,
        origin=candidate.origin,
        status=candidate.status,
        task=results[0].task,
        rung=results[0].rung,
        beta=results[0].beta,
        learning_rate=results[0].learning_rate,
        n=n,
        mean=mean,
        standard_error=None if mean is None or n < 2 else _standard_error(fitnesses, mean),
        fitnesses=fitnesses,
        seeds=tuple(seed for seed, _ in scored),
        failed=len(results) - n,
        seconds=math.fsum(result.seconds or 0.0 for result in results),
    )


def place(s: Standing) -> tuple[bool, float, int, str, str, float, float]:
    """Sort key of standings: highest mean first."""
    return s.mean is None, -(s.mean or 0.0), s.candidate_id, s.task, s.rung, s.beta or 0.0, s.learning_rate or 0.0


def _standard_error(values: Sequence[float], mean: float) -> float:
    n = len(values)
    # statistics.stdev is exact and fifty times slower.
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
