"""Losses against the yardstick, at the rung and on the seeds that may decide: what every claim of a report rests on.

Candidates share their seeds (common random numbers), so differences are taken seed by seed. The final's fresh seeds chose
nobody; where the archive names them, they alone decide. The rung is the highest one at which the yardstick and a proposal
both have scores. Where a loss was trained with several betas, each is an arm of its own: the yardstick stands with the best
of those that no seed is missing from, and all arms of the proposals count as comparisons. The best of several arms is
high by luck too, so that a loss is below the yardstick is claimed only if it is below the task's own arm as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from analysis import stats
from analysis.snapshot import Arm, Snapshot
from archive.records import Origin

FINAL = "final"
"""Kind of the event that names what decides: payload {"rung": name, "seeds": [seed, ...]}."""


@dataclass(frozen=True)
class Comparison:
    """One arm against the yardstick's. `adjusted` is Holm's p over the family of finalists, None outside of it."""

    arm: Arm
    scores: Mapping[int, float]
    """Fitness by seed, of the seeds that decide."""
    paired: stats.Paired
    failed: int = 0
    """Deciding trainings that gave no score. The others are those that went well, so nothing above is claimed of them."""
    p_value: float | None = None
    """Two-sided, of what may be claimed; None without an error to go by."""
    adjusted: float | None = None

    @property
    def distinguishable(self) -> bool:
        """Whether the difference is past the noise."""
        past = self.adjusted is not None and self.adjusted < stats.SIGNIFICANCE
        return past and not (self.failed and self.paired.difference > 0)


@dataclass(frozen=True)
class Decision:
    """All comparisons at the deciding rung, best mean difference first; arms with failed trainings come last."""

    rung: str
    fresh: bool
    """Whether the seeds are those of the final, which selected nobody."""
    yardstick: Arm
    yardstick_scores: Mapping[int, float]
    comparisons: tuple[Comparison, ...]
    finalists: tuple[Comparison, ...]
    """The proposals that were trained on most seeds: the family that Holm corrects over."""
    smallest_detectable: float | None
    """The smallest true difference that the best finalist's comparison would have seen (power 0.8)."""

    @property
    def variance_reduction(self) -> float | None:
        """The fraction of variance that shared seeds took off the best finalist's difference."""
        return stats.variance_reduction(self.finalists[0].scores, self.yardstick_scores) if self.finalists else None

    @property
    def best(self) -> Comparison | None:
        """The best finalist that is distinguishably above the yardstick; where none is, the best one."""
        above = [c for c in self.finalists if c.distinguishable and c.paired.difference > 0]
        return next(iter(above or self.finalists), None)


def decide(snapshot: Snapshot) -> Decision | None:
    """The comparisons that may decide; None while no proposal and the yardstick have a seed in common."""
    for stage in _stages(snapshot):
        comparisons = stage.comparisons()
        if any(_is_proposal(snapshot, c.arm) for c in comparisons):
            return _decision(snapshot, stage, comparisons)
    return None


def at_rung(snapshot: Snapshot, rung: str) -> tuple[Comparison, ...]:
    """Every arm of a rung against the yardstick over all shared seeds, best first; empty without a scored yardstick."""
    return _Stage.of(snapshot, rung).comparisons()


def best_arm(arms: Mapping[Arm, Mapping[int, float]]) -> Arm | None:
    """The arm with the highest mean fitness, the first of equals; None without arms."""
    return max(arms, key=lambda arm: stats.mean(list(arms[arm].values())), default=None)


@dataclass(frozen=True)
class _Stage:
    """What was measured at a rung, on all seeds or on the final's alone (then `fresh`)."""

    rung: str
    fresh: bool
    arms: Mapping[Arm, Mapping[int, float]]
    failed: Mapping[Arm, int]
    """Trainings that gave no score."""
    reference: Arm | None
    """The yardstick's best arm."""

    @classmethod
    def of(cls, snapshot: Snapshot, rung: str, seeds: frozenset[int] | None = None) -> _Stage:
        arms = {
            arm: {seed: fitness for seed, fitness in scores.items() if seeds is None or seed in seeds}
            for arm, scores in snapshot.scores.items()
            if arm.rung == rung
        }
        scored = {arm: scores for arm, scores in arms.items() if scores}
        yardstick = snapshot.yardstick.id if snapshot.yardstick else None
        own = {arm: scores for arm, scores in scored.items() if arm.candidate == yardstick}
        # Means over different seeds do not compare: an arm that failed on a hard seed would look better than it is.
        most = max(map(len, own.values()), default=0)
        whole = {arm: scores for arm, scores in own.items() if len(scores) == most}
        failed = {
            arm: sum(seeds is None or seed in seeds for seed in missed)
            for arm, missed in snapshot.failures.items()
            if arm.rung == rung
        }
        return cls(rung, seeds is not None, scored, failed, best_arm(whole))

    def comparisons(self) -> tuple[Comparison, ...]:
        if self.reference is None:
            return ()
        theirs = self.arms[self.reference]
        others = {arm: ours for arm, ours in self.arms.items() if arm.candidate != self.reference.candidate}
        # A lone seed has no deviation of its own: it borrows that of the other comparisons at this rung.
        pool = stats.pool([pair.differences for ours in others.values() if (pair := stats.paired(ours, theirs))])
        found = [
            Comparison(arm, ours, pair, self.failed.get(arm, 0), self._p_value(ours, pair, pool))
            for arm, ours in others.items()
            if (pair := stats.paired(ours, theirs, pool))
        ]
        return tuple(sorted(found, key=lambda c: (c.failed > 0, -c.paired.difference, c.arm.candidate)))

    def _p_value(self, ours: Mapping[int, float], pair: stats.Paired, pool: stats.Pool | None) -> float | None:
        assert self.reference is not None
        plain = self.arms.get(Arm(self.reference.candidate, self.rung))
        if pair.p_value is None or pair.difference >= 0 or plain is None:
            return pair.p_value
        other = stats.paired(ours, plain, pool)
        if other is None or other.p_value is None or other.difference >= 0:
            return 1.0
        return max(pair.p_value, other.p_value)


def _stages(snapshot: Snapshot) -> Iterator[_Stage]:
    """What may decide, the most telling first."""
    for event in reversed(snapshot.events):
        if event.kind == FINAL and isinstance(event.payload, Mapping):
            seeds = event.payload.get("seeds")
            fresh = (
                frozenset(seed for seed in seeds if isinstance(seed, int)) if isinstance(seeds, list) else frozenset()
            )
            yield _Stage.of(snapshot, str(event.payload.get("rung")), fresh)
            break
    for rung in reversed(snapshot.rungs):
        yield _Stage.of(snapshot, rung)


def _decision(snapshot: Snapshot, stage: _Stage, comparisons: tuple[Comparison, ...]) -> Decision:
    assert stage.reference is not None
    proposals = [c for c in comparisons if _is_proposal(snapshot, c.arm)]
    most = max(len(c.paired.seeds) + c.failed for c in proposals)
    family = [c for c in proposals if len(c.paired.seeds) + c.failed == most]
    # Without any deviation to go by, nothing can be told apart.
    p_values = [1.0 if c.p_value is None else c.p_value for c in family]
    adjusted = {c.arm: p for c, p in zip(family, stats.holm(p_values), strict=True)}
    judged = tuple(replace(c, adjusted=adjusted.get(c.arm)) for c in comparisons)
    finalists = tuple(c for c in judged if c.adjusted is not None)
    pair = finalists[0].paired
    detectable = None
    if pair.standard_error is not None and pair.freedom is not None:
        detectable = stats.smallest_detectable(pair.standard_error, pair.freedom, comparisons=len(finalists))
    return Decision(
        stage.rung, stage.fresh, stage.reference, stage.arms[stage.reference], judged, finalists, detectable
    )


def _is_proposal(snapshot: Snapshot, arm: Arm) -> bool:
    return snapshot.candidates[arm.candidate].origin is Origin.PROPOSAL
