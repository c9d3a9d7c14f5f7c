"""Diagnostics of the ladder: rank correlation between rungs, gain from shared seeds, winner's curse of the finalists.

All are computed from recorded evaluations. No decision depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from statistics import median

from analysis import stats
from analysis.claims.comparison import Decision
from analysis.output.encode import one_line
from analysis.snapshot import Arm, Snapshot
from analysis.wording import count, figure, plus_minus, told_name

PAIRED = 400
"""Largest number of losses of which all pairs are computed; of more, so many that are spread evenly over the run."""

LEAST = 4
"""Smallest number of losses for a rank correlation: with fewer, its interval would be all of -1 to 1."""


@dataclass(frozen=True)
class Rank:
    """Spearman's rank correlation over `n` losses, with its interval; None where it is undefined."""

    n: int
    spearman: float | None
    interval: stats.Interval | None

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> Rank:
        """The correlation of pairs of values."""
        rho = spearman([a for a, _ in pairs], [b for _, b in pairs])
        return cls(len(pairs), rho, None if rho is None else spearman_interval(rho, len(pairs)))


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of two neighbouring rungs over the losses scored at both."""

    lower: str
    higher: str
    all: Rank
    better_half: Rank
    """Over the half of the losses that is better at the higher rung."""


@dataclass(frozen=True)
class Pairing:
    """Gain from common random numbers at a rung, over the pairs of at most `PAIRED` losses with several shared seeds.

    `factor` is the median of (Var(a) + Var(b)) / Var(a - b): how many times more seeds losses with separate seeds would need. The
    median, because a loss that hardly trains does not vary together with others.
    """

    rung: str
    pairs: int
    factor: float


@dataclass(frozen=True)
class WinnersCurse:
    """A finalist's lead over the baseline on the seeds that selected it, and on fresh seeds. The difference is the winner's curse
    (plus the change of rung, if the final is at another rung). Both leads are over the baseline at the task's own settings, since
    the search trains no other arm of it."""

    arm: Arm
    searched: stats.Paired
    searched_rung: str
    fresh: stats.Paired
    fresh_rung: str


def spearman(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Spearman's rank correlation; equal values get their mean rank. None below two values or without any variation."""
    if len(xs) != len(ys):
        raise ValueError(f"expected as many values on both sides, got {len(xs)} and {len(ys)}")
    if len(xs) < 2:
        return None
    a, b = _ranks(xs), _ranks(ys)
    middle = (len(xs) + 1) / 2
    spread = math.sqrt(math.fsum((r - middle) ** 2 for r in a) * math.fsum((r - middle) ** 2 for r in b))
    if spread == 0:
        return None
    return math.fsum((r - middle) * (s - middle) for r, s in zip(a, b, strict=True)) / spread


def spearman_interval(rho: float, n: int, confidence: float = 1 - stats.SIGNIFICANCE) -> stats.Interval | None:
    """Fisher's interval with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and Wright 2000; None below `LEAST` values."""
    if n < LEAST:
        return None
    # For |rho| = 1 the interval would have width 0. So the interval of the next smaller rho is used: one swap of neighbours.
    next_to_perfect = 1 - 12 / (n * (n * n - 1))
    if abs(rho) > next_to_perfect:
        inner = spearman_interval(math.copysign(next_to_perfect, rho), n, confidence)
        assert inner is not None
        return stats.Interval(min(rho, inner.low), max(rho, inner.high))
    reach = stats.normal_quantile((1 + confidence) / 2) * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return stats.Interval(math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach))


def agreement(lower: str, higher: str, pairs: Sequence[tuple[float, float]]) -> Agreement:
    """The agreement of two rungs. Each pair is one loss: (mean at the lower rung, mean at the higher rung)."""
    best_first = sorted(pairs, key=lambda pair: -pair[1])
    return Agreement(lower, higher, Rank.of(pairs), Rank.of(best_first[: math.ceil(len(pairs) / 2)]))


def agreements(snapshot: Snapshot) -> tuple[Agreement, ...]:
    """The agreement of each two neighbouring rungs, over the arms scored at both."""
    found = []
    for lower, higher in pairwise(snapshot.rungs):
        pairs = [
            (stats.mean(list(scores.values())), stats.mean(list(above.values())))
            for arm, scores in snapshot.scores.items()
            if arm.rung == lower and (above := snapshot.scores.get(replace(arm, rung=higher)))
        ]
        if len(pairs) >= LEAST:
            found.append(agreement(lower, higher, pairs))
    return tuple(found)


def pairing(rung: str, losses: Sequence[Mapping[int, float]]) -> Pairing | None:
    """Gain from shared seeds over losses, each given as fitness by seed. None without shared seeds or without variance."""
    # Most losses of a long run were trained with one seed, and have no variance.
    repeated = [loss for loss in losses if len(loss) > 1]
    spread = (
        [repeated[place * len(repeated) // PAIRED] for place in range(PAIRED)] if len(repeated) > PAIRED else repeated
    )
    factors = []
    for ours, theirs in combinations(spread, 2):
        seeds = sorted(ours.keys() & theirs.keys())
        a, b = [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]
        together = _variance([x - y for x, y in zip(a, b, strict=True)])
        if together > 0:
            factors.append((_variance(a) + _variance(b)) / together)
    return Pairing(rung, len(factors), median(factors)) if factors else None


def pairings(snapshot: Snapshot) -> tuple[Pairing, ...]:
    """The gain from shared seeds at each rung where losses share seeds."""
    found = [
        pairing(rung, [scores for arm, scores in snapshot.scores.items() if arm == Arm(arm.candidate, rung)])
        for rung in snapshot.rungs
    ]
    return tuple(p for p in found if p is not None)


def winners_curse(snapshot: Snapshot, decision: Decision) -> tuple[WinnersCurse, ...]:
    """Leads in the search and in the final of each finalist without a caution. Empty unless fresh seeds decided."""
    if not decision.fresh:
        return ()
    plain = Arm(decision.baseline.candidate, decision.rung)
    final = set(decision.baseline_scores)
    theirs = {seed: fitness for seed, fitness in snapshot.scores.get(plain, {}).items() if seed in final}
    found = []
    for finalist in (c for c in decision.finalists if not c.caution):
        fresh = stats.paired(finalist.scores, theirs)
        for rung in reversed(snapshot.rungs):
            searched = stats.paired(
                _without(snapshot, replace(finalist.arm, rung=rung), final),
                _without(snapshot, replace(plain, rung=rung), final),
            )
            if searched is not None and fresh is not None:
                found.append(WinnersCurse(finalist.arm, searched, rung, fresh, decision.rung))
                break
    return tuple(found)


def describe(snapshot: Snapshot, decision: Decision | None = None) -> list[str]:
    """Lines for a terminal: rank correlations, gains from shared seeds, and the finalists' leads in the search and in the final."""
    lines = [
        f"Rung {one_line(a.lower)} predicts {one_line(a.higher)}: Spearman {_rank(a.all)}, in the better half "
        f"{_rank(a.better_half)}."
        for a in agreements(snapshot)
    ]
    lines += [
        f"Shared seeds at rung {one_line(p.rung)}: without them, the same precision would need {_factor(p)} times as many seeds "
        f"({count(p.pairs, 'pair')} of losses)."
        for p in pairings(snapshot)
    ]
    for row in winners_curse(snapshot, decision) if decision else ():
        assert decision is not None
        baseline = decision.baseline
        tuned = baseline != Arm(baseline.candidate, decision.rung)
        over = f", both over {told_name(snapshot, baseline.candidate)} as it was in the search" * tuned
        lines.append(
            f"{told_name(snapshot, row.arm.candidate)}: {_lead(row.searched)} on the seeds that selected it (rung "
            f"{one_line(row.searched_rung)}), {_lead(row.fresh)} on fresh ones (rung {one_line(row.fresh_rung)}){over}."
        )
    return lines


def _factor(pairing: Pairing) -> str:
    """The factor as text. Above 100 the losses train almost alike, and the exact figure means nothing."""
    return f"{pairing.factor:.1f}" if pairing.factor < 100 else "over 100"


def _lead(pair: stats.Paired) -> str:
    if pair.standard_error is None:
        return figure(pair.difference, signed=True)
    return plus_minus(pair.difference, pair.standard_error, signed=True)


def _rank(rank: Rank) -> str:
    if rank.spearman is None:
        return f"unknown (n = {rank.n})"
    within = f" [{rank.interval.low:.2f}, {rank.interval.high:.2f}]" if rank.interval else ""
    return f"{rank.spearman:.2f}{within} (n = {rank.n})"


def _without(snapshot: Snapshot, arm: Arm, seeds: set[int]) -> dict[int, float]:
    return {seed: fitness for seed, fitness in snapshot.scores.get(arm, {}).items() if seed not in seeds}


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _variance(values: Sequence[float]) -> float:
    return (stats.deviation(values) or 0.0) ** 2
