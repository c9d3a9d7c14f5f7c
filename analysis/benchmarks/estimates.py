"""Means of judged items, with standard errors that cover the questions and, where a loss was trained several times, its seeds.

Values of one question (its turns, its samples) are one cluster: a hard question is hard in both turns. With one policy the mean
m = sum(values) / count is a ratio over clusters, and with G questions q of n_q values that sum to s_q (Cochran 1977, "Sampling
Techniques", eq. 2.39)

    Var(m) = G / (G - 1) * sum_q (s_q - m n_q)^2 / (sum_q n_q)^2,    G - 1 degrees of freedom.

Several policies of one loss answer the same questions: seeds and questions are crossed random effects (Searle, Casella and
McCulloch 1992, chapter 4), and

    Var = V_seeds + V_questions - V_rest,

where V_seeds is the variance of the policies' means divided by their number, V_questions is that above for the values of all
policies, and V_rest is the mean square of the interaction divided by the number of cells. The variance is never below
V_seeds or V_questions. Degrees of freedom are Satterthwaite's (1946).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis import stats

Values = Mapping[str, Sequence[float]]
"""Values by question, of one policy."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error, both in the unit of the values."""

    value: float
    error: float | None
    """None with one question, or if all values are equal: coarse grades are often equal by chance."""
    freedom: float | None
    """Degrees of freedom of `error`, perhaps a fraction."""
    questions: int
    seeds: int
    """Number of policies; with one, the error covers the questions only."""

    @property
    def interval(self) -> stats.Interval | None:
        """Student's interval with confidence 95 %; None without an error."""
        if self.error is None or self.freedom is None:
            return None
        reach = stats.student_quantile(1 - stats.SIGNIFICANCE / 2, self.freedom) * self.error
        return stats.Interval(self.value - reach, self.value + reach)


def estimate(policies: Sequence[Values]) -> Estimate | None:
    """The mean over the policies of one loss, each the mean of its values; None without any.

    A policy without values does not count.
    """
    judged = [{q: list(v) for q, v in policy.items() if v} for policy in policies]
    judged = [policy for policy in judged if policy]
    if not judged:
        return None
    means = [stats.mean([value for values in policy.values() for value in values]) for policy in judged]
    value = stats.mean(means)
    pooled: dict[str, list[float]] = {}
    for policy in judged:
        for question, values in policy.items():
            pooled.setdefault(question, []).extend(values)
    parts = [(_over_questions(pooled), len(pooled) - 1.0)]
    if len(judged) > 1:
        parts += [
            (_over_seeds(means), len(judged) - 1.0),
            (-_rest(judged), float((len(judged) - 1) * (len(pooled) - 1))),
        ]
    known = [(variance, freedom) for variance, freedom in parts if freedom > 0]
    if len(pooled) < 2 or not known:
        return Estimate(value, None, None, len(pooled), len(judged))
    variance = max(math.fsum(v for v, _ in known), *(v for v, _ in known))
    largest = max(abs(value) for values in pooled.values() for value in values)
    if math.sqrt(variance) <= stats.ROUNDING * largest:
        return Estimate(value, None, None, len(pooled), len(judged))
    freedom = variance**2 / math.fsum(v**2 / freedom for v, freedom in known)
    return Estimate(value, math.sqrt(variance), freedom, len(pooled), len(judged))


def _over_questions(pooled: Values) -> float:
    groups = len(pooled)
    if groups < 2:
        return 0.0
    count = sum(map(len, pooled.values()))
    middle = math.fsum(value for values in pooled.values() for value in values) / count
    squares = math.fsum((math.fsum(values) - middle * len(values)) ** 2 for values in pooled.values())
    return groups / (groups - 1) * squares / count**2


def _over_seeds(means: Sequence[float]) -> float:
    return (stats.standard_error(means) or 0.0) ** 2


def _rest(policies: Sequence[Values]) -> float:
    """Mean square of the interaction of seed and question, divided by the number of cells; over questions that all seeds have."""
    shared = [question for question in policies[0] if all(question in policy for policy in policies)]
    if len(shared) < 2:
        return 0.0
    cells = [[stats.mean(policy[question]) for question in shared] for policy in policies]
    rows = [stats.mean(row) for row in cells]
    columns = [stats.mean(column) for column in zip(*cells, strict=True)]
    middle = stats.mean(rows)
    squares = math.fsum(
        (cell - row - column + middle) ** 2
        for row, line in zip(rows, cells, strict=True)
        for column, cell in zip(columns, line, strict=True)
    )
    freedom = (len(rows) - 1) * (len(columns) - 1)
    return squares / freedom / (len(rows) * len(columns))
