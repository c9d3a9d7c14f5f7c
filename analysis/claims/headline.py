"""The headline: the one sentence that a run may claim. Needs neither torch nor matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import stats
from analysis.claims.comparison import Comparison, Decision, decide
from analysis.claims.ending import end_reason, so_far, unfinished, without_final
from analysis.claims.obstacles import ObstacleKind, WithheldKind, widening
from analysis.output.encode import one_line
from analysis.snapshot import Snapshot
from analysis.wording import count, figure, full_name, how_known, plus_minus, told_arm, told_name


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
    interim, ended = unfinished(snapshot), without_final(snapshot, decision)
    if decision.best is None:
        none_sound = _none_sound(snapshot, decision)
        return Headline(f"{_INTERIM}: {none_sound}" if interim else " ".join(filter(None, [none_sound, ended])))
    best = decision.best
    pair = best.paired
    sentence = _so_far(snapshot, decision, best) if interim else _sentence(snapshot, decision, best)
    return Headline(
        text=" ".join(filter(None, [sentence, *_failures(snapshot, decision), ended])),
        distinguishable=best.distinguishable and not interim,
        discovery=best.discovery and not interim,
        difference=pair.difference,
        standard_error=pair.standard_error,
        seeds=len(pair.seeds),
        minimum_detectable_difference=decision.minimum_detectable_difference,
        candidate=best.arm.candidate,
        rung=decision.rung,
        p_value=best.adjusted if best.p_value is not None else None,
        items=pair.groups,
    )


_INTERIM = "The run is unfinished, so nothing is concluded yet"


def _so_far(snapshot: Snapshot, decision: Decision, best: Comparison) -> str:
    """The headline of an unfinished run: figures, and no claim in either direction."""
    pair = best.paired
    return (
        f"{_INTERIM}: the best proposed loss so far, {_full(snapshot, best.arm.candidate)}, differs from "
        f"{told_arm(snapshot, decision.baseline)} by {plus_minus(pair.difference, pair.standard_error, signed=True)} (paired over "
        f"{_where(decision, best)}), {so_far(snapshot, decision)}."
    )


def _nothing_yet(snapshot: Snapshot) -> str:
    reason = end_reason(snapshot)
    begin, end = (
        ("Nothing to compare", f"; the run has ended: {reason}.") if reason else ("Nothing to compare yet", ".")
    )
    if snapshot.baseline is None:
        return f"{begin}: the run holds no seed loss{end}"
    name = told_name(snapshot, snapshot.baseline.id)
    if not any(arm.candidate == snapshot.baseline.id for arm in snapshot.scores):
        return f"{begin}: {name} has no score{end}"
    return f"{begin}: no proposed loss was scored on a seed that {name} was scored on{end}"


def _full(snapshot: Snapshot, candidate: int) -> str:
    return full_name(snapshot, candidate, told_apart=True)


def _where(decision: Decision, best: Comparison) -> str:
    """The seeds and items that a comparison rests on, and the rung."""
    kind, groups = "fresh seed" if decision.fresh else "shared seed", best.paired.groups
    items = f" and {count(groups, 'group')} of test items" if groups else ""
    return f"{count(len(best.paired.seeds), kind)}{items} at rung {one_line(decision.rung)}"


def _none_sound(snapshot: Snapshot, decision: Decision) -> str:
    """The headline where every finalist has a caution."""
    names = [f"{told_name(snapshot, c.arm.candidate)} {c.caution}" for c in decision.finalists]
    kind = "finalist" if decision.fresh else "proposed loss"
    return f"No claim can be made for {'the only' if len(names) == 1 else 'any'} {kind}. {'; '.join(names)}."


def _sentence(snapshot: Snapshot, decision: Decision, best: Comparison) -> str:
    assert snapshot.baseline is not None
    baseline, name = told_arm(snapshot, decision.baseline), _full(snapshot, best.arm.candidate)
    pair, where = best.paired, _where(decision, best)
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
    known = told_arm(snapshot, rival.arm)
    of = count(decision.known, "known loss", "known losses")
    of += f" ({given} of them given to the run)" if (given := decision.given) else ""
    hardest = f", the hardest of {of} to tell it from" if decision.known > 1 else ""
    too = ""
    if rival.arm != decision.baseline:
        own = plus_minus(best.paired.difference, best.paired.standard_error)
        too = f", and {own} above {told_arm(snapshot, decision.baseline)}"
    among = f", corrected for {len(decision.finalists)} finalists" if len(decision.finalists) > 1 else ""
    return (
        f"A discovery: {_full(snapshot, best.arm.candidate)} scores {plus_minus(pair.difference, pair.standard_error)} above "
        f"{known}{hardest}{too} (paired over {where}; p = {best.new:.2g}{among})."
    )


def _beaten(snapshot: Snapshot, best: Comparison) -> str:
    """Names the known loss that is ahead of the finalist; empty without one. A wider grid of the baseline would not help then."""
    rival = best.rival
    if rival is None or rival.paired.difference > 0:
        return ""
    return f"; {told_arm(snapshot, rival.arm)}, {how_known(snapshot, rival.arm.candidate)}, does as well or better"


def _as_good(snapshot: Snapshot, best: Comparison, claim: str) -> str:
    """The headline where a known loss does as well or better."""
    assert best.rival is not None
    pair = best.rival.paired
    rival = best.rival.arm.candidate
    known = told_arm(snapshot, best.rival.arm)
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
        f"{told_name(snapshot, arm.candidate)} failed on {failed} of {count(failed + scored, 'seed')}."
        for arm, failed, scored in (*failed_finalists, *decision.failing)
    ]


CONDITIONS = f"two-sided, level {stats.SIGNIFICANCE:g}, power {stats.POWER:g}"
"""Conditions of the minimum detectable difference, for footnotes."""
