"""Comparisons of losses with the baseline and with every known loss, from which all claims are made.

Differences are paired by seed, since candidates share their seeds (common random numbers). If the archive has a final, only its
fresh seeds decide, because no loss was selected by them. Otherwise the highest rung decides at which the baseline and a proposal
have scores. A loss trained with several betas or learning rates has several arms. The baseline is represented by its best arm
among those without a failed training; all arms of the proposals count as comparisons. The best of several arms is partly best by
chance. So a loss is called below the baseline only if it is also below the arm with the task's own settings.

Scores vary with the training seed and with the test items. Where the archive holds fitness per item, the standard error covers
both (`analysis.claims.crossed`).

There are two claims. A finalist may be *above the baseline*. It is a *discovery* only if it is above every arm of every known loss
of the run. The largest of those p-values counts: an intersection-union test (Berger 1982), which needs no correction for the
choice of the best known loss. Holm's method corrects for the choice of the finalist. `analysis.claims.obstacles` has the
further conditions of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from analysis import stats
from analysis.claims.crossed import covering_items
from analysis.claims.obstacles import KnownLosses, Obstacle, Withheld, WithheldKind, edge, obstacle
from analysis.snapshot import Arm, CandidateStatus, Snapshot
from analysis.wording import count, told_name
from archive.records import Items
from sandbox.identity.relation import Relation


@dataclass(frozen=True)
class Versus:
    """A finalist against one arm of a known loss."""

    arm: Arm
    paired: stats.Paired


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline. `adjusted` is Holm's p-value over the finalists, None for other arms."""

    arm: Arm
    scores: Mapping[int, float]
    """Fitness by deciding seed."""
    paired: stats.Paired
    failed: int = 0
    """Number of failed trainings on deciding seeds. If there is one, no claim above the baseline is made: only the seeds that
    went well are left."""
    p_value: float | None = None
    """Two-sided, of the claim that may be made; None without a standard error."""
    adjusted: float | None = None
    caution: str = ""
    """Why no claim may be made for this loss, whatever its score; empty where claims are allowed."""
    relation: Relation | None = None
    """Relation to the published losses; None where it is not known."""
    rival: Versus | None = None
    """The arm of a known loss (baseline included) with the largest p-value of this loss being above it; None for other arms than
    finalists."""
    new: float | None = None
    """Holm's p-value over the finalists for being above every arm of every known loss; None for other arms."""
    withheld: Withheld | None = None
    """Why it must not be called above the baseline although the difference is significant; None where it may be."""
    obstacle: Obstacle | None = None
    """Why it is not a discovery although it is above the baseline; None where there is no obstacle."""

    @property
    def distinguishable(self) -> bool:
        """Whether the difference to the baseline is significant and may be claimed."""
        past = self.adjusted is not None and self.adjusted < stats.SIGNIFICANCE
        return past and not self.caution and not (self.paired.difference > 0 and (self.failed or self.withheld))

    @property
    def above(self) -> bool:
        """Whether it may be called better than the baseline."""
        return self.distinguishable and self.paired.difference > 0

    @property
    def discovery(self) -> bool:
        """Whether it may be called better than every known loss of the run."""
        return self.above and self.obstacle is None


@dataclass(frozen=True)
class BaselineArm:
    """An arm of the baseline on the deciding seeds."""

    arm: Arm
    scores: Mapping[int, float]
    failed: int


@dataclass(frozen=True)
class Decision:
    """The comparisons at the deciding rung, in this order: best mean difference first, then arms with failed trainings, then
    losses with a caution."""

    rung: str
    fresh: bool
    """Whether the deciding seeds are the final's fresh seeds."""
    baseline: Arm
    """The baseline's best arm."""
    baseline_scores: Mapping[int, float]
    baseline_arms: tuple[BaselineArm, ...]
    """All arms of the baseline, in order of beta and learning rate."""
    comparisons: tuple[Comparison, ...]
    finalists: tuple[Comparison, ...]
    """The proposals trained on the largest number of seeds: the family of Holm's correction."""
    known: int
    """Number of known losses (baseline included) that the finalists were compared with."""
    given: int
    """Number of those that the user gave to the run."""
    failing: tuple[tuple[Arm, int, int], ...]
    """Arms of known losses at the task's own settings with failed trainings: (arm, number failed, number scored)."""
    minimum_detectable_difference: float | None
    """Minimum detectable difference between the best finalist and the baseline (power 0.8)."""

    @property
    def variance_reduction(self) -> float | None:
        """Fraction by which shared seeds reduced the variance of the best finalist's difference."""
        return stats.variance_reduction(self.best.scores, self.baseline_scores) if self.best else None

    @property
    def best(self) -> Comparison | None:
        """The finalist of the headline: the best discovery, else the best one above the baseline, else the best.

        None where every finalist has a caution.
        """
        sound = [c for c in self.finalists if not c.caution]
        discoveries = [c for c in sound if c.discovery]
        above = [c for c in sound if c.above]
        return next(iter(discoveries or above or sound), None)


def decide(snapshot: Snapshot) -> Decision | None:
    """The comparisons that decide; None while the baseline has no seed in common with a proposal."""
    return snapshot.once(_decide)


def _decide(snapshot: Snapshot) -> Decision | None:
    for stage in _stages(snapshot):
        comparisons = stage.comparisons()
        if any(snapshot.is_proposal(c.arm.candidate) for c in comparisons):
            return _decision(snapshot, stage, comparisons)
    return None


def at_rung(snapshot: Snapshot, rung: str) -> tuple[Comparison, ...]:
    """Every arm of a rung against the baseline, over all shared seeds, best first. Empty if the baseline has no score there."""
    return snapshot.once(_at_rungs)(rung)


def _at_rungs(snapshot: Snapshot) -> Callable[[str], tuple[Comparison, ...]]:
    return cache(lambda rung: _Stage.of(snapshot, rung).comparisons())


def best_arm(arms: Mapping[Arm, Mapping[int, float]]) -> Arm | None:
    """The arm with the highest mean fitness, the first among equals; None without arms."""
    return max(arms, key=lambda arm: stats.mean(list(arms[arm].values())), default=None)


@dataclass(frozen=True)
class _Stage:
    """The scores at a rung, on all seeds or on the final's seeds only (then `fresh` is true)."""

    snapshot: Snapshot
    rung: str
    fresh: bool
    arms: Mapping[Arm, Mapping[int, float]]
    failed: Mapping[Arm, int]
    """Number of failed trainings by arm."""
    reference: Arm | None
    """The baseline's best arm."""

    @classmethod
    def of(cls, snapshot: Snapshot, rung: str, seeds: frozenset[int] | None = None) -> _Stage:
        arms = {
            arm: {seed: fitness for seed, fitness in scores.items() if seeds is None or seed in seeds}
            for arm, scores in snapshot.scores.items()
            if arm.rung == rung
        }
        scored = {arm: scores for arm, scores in arms.items() if scores}
        baseline = snapshot.baseline.id if snapshot.baseline else None
        own = {arm: scores for arm, scores in scored.items() if arm.candidate == baseline}
        # Means over different seeds cannot be compared: an arm that failed on a hard seed would look better than it is.
        most = max(map(len, own.values()), default=0)
        whole = {arm: scores for arm, scores in own.items() if len(scores) == most}
        failed = {
            arm: missed
            for arm, seeds_missed in snapshot.failures.items()
            if arm.rung == rung and (missed := sum(seeds is None or seed in seeds for seed in seeds_missed))
        }
        return cls(snapshot, rung, seeds is not None, scored, failed, best_arm(whole))

    def comparisons(self) -> tuple[Comparison, ...]:
        if self.reference is None:
            return ()
        others = [arm for arm in self.arms if arm.candidate != self.reference.candidate]
        # A single seed gives no deviation, so the pooled deviation of the other comparisons at this rung is used.
        pairs = [stats.paired(self.arms[arm], self.arms[self.reference]) for arm in others]
        pool = stats.pool([pair.differences for pair in pairs if pair])
        found = [
            Comparison(
                arm, self.arms[arm], pair, self.failed.get(arm, 0), self._p_value(arm, pair, pool),
                caution=self.snapshot.caution(arm.candidate), relation=self.snapshot.relation(arm.candidate),
            )
            for arm in others
            if (pair := self.pair(arm, self.reference, pool))
        ]  # fmt: skip
        return tuple(
            sorted(found, key=lambda c: (c.caution != "", c.failed > 0, -c.paired.difference, c.arm.candidate))
        )

    def pair(self, ours: Arm, theirs: Arm, pool: stats.PooledDeviation | None = None) -> stats.Paired | None:
        """One arm minus another over shared seeds. The error also covers the test items where fitness per item is recorded."""
        pair = stats.paired(self.arms[ours], self.arms[theirs], pool)
        return pair and covering_items(pair, self._items(ours), self._items(theirs))

    def _items(self, arm: Arm) -> Mapping[int, Items]:
        return self.snapshot.items.get(arm, {})

    def baseline_arms(self) -> tuple[BaselineArm, ...]:
        """All arms of the baseline, including those without any score."""
        assert self.reference is not None
        arms = {arm for arm in (*self.arms, *self.failed) if arm.candidate == self.reference.candidate}
        ordered = sorted(arms, key=lambda arm: (arm.beta or self.snapshot.beta or 0.0, arm.learning_rate or 0.0))
        return tuple(BaselineArm(arm, self.arms.get(arm, {}), self.failed.get(arm, 0)) for arm in ordered)

    def rival(self, ours: Arm, known: Sequence[Arm]) -> tuple[float, Versus | None]:
        """The largest p-value of being above an arm of a known loss, and that arm; (1, None) without known losses."""
        found: list[tuple[float, float, Versus]] = []
        for arm in known:
            if (pair := self.pair(ours, arm)) is None:
                continue
            if self.failed.get(arm) and len(pair.seeds) < 2:
                continue  # too few seeds for a comparison: the loss counts as unmeasured
            above = pair.p_value is not None and pair.difference > 0
            found.append(
                (pair.p_value if above and pair.p_value is not None else 1.0, -pair.difference, Versus(arm, pair))
            )
        if not found:
            return 1.0, None
        p_value, _, versus = max(found, key=lambda entry: entry[:2])
        return p_value, versus

    def known(self) -> KnownLosses:
        """The known losses on these seeds: which can be compared, which cannot."""
        most = max((len(scores) for scores in self.arms.values()), default=0)
        seeds = {row.id for row in self.snapshot.seeds}
        compared = [a for a in self.arms if a.candidate in seeds and len(self.arms[a]) >= min(2, most)]
        unscored = [a for a in self.failed if a.candidate in seeds and a not in self.arms]
        there = {arm.candidate for arm in (*compared, *unscored)} - {
            a.candidate for a in self.arms if a not in compared
        }
        missing = [
            row
            for row in self.snapshot.seeds
            if self.snapshot.status(row.id) not in (CandidateStatus.REFUSED, CandidateStatus.DUPLICATE)
            and row.id not in there
        ]
        return KnownLosses([*compared, *unscored], missing, self._untuned())

    def compared(self) -> frozenset[int]:
        """The known losses that the finalists are compared with."""
        return frozenset(arm.candidate for arm in self.known().measured if arm in self.arms)

    def failing(self) -> tuple[tuple[Arm, int, int], ...]:
        """Known losses with failed trainings at the task's own settings: (arm, number failed, number scored)."""
        return tuple(
            (arm, number, len(self.arms.get(arm, {})))
            for arm, number in self.failed.items()
            if not self.snapshot.is_proposal(arm.candidate) and arm == Arm(arm.candidate, self.rung)
        )

    def _untuned(self) -> str:
        """Why the best known loss other than the baseline may have a better arm than those tried; empty if well tuned."""
        assert self.reference is not None
        own = {
            arm: stats.mean(list(scores.values()))
            for arm, scores in self.arms.items()
            if not self.snapshot.is_proposal(arm.candidate)
            and arm.candidate != self.reference.candidate
            and arm == Arm(arm.candidate, self.rung)
        }
        if not own or self.snapshot.final is None:
            return ""
        best = max(own, key=lambda arm: own[arm]).candidate
        tried = [arm for arm in {*self.arms, *self.failed} if arm.candidate == best]
        graph = self.snapshot.graph(best)
        reads_beta = graph is not None and "beta" in graph.inputs
        grid = [pair for pair in self.snapshot.final.grid if reads_beta or pair[0] is None]
        if not set(grid) <= {(arm.beta, arm.learning_rate) for arm in tried}:
            return f"{told_name(self.snapshot, best)}, the best other known loss, was not tuned"
        found = best_arm({arm: scores for arm, scores in self.arms.items() if arm.candidate == best})
        return edge(self.snapshot, found, tried) if found is not None and len(tried) > 1 else ""

    def _p_value(self, arm: Arm, pair: stats.Paired, pool: stats.PooledDeviation | None) -> float | None:
        assert self.reference is not None
        plain = Arm(self.reference.candidate, self.rung)
        if pair.p_value is None or pair.difference >= 0 or plain not in self.arms:
            return pair.p_value
        other = self.pair(arm, plain, pool)
        if other is None or other.p_value is None or other.difference >= 0:
            return 1.0
        return max(pair.p_value, other.p_value)


def _stages(snapshot: Snapshot) -> Iterator[_Stage]:
    """What may decide: the final, then the rungs from the highest down."""
    if snapshot.final is not None:
        yield _Stage.of(snapshot, snapshot.final.rung, snapshot.final.seeds)
    for rung in reversed(snapshot.rungs):
        yield _Stage.of(snapshot, rung)


def _decision(snapshot: Snapshot, stage: _Stage, comparisons: tuple[Comparison, ...]) -> Decision:
    assert stage.reference is not None
    proposals = [c for c in comparisons if snapshot.is_proposal(c.arm.candidate)]
    most = max(len(c.paired.seeds) + c.failed for c in proposals)
    family = [c for c in proposals if len(c.paired.seeds) + c.failed == most]
    judged = {c.arm: c for c in _judged(snapshot, stage, family)}
    finalists = tuple(judged[c.arm] for c in family)
    pair, known = finalists[0].paired, stage.compared()
    detectable = None
    # Below one degree of freedom the test finds no difference of any useful size.
    if pair.standard_error is not None and pair.freedom is not None and pair.freedom >= 1:
        detectable = stats.minimum_detectable_difference(pair.standard_error, pair.freedom, comparisons=len(finalists))
    return Decision(
        stage.rung, stage.fresh, stage.reference, stage.arms[stage.reference], stage.baseline_arms(),
        tuple(judged.get(c.arm, c) for c in comparisons), finalists, len(known), len(known & snapshot.given.keys()),
        stage.failing(), detectable,
    )  # fmt: skip


def _judged(snapshot: Snapshot, stage: _Stage, family: Sequence[Comparison]) -> list[Comparison]:
    """The finalists with corrected p-values and the obstacles to a claim."""
    assert stage.reference is not None
    # Without a deviation no difference is significant.
    own = [1.0 if c.p_value is None else c.p_value for c in family]
    known_arms = [arm for arm in stage.arms if not snapshot.is_proposal(arm.candidate)]
    rivals = [stage.rival(c.arm, known_arms) for c in family]
    adjusted = stats.holm(own)
    new = stats.holm([max(p, rival) for p, (rival, _) in zip(own, rivals, strict=True)])
    withheld = _withheld(snapshot, stage)
    known = stage.known()
    return [
        replace(
            c, adjusted=p, new=p_new, rival=rival, withheld=withheld,
            obstacle=obstacle(
                snapshot, c.relation, stage.fresh, p_new, rival.arm if rival else None, p_rival < stats.SIGNIFICANCE, known,
                snapshot.refound(c.arm.candidate),
            ),
        )
        for c, p, p_new, (p_rival, rival) in zip(family, adjusted, new, rivals, strict=True)
    ]  # fmt: skip


def _withheld(snapshot: Snapshot, stage: _Stage) -> Withheld | None:
    """Why no loss may be called above the baseline; None where it may be."""
    assert stage.reference is not None
    if failed := stage.failed.get(stage.reference):
        name = told_name(snapshot, stage.reference.candidate)
        words = f"{name} itself failed on {failed} of these seeds, so only the seeds that went well are left"
        return Withheld(WithheldKind.FAILED, words)
    tried = [measured.arm for measured in stage.baseline_arms()]
    if (final := snapshot.final) is not None:
        left = [pair for pair in final.grid if pair not in {(arm.beta, arm.learning_rate) for arm in tried}]
        if left:
            name = told_name(snapshot, stage.reference.candidate)
            words = f"the final has not ended: {len(left)} of {count(len(final.grid), 'setting')} of {name} are not trained yet"
            return Withheld(WithheldKind.PENDING, words)
    words = edge(snapshot, stage.reference, tried)
    return Withheld(WithheldKind.EDGE, words) if words else None
