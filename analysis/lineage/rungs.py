"""What a ladder and shared seeds gained in a run: does a cheap rung predict the next one, does pairing pay, and how much
of a winner's lead was winners_curse.

Everything is computed from recorded evaluations; nothing here decides anything.
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
from analysis.wording import count, display_name, figure, plus_minus

LEAST = 4
"""Losses below which a rank correlation says nothing: its interval would be all of -1 to 1."""


@dataclass(frozen=True)
class Rank:
    """Spearman's rank correlation over `n` losses, with its interval; None where it cannot be had."""

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
    """How a rung ranks the losses that the next one ranked too."""

    lower: str
    higher: str
    all: Rank
    better_half: Rank
    """Among the half that is better at the higher rung, where it matters."""


@dataclass(frozen=True)
class Pairing:
    """What common random numbers brought at a rung, over all pairs of losses with several seeds in common.

    `factor` is the median of Var(a) + Var(b) over Var(a - b): the times more seeds that losses with seeds of their own would have
    needed. The median, since a loss that hardly trains varies by itself, with nobody.
    """

    rung: str
    pairs: int
    factor: float


@dataclass(frozen=True)
class WinnersCurse:
    """A finalist's lead over the baseline on the seeds that chose it, and on fresh ones: the difference is the winner's curse
    (and, where the final is at another rung, the change of rung). The search knows the baseline at the task's own beta
    alone, so both leads are over that arm, whichever one stands in the final."""

    arm: Arm
    searched: stats.Paired
    searched_rung: str
    fresh: stats.Paired
    fresh_rung: str


def spearman(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Spearman's rank correlation, equal values at their mean rank; None below two values or without any variation."""
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
    """Fisher's interval with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and Wright 2000; None below four values."""
    if n < LEAST:
        return None
    # A perfect order of few losses is no certainty: its interval is that of the next order, one swap of neighbours away.
    next_to_perfect = 1 - 12 / (n * (n * n - 1))
    if abs(rho) > next_to_perfect:
        inner = spearman_interval(math.copysign(next_to_perfect, rho), n, confidence)
        assert inner is not None
        return stats.Interval(min(rho, inner.low), max(rho, inner.high))
    reach = stats.normal_quantile((1 + confidence) / 2) * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return stats.Interval(math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach))


def agreement(lower: str, higher: str, pairs: Sequence[tuple[float, float]]) -> Agreement:
    """The agreement of two rungs on losses given as (mean at the lower, mean at the higher)."""
    best_first = sorted(pairs, key=lambda pair: -pair[1])
    return Agreement(lower, higher, Rank.of(pairs), Rank.of(best_first[: math.ceil(len(pairs) / 2)]))


def agreements(snapshot: Snapshot) -> tuple[Agreement, ...]:
    """Of each two neighbouring rungs, over the losses scored at both with the task's own beta."""
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
    """What shared seeds brought to losses given as fitness by seed; None where no two share seeds, or nothing varies."""
    factors = []
    for ours, theirs in combinations(losses, 2):
        seeds = sorted(ours.keys() & theirs.keys())
        a, b = [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]
        together = _variance([x - y for x, y in zip(a, b, strict=True)])
        if together > 0:
            factors.append((_variance(a) + _variance(b)) / together)
    return Pairing(rung, len(factors), median(factors)) if factors else None


def pairings(snapshot: Snapshot) -> tuple[Pairing, ...]:
    """Of each rung where losses have seeds in common."""
    found = [
        pairing(rung, [scores for arm, scores in snapshot.scores.items() if arm == Arm(arm.candidate, rung)])
        for rung in snapshot.rungs
    ]
    return tuple(p for p in found if p is not None)


def winners_curse(snapshot: Snapshot, decision: Decision) -> tuple[WinnersCurse, ...]:
    """The lead before and in the final of each finalist of which something may be claimed; empty unless fresh seeds decided."""
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
    """Plain lines for a terminal: rank correlations, what pairing brought, and the finalists before and in the final."""
    lines = [
        f"Rung {one_line(a.lower)} predicts {one_line(a.higher)}: Spearman {_rank(a.all)}, in the better half "
        f"{_rank(a.better_half)}."
        for a in agreements(snapshot)
    ]
    lines += [
        f"Shared seeds at rung {one_line(p.rung)}: pairing is worth {_factor(p)} times the seeds "
        f"({count(p.pairs, 'pair')} of losses)."
        for p in pairings(snapshot)
    ]
    for row in winners_curse(snapshot, decision) if decision else ():
        assert decision is not None
        baseline = decision.baseline
        tuned = baseline != Arm(baseline.candidate, decision.rung)
        over = f", both over {display_name(snapshot.candidates[baseline.candidate])} as it was in the search" * tuned
        lines.append(
            f"{display_name(snapshot.candidates[row.arm.candidate])}: {_lead(row.searched)} on the seeds that chose it (rung "
            f"{one_line(row.searched_rung)}), {_lead(row.fresh)} on fresh ones (rung {one_line(row.fresh_rung)}){over}."
        )
    return lines


def _factor(pairing: Pairing) -> str:
    """Beyond some size it says only that the losses train alike."""
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
