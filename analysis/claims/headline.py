"""The headline: the one sentence that a run may claim. Needs neither torch nor matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import stats
from analysis.claims.comparison import Comparison, Decision, decide
from analysis.claims.obstacles import ObstacleKind, WithheldKind, widening
from analysis.output.encode import one_line
from analysis.snapshot import Snapshot
from analysis.wording import arm_name, count, display_name, figure, full_name, how_known, plus_minus


@dataclass(frozen=True)
class Headline:
    """Result of the best proposed loss against the baseline and all known losses, in units of fitness.

    `text` is one printable line without markup; escape it for a terminal or a page. Numbers compare with the baseline. They are
    None where there is no comparison or no standard error.
    """

    text: str
    distinguishable: bool = False
    """Whether the difference to the baseline is significant and may be claimed."""
    discovery: bool = False
    """Whether the loss is better than every known loss of the run, and is not a published loss."""
    difference: float | None = None
    standard_error: float | None = None
    seeds: int = 0
    minimum_detectable_difference: float | None = None
    candidate: int | None = None
    rung: str | None = None
    p_value: float | None = None
    """Corrected by Holm's method over all finalists."""
    items: int = 0
    """Number of groups of test items that the error covers in addition to the seeds; 0 if it covers seeds only."""


def headline_of(snapshot: Snapshot) -> Headline:
    """The headline of a run."""
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
        minimum_detectable_difference=decision.minimum_detectable_difference,
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
    """The headline where every finalist has a caution."""
    names = [f"{display_name(snapshot.candidates[c.arm.candidate])} {c.caution}" for c in decision.finalists]
    kind = "finalist" if decision.fresh else "proposed loss"
    return f"No claim can be made for {'the only' if len(names) == 1 else 'any'} {kind}. {'; '.join(names)}."


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
            f"{figure(pair.difference, signed=True)} on {where}, which gives no standard error; more seeds are needed."
        )
    by = f"{plus_minus(pair.difference, pair.standard_error, signed=True)} (paired over {where})"
    if best.failed and pair.difference > 0:
        return (
            f"No claim can be made: every finalist failed on a seed. Where it did not, the best one, {name}, differs from "
            f"{baseline} by {by}."
        )
    if best.withheld and best.adjusted is not None and best.adjusted < stats.SIGNIFICANCE and pair.difference > 0:
        at_edge = best.withheld.kind is WithheldKind.EDGE
        remedy = _beaten(snapshot, best) or (f": {widening(snapshot)}" if at_edge else "")
        return (
            f"No claim can be made: the best proposed loss, {name}, differs from {baseline} by {by}, but "
            f"{best.withheld.words}{remedy}."
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
        rank = "the best proposed loss" if first else "the best proposed loss with a significant difference"
        return f"No discovery: {name}, {rank}, scores {size} above {baseline} {past}, but {best.obstacle.words}."
    if best.distinguishable:
        return f"{name}, the best proposed loss, scores {size} below {baseline} {past}."
    detectable = (
        "with so few seeds or test items no difference can be detected"
        if decision.minimum_detectable_difference is None
        else f"the minimum detectable difference is {figure(decision.minimum_detectable_difference)}"
    )
    return f"Not distinguishable from {baseline}: the best proposed loss, {name}, differs by {by}; {detectable}."


def _discovery(snapshot: Snapshot, decision: Decision, best: Comparison, where: str) -> str:
    """The headline of a discovery. The weaker claim comes first: against the known loss with the largest p-value."""
    assert snapshot.baseline is not None and best.rival is not None and best.new is not None
    rival, pair = best.rival, best.rival.paired
    known = arm_name(snapshot.candidates[rival.arm.candidate], rival.arm)
    of = count(decision.known, "known loss", "known losses")
    of += f" ({given} of them given to the run)" if (given := decision.given) else ""
    hardest = f", the hardest of {of} to tell it from" if decision.known > 1 else ""
    too = ""
    if rival.arm != decision.baseline:
        own = plus_minus(best.paired.difference, best.paired.standard_error)
        too = f", and {own} above {arm_name(snapshot.baseline, decision.baseline)}"
    among = f", corrected for {len(decision.finalists)} finalists" if len(decision.finalists) > 1 else ""
    return (
        f"A discovery: {full_name(snapshot, best.arm.candidate)} scores {plus_minus(pair.difference, pair.standard_error)} above "
        f"{known}{hardest}{too} (paired over {where}; p = {best.new:.2g}{among})."
    )


def _beaten(snapshot: Snapshot, best: Comparison) -> str:
    """Names the known loss that is ahead of the finalist; empty without one. A wider grid of the baseline would not help then."""
    rival = best.rival
    if rival is None or rival.paired.difference > 0:
        return ""
    return (
        f"; {arm_name(snapshot.candidates[rival.arm.candidate], rival.arm)}, {how_known(snapshot, rival.arm.candidate)}, does as "
        "well or better"
    )


def _as_good(snapshot: Snapshot, best: Comparison, claim: str) -> str:
    """The headline where a known loss does as well or better."""
    assert best.rival is not None
    pair = best.rival.paired
    rival = best.rival.arm.candidate
    known = arm_name(snapshot.candidates[rival], best.rival.arm)
    worse = pair.difference < 0 and pair.p_value is not None and pair.p_value < stats.SIGNIFICANCE
    return (
        f"{'Worse than' if worse else 'As good as'} {known}, {how_known(snapshot, rival)}: {claim}, and differs from {known} by "
        f"{plus_minus(pair.difference, pair.standard_error, signed=True)}."
    )


def _failures(snapshot: Snapshot, decision: Decision) -> list[str]:
    """A sentence for each finalist and known loss with failed trainings."""
    failed_finalists = [
        (c.arm, c.failed, len(c.paired.seeds)) for c in decision.finalists if c.failed and not c.caution
    ]
    return [
        f"{display_name(snapshot.candidates[arm.candidate])} failed on {failed} of {count(failed + scored, 'seed')}."
        for arm, failed, scored in (*failed_finalists, *decision.failing)
    ]


CONDITIONS = f"two-sided, level {stats.SIGNIFICANCE:g}, power {stats.POWER:g}"
"""Conditions of the minimum detectable difference, for footnotes."""
