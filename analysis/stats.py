"""Statistics of all claims: means, standard errors, paired differences, Student's t, Holm, minimum detectable differences.

Distributions are scipy's, imported in the functions that need them, so that reading an archive and `--help` do not load scipy.
This module works on numbers only, not on candidates.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SIGNIFICANCE = 0.05
"""Family-wise error rate: probability of at least one false claim among all comparisons of a family."""
ROUNDING = 1e-6
"""Relative size below which a difference between scores counts as rounding error."""

POWER = 0.8
"""Probability with which a difference of the minimum detectable size is found."""


@dataclass(frozen=True)
class Interval:
    """An interval from `low` to `high`, in the units of the values."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Paired difference: the mean of a - b over the shared seeds, with its standard error.

    `freedom` is the degrees of freedom, `p_value` is two-sided. Both and `standard_error` are None without a deviation: with one
    seed or equal differences, and no deviation of other comparisons. `borrowed`: the deviation is that of other comparisons.
    """

    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    """By seed, in the order of `seeds`."""
    difference: float
    deviation: float | None
    standard_error: float | None
    freedom: float | None
    p_value: float | None
    borrowed: bool = False
    groups: int = 0
    """Number of groups of test items that the error covers in addition to the seeds; 0 if it covers seeds only."""


@dataclass(frozen=True)
class PooledDeviation:
    """A standard deviation pooled over several groups, with its degrees of freedom."""

    deviation: float
    freedom: int

    def error(self, values: int) -> float:
        """Standard error of the mean of `values` values that have this deviation."""
        return self.deviation / math.sqrt(values)


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean. Raises ValueError for an empty sequence."""
    if not values:
        raise ValueError("a mean needs at least one value, got none")
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None below two values."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of the mean; None below two values."""
    spread = deviation(values)
    return None if spread is None else spread / math.sqrt(len(values))


def pool(groups: Iterable[Sequence[float]]) -> PooledDeviation | None:
    """Pooled standard deviation of groups with equal variance; None without a group of at least two values."""
    repeated = [group for group in groups if len(group) >= 2]
    freedom = sum(len(group) - 1 for group in repeated)
    if not freedom:
        return None
    squares = math.fsum((len(group) - 1) * (deviation(group) or 0.0) ** 2 for group in repeated)
    return PooledDeviation(math.sqrt(squares / freedom), freedom)


def paired(
    ours: Mapping[int, float], theirs: Mapping[int, float], fallback: PooledDeviation | None = None
) -> Paired | None:
    """Ours minus theirs over shared seeds (common random numbers); None without a shared seed.

    `fallback` is the deviation to use where the differences themselves give none.
    """
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    if not seeds:
        return None
    differences = tuple(ours[seed] - theirs[seed] for seed in seeds)
    middle = mean(differences)
    spread = deviation(differences)
    borrowed = False
    freedom = len(seeds) - 1
    # Equal differences come from a coarse metric or by chance. An error of zero would make any difference significant. Scores
    # may have been rounded to float32, so differences count as equal up to that rounding.
    rounding = ROUNDING * max(max(abs(ours[seed]), abs(theirs[seed])) for seed in seeds)
    if spread is None or spread <= rounding:
        if fallback is None or fallback.deviation <= rounding:
            return Paired(seeds, differences, middle, spread, None, None, None)
        spread, freedom, borrowed = fallback.deviation, fallback.freedom, True
    error = spread / math.sqrt(len(seeds))
    p_value = 2 * student_cdf(-abs(middle) / error, freedom)
    return Paired(seeds, differences, middle, spread, error, freedom, p_value, borrowed)


def interval(pair: Paired, confidence: float = 1 - SIGNIFICANCE) -> Interval | None:
    """Student's interval of a paired difference; None without a standard error."""
    if pair.standard_error is None or pair.freedom is None:
        return None
    reach = student_quantile((1 + confidence) / 2, pair.freedom) * pair.standard_error
    return Interval(pair.difference - reach, pair.difference + reach)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order of `p_values`. Reject where one is below SIGNIFICANCE.

    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return adjusted


def minimum_detectable_difference(
    standard_error: float,
    freedom: float,
    *,
    comparisons: int = 1,
    power: float = POWER,
    alpha: float = SIGNIFICANCE,
) -> float:
    """Minimum detectable difference: the true difference that a two-sided t-test finds with probability `power`.

    In the units of `standard_error`. Exact: solves for the non-centrality with which |t| exceeds the critical value of the level
    alpha / comparisons with that probability. The division is the first step of Holm's procedure. `freedom` (degrees of freedom)
    may be a fraction (Satterthwaite's). Raises ValueError for a power outside of (level, 1) and for `freedom` not above 0.
    """
    level = alpha / comparisons
    if not level < power < 1:
        raise ValueError(f"a power must lie between the level {level:g} and 1, got {power}")
    from scipy.optimize import brentq
    from scipy.special import ncfdtr

    critical = student_quantile(1 - level / 2, freedom)

    def excess(noncentrality: float) -> float:
        # The square of a non-central t has a non-central F distribution with 1 numerator degree of freedom: both tails at once.
        return 1 - float(ncfdtr(1, freedom, noncentrality**2, critical**2)) - power

    high = critical
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, 0.0, high)) * standard_error


def variance_reduction(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float | None:
    """Fraction by which pairing by seed reduced the variance of the difference; negative where pairing increased it.

    1 - Var(a - b) / (Var a + Var b). None below two shared seeds or without any variance.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    spreads = [deviation([values[seed] for seed in seeds]) for values in (ours, theirs)]
    between = deviation([ours[seed] - theirs[seed] for seed in seeds])
    apart = math.fsum(spread**2 for spread in spreads if spread is not None)
    return None if between is None or apart == 0 else 1 - between**2 / apart


def wilson(successes: int, trials: int, confidence: float = 1 - SIGNIFICANCE) -> Interval | None:
    """Wilson's interval of a rate; None without trials. Valid for few trials and at rates of 0 and 1."""
    if not trials:
        return None
    z = normal_quantile((1 + confidence) / 2)
    rate = successes / trials
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach))


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution. Raises ValueError for a probability outside of (0, 1)."""
    from scipy.special import ndtri

    return float(ndtri(_inside(probability)))


def student_cdf(t: float, freedom: float) -> float:
    """Probability that Student's t is at most `t`. `freedom`, the degrees of freedom, may be a fraction."""
    from scipy.special import stdtr

    return float(stdtr(_positive(freedom), t))


def student_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t distribution. Raises ValueError for a probability outside of (0, 1)."""
    from scipy.special import stdtrit

    return float(stdtrit(_positive(freedom), _inside(probability)))


def _inside(probability: float) -> float:
    if not 0 < probability < 1:
        raise ValueError(f"a probability must lie between 0 and 1, got {probability}")
    return probability


def _positive(freedom: float) -> float:
    if not freedom > 0:
        raise ValueError(f"degrees of freedom must be positive, got {freedom}")
    return freedom
