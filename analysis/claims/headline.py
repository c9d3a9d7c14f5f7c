"""The one sentence that a run may claim, honest by construction; needs neither torch nor matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import stats
from analysis.claims.comparison import Comparison, Decision, decide
from analysis.claims.obstacles import ObstacleKind, widening
from analysis.output.encode import one_line
from analysis.snapshot import Snapshot
from analysis.wording import arm_name, count, display_name, figure, full_name, plus_minus
from archive.query import Reader

__all__ = ["CONDITIONS", "Headline", "display_name", "headline", "headline_of"]


@dataclass(frozen=True)
class Headline:
    """What the run found of its best new loss against the baseline (DPO) and all known losses, in the fitness's own units.

    `text` is one printable line without markup; a terminal's or a page's own markup is still to be escaped. Numbers are
    against the baseline, and None where there is no comparison, or no error to give.
    """

    text: str
    distinguishable: bool = False
    """Whether the difference to the baseline is past the noise, and may be claimed."""
    discovery: bool = False
    """Whether the loss is better than every known loss of the run, and none of the published ones."""
    difference: float | None = None
    standard_error: float | None = None
    seeds: int = 0
    smallest_detectable: float | None = None
    candidate: int | None = None
    rung: str | None = None
    p_value: float | None = None
    """Corrected by Holm over all finalists."""
    items: int = 0
    """Groups of test items that the error covers beside the seeds; 0: the seeds alone."""


def headline(reader: Reader) -> Headline:
    """The headline of the run in an archive. Raises ArchiveError."""
    return headline_of(Snapshot.of(reader))


def headline_of(snapshot: Snapshot) -> Headline:
    """The headline of a run that was read already."""
    decision = decide(snapshot)
    if decision is None:
        return Headline(_nothing_yet(snapshot))
    if decision.best is None:
        return Headline(_none_sound(snapshot, decision))
    best = decision.best
    pair = best.paired
    return Headline(
        text=" ".join([_sentence(snapshot, decision, best), *_failures(snapshot, decision)]),
        distinguishable=best.distinguishable,
        discovery=best.discovery,
        difference=pair.difference,
        standard_error=pair.standard_error,
        seeds=len(pair.seeds),
        smallest_detectable=decision.smallest_detectable,
        candidate=best.arm.candidate,
        rung=decision.rung,
        p_value=best.adjusted if best.p_value is not None else None,
        items=pair.groups,
    )


def _nothing_yet(snapshot: Snapshot) -> str:
    if snapshot.baseline is None:
        return "Nothing to compare yet: the run holds no seed loss."
    name = display_name(snapshot.baseline)
    if not any(arm.candidate == snapshot.baseline.id for arm in snapshot.scores):
        return f"Nothing to compare yet: {name} has no score."
    return f"Nothing to compare yet: no proposed loss was scored on a seed that {name} was scored on."


def _none_sound(snapshot: Snapshot, decision: Decision) -> str:
    """Every loss that was measured here may have been written for the very pairs of this run."""
    names = [f"{display_name(snapshot.candidates[c.arm.candidate])} {c.caution}" for c in decision.finalists]
    kind = "finalist" if decision.fresh else "proposed loss"
    return f"No claim can be made: nothing counts of {'the only' if len(names) == 1 else 'any'} {kind}. {'; '.join(names)}."


def _sentence(snapshot: Snapshot, decision: Decision, best: Comparison) -> str:
    assert snapshot.baseline is not None
    baseline = arm_name(snapshot.baseline, decision.baseline)
    name = full_name(snapshot, best.arm.candidate)
    pair = best.paired
    kind = "fresh seed" if decision.fresh else "shared seed"
    items = f" and {count(pair.groups, 'group')} of test items" if pair.groups else ""
    where = f"{count(len(pair.seeds), kind)}{items} at rung {one_line(decision.rung)}"
    if pair.standard_error is None:
        return (
            f"No claim can be made: the best proposed loss, {name}, differs from {baseline} by "
            f"{figure(pair.difference, signed=True)} on {where}, which gives no error; more seeds are needed."
        )
    by = f"{plus_minus(pair.difference, pair.standard_error, signed=True)} (paired over {where})"
    if best.failed and pair.difference > 0:
        return (
            f"No claim can be made: every finalist failed on a seed. Where it did not, the best one, {name}, differs from "
            f"{baseline} by {by}."
        )
    if best.withheld and best.adjusted is not None and best.adjusted < stats.SIGNIFICANCE and pair.difference > 0:
        remedy = _beaten(snapshot, best) or (f": {widening(snapshot)}" if best.withheld.endswith("beyond it") else "")
        return (
            f"No claim can be made: the best proposed loss, {name}, differs from {baseline} by {by}, but "
            f"{best.withheld}{remedy}."
        )
    if best.discovery:
        return _discovery(snapshot, decision, best, where)
    among = f", corrected for {len(decision.finalists)} comparisons" if len(decision.finalists) > 1 else ""
    size = plus_minus(abs(pair.difference), pair.standard_error)
    past = f"(paired over {where}; p = {best.adjusted:.2g}{among})"
    if (
        best.above
        and best.obstacle is not None
        and best.obstacle.kind is ObstacleKind.EQUALLED
        and best.rival is not None
    ):
        return _as_good(snapshot, best, f"{name} scores {size} above {baseline} {past}")
    if best.above and best.obstacle is not None:
        first = best is decision.finalists[0]
        rank = "the best proposed loss" if first else "the best proposed loss that is past the noise"
        return f"No discovery: {name}, {rank}, scores {size} above {baseline} {past}, but {best.obstacle.words}."
    if best.distinguishable:
        return f"{name}, the best proposed loss, scores {size} below {baseline} {past}."
    unseen = (
        "with so few seeds or test items no difference could be detected"
        if decision.smallest_detectable is None
        else f"a true difference below {figure(decision.smallest_detectable)} would probably have gone unseen"
    )
    return f"Not distinguishable from {baseline}: the best proposed loss, {name}, differs by {by}; {unseen}."


def _discovery(snapshot: Snapshot, decision: Decision, best: Comparison, where: str) -> str:
    """The claim in its weaker form first: by how much it is above the known loss that it is least clearly above."""
    assert snapshot.baseline is not None and best.rival is not None and best.new is not None
    rival, pair = best.rival, best.rival.paired
    known = arm_name(snapshot.candidates[rival.arm.candidate], rival.arm)
    beside = f", the closest of {count(decision.known, 'known loss', 'known losses')}" if decision.known > 1 else ""
    too = ""
    if rival.arm != decision.baseline:
        own = plus_minus(best.paired.difference, best.paired.standard_error)
        too = f", and {own} above {arm_name(snapshot.baseline, decision.baseline)}"
    among = f", corrected for {len(decision.finalists)} finalists" if len(decision.finalists) > 1 else ""
    return (
        f"A discovery: {full_name(snapshot, best.arm.candidate)} scores {plus_minus(pair.difference, pair.standard_error)} above "
        f"{known}{beside}{too} (paired over {where}; p = {best.new:.2g}{among})."
    )


def _beaten(snapshot: Snapshot, best: Comparison) -> str:
    """A known loss that is ahead of the finalist: then the baseline's grid is not what matters."""
    rival = best.rival
    if rival is None or rival.paired.difference > 0:
        return ""
    return (
        f"; {arm_name(snapshot.candidates[rival.arm.candidate], rival.arm)}, which is published, does as well or better"
    )


def _as_good(snapshot: Snapshot, best: Comparison, claim: str) -> str:
    """A known loss does as well, or better."""
    assert best.rival is not None
    pair = best.rival.paired
    known = arm_name(snapshot.candidates[best.rival.arm.candidate], best.rival.arm)
    worse = pair.difference < 0 and pair.p_value is not None and pair.p_value < stats.SIGNIFICANCE
    return (
        f"{'Worse than' if worse else 'As good as'} {known}, which is published: {claim}, and differs from {known} by "
        f"{plus_minus(pair.difference, pair.standard_error, signed=True)}."
    )


def _failures(snapshot: Snapshot, decision: Decision) -> list[str]:
    """A sentence for each finalist and known loss that gave no score on some of the seeds."""
    told = [(c.arm, c.failed, len(c.paired.seeds)) for c in decision.finalists if c.failed and not c.caution]
    return [
        f"{display_name(snapshot.candidates[arm.candidate])} failed on {failed} of {count(failed + scored, 'seed')}."
        for arm, failed, scored in (*told, *decision.failing)
    ]


CONDITIONS = f"two-sided, level {stats.SIGNIFICANCE:g}, power {stats.POWER:g}"
"""What the minimum detectable difference means, for footnotes."""
