"""Paired comparison of two losses by test item: its standard error covers training seeds and test items.

All seeds of a final are measured on the same test items, so what is unusual about these items does not average out over seeds: a
t-test over seeds mistakes the chance of a small test set for a difference. Here the difference d[s, g] of seed s and group g (for
example the items of one prompt) is mean + seed effect + group effect + rest. All effects are random, and a group has the weight
of its number of items.

    Var(mean) = V_seeds + V_shared,   in a balanced design   (MS_seeds + MS_groups - MS_rest) / (seeds * groups)

V_seeds is the squared standard error of the t-test over seeds. V_shared is the covariance of two seeds over their shared groups,
estimated from the deviations of each seed from its own mean (method of moments). It is exact for a complete design with groups of
any size, where it equals the mean squares of two-way crossed random effects (Searle, Casella and McCulloch 1992, "Variance
Components", chapter 4). In an incomplete design, only shared groups are used. If no group is shared, because each seed drew its
own items, the result is the t-test over seeds. The variance is at least that of a test over groups with fixed seeds (groups as
clusters, Cameron and Miller 2015). Degrees of freedom are Satterthwaite's (1946) for the sum of mean squares. Test items never
make a claim easier: where the t-test over seeds has the larger p-value, its error is used.

Student's t assumes normal differences of groups. A few groups with coarse outcomes (right or wrong) are not normal: six that agree
by chance would be highly significant. So no p-value is below that of a sign test in which all groups agree, 2^(1 - groups).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis import stats
from archive.records import Items


@dataclass(frozen=True)
class Crossed:
    """A difference of means over seeds and items, in units of fitness. `freedom` is the degrees of freedom, perhaps a fraction."""

    difference: float
    standard_error: float
    freedom: float
    p_value: float
    """Two-sided, Student's, and never below `smallest_p`."""
    groups: int
    """Number of distinct groups of items over all seeds."""


def smallest_p(groups: int) -> float:
    """The smallest two-sided p-value with this number of groups of items: that of a sign test in which all agree."""
    return min(1.0, 2.0 ** (1 - groups))


def least_groups(comparisons: int) -> int:
    """The smallest number of groups of items with which a claim is possible, if Holm corrects for `comparisons` comparisons.

    It is 7 for three finalists. `docs/statistics.md` recommends more.
    """
    groups = 1
    while smallest_p(groups) * comparisons >= stats.SIGNIFICANCE:
        groups += 1
    return groups


def paired_crossed(ours: Mapping[int, Items], theirs: Mapping[int, Items]) -> Crossed | None:
    """Ours minus theirs by seed and group, over shared seeds.

    None where seed and item noise cannot both be estimated: fewer than two shared seeds, a seed on which the two losses were
    measured on different items, or differences without any variance.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2 or any(not ours[s].values or ours[s].groups != theirs[s].groups for s in seeds):
        return None
    names = list(dict.fromkeys(group for seed in seeds for group in ours[seed].groups))
    totals, counts = np.zeros((len(seeds), len(names))), np.zeros((len(seeds), len(names)))
    place = {name: number for number, name in enumerate(names)}
    for row, seed in enumerate(seeds):
        columns = [place[group] for group in ours[seed].groups]
        np.add.at(totals[row], columns, np.subtract(ours[seed].values, theirs[seed].values))
        np.add.at(counts[row], columns, 1.0)
    largest = max(abs(value) for side in (ours, theirs) for seed in seeds for value in side[seed].values)
    return _test(totals / np.maximum(counts, 1.0), counts, rounding=stats.ROUNDING * largest)


def covering_items(pair: stats.Paired, ours: Mapping[int, Items], theirs: Mapping[int, Items]) -> stats.Paired:
    """The paired difference with an error that also covers the test items, where fitness per item is known on all its seeds."""
    if not set(pair.seeds) <= ours.keys() & theirs.keys():
        return pair
    crossed = paired_crossed({s: ours[s] for s in pair.seeds}, {s: theirs[s] for s in pair.seeds})
    if crossed is None or (pair.p_value is not None and pair.p_value > crossed.p_value):
        return pair
    return replace(
        pair, standard_error=crossed.standard_error, freedom=crossed.freedom, p_value=crossed.p_value, borrowed=False,
        groups=crossed.groups,
    )  # fmt: skip


def _test(cells: NDArray[np.float64], counts: NDArray[np.float64], rounding: float) -> Crossed | None:
    """`cells` are the mean differences by seed and group, `counts` the items in them."""
    seeds, groups = cells.shape
    weights = counts / counts.sum(axis=1, keepdims=True)
    by_seed = (weights * cells).sum(axis=1)
    difference = float(by_seed.mean())
    over_seeds = float(by_seed.var(ddof=1)) / seeds
    found = [(over_seeds, seeds - 1.0)]
    if (counts > 0).sum(axis=0).max() > 1:
        found.append(_both(cells, weights, by_seed, over_seeds))
    tests = []
    for variance, freedom in found:
        if variance > rounding**2:
            error = variance**0.5
            p_value = max(2 * stats.student_cdf(-abs(difference) / error, freedom), smallest_p(groups))
            tests.append(Crossed(difference, error, freedom, p_value, groups))
    # Among equals the last: for a difference of zero both p-values are 1, and the last test's error covers seeds and items.
    return max(reversed(tests), key=lambda test: test.p_value, default=None)


def _both(
    cells: NDArray[np.float64], weights: NDArray[np.float64], by_seed: NDArray[np.float64], over_seeds: float
) -> tuple[float, float]:
    """Variance of the mean over seeds and groups, with its degrees of freedom."""
    seeds = len(cells)
    apart = weights * (cells - by_seed[:, None])
    products = _between(apart)
    # The weight that two seeds share, and the part of it that remains when each seed is centred on its own mean.
    overlap = weights @ weights.T
    lopsided = (weights**2) @ weights.T
    left = overlap - lopsided - lopsided.T + overlap**2
    common, kept = (float(matrix.sum() - np.trace(matrix)) for matrix in (overlap, left))
    shared = products / kept * common / (seeds * (seeds - 1)) if kept > 0 else 0.0

    share = weights.mean(axis=0)
    clusters = (weights * (cells - by_seed.mean())).mean(axis=0)
    effective = 1 / float((share**2).sum())
    over_groups = float((clusters**2).sum()) / (1 - 1 / effective) if effective > 1 else 0.0
    variance = max(over_seeds + max(shared, 0.0), over_groups)
    if effective <= 1 or variance == 0:
        return variance, 1.0
    rest = max(over_groups - shared, 0.0)
    spread = over_seeds**2 / (seeds - 1) + over_groups**2 / (effective - 1)
    spread += rest**2 / ((seeds - 1) * (effective - 1))
    return variance, variance**2 / spread


def _between(parts: NDArray[np.float64]) -> float:
    """Sum over groups of the products of the parts of two different seeds. Each pair of seeds counts twice."""
    return float((parts.sum(axis=0) ** 2 - (parts**2).sum(axis=0)).sum())
