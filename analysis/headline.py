"""The one sentence that a run may claim, honest by construction; needs neither torch nor matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import stats
from analysis.comparison import Comparison, Decision, decide
from analysis.encode import one_line
from analysis.snapshot import Snapshot
from analysis.wording import arm_name, count, display_name, figure, plus_minus
from archive.query import Reader

__all__ = ["CONDITIONS", "Headline", "display_name", "headline", "headline_of"]


@dataclass(frozen=True)
class Headline:
    """What the run found of its best new loss against the yardstick (DPO), in the fitness's own units.

    `text` is one printable line without markup; a terminal's or a page's own markup is still to be escaped. Numbers are
    None where there is no comparison, or no error to give.
    """

    text: str
    distinguishable: bool = False
    difference: float | None = None
    standard_error: float | None = None
    seeds: int = 0
    smallest_detectable: float | None = None
    candidate: int | None = None
    rung: str | None = None
    p_value: float | None = None
    """Corrected by Holm over all finalists."""


def headline(reader: Reader) -> Headline:
    """The headline of the run in an archive. Raises ArchiveError."""
    return headline_of(Snapshot.of(reader))


def headline_of(snapshot: Snapshot) -> Headline:
    """The headline of a run that was read already."""
    decision = decide(snapshot)
    if decision is None or decision.best is None:
        return Headline(_nothing_yet(snapshot))
    best = decision.best
    pair = best.paired
    return Headline(
        text=" ".join([_sentence(snapshot, decision, best), *_failures(snapshot, decision)]),
        distinguishable=best.distinguishable,
        difference=pair.difference,
        standard_error=pair.standard_error,
        seeds=len(pair.seeds),
        smallest_detectable=decision.smallest_detectable,
        candidate=best.arm.candidate,
        rung=decision.rung,
        p_value=best.adjusted if best.p_value is not None else None,
    )


def _nothing_yet(snapshot: Snapshot) -> str:
    if snapshot.yardstick is None:
        return "Nothing to compare yet: the run holds no seed loss."
    name = display_name(snapshot.yardstick)
    if not any(arm.candidate == snapshot.yardstick.id for arm in snapshot.scores):
        return f"Nothing to compare yet: {name} has no score."
    return f"Nothing to compare yet: no proposed loss was scored on a seed that {name} was scored on."


def _sentence(snapshot: Snapshot, decision: Decision, best: Comparison) -> str:
    assert snapshot.yardstick is not None
    yardstick = arm_name(snapshot.yardstick, decision.yardstick)
    name = display_name(snapshot.candidates[best.arm.candidate])
    pair = best.paired
    kind = "fresh seed" if decision.fresh else "shared seed"
    where = f"{count(len(pair.seeds), kind)} at rung {one_line(decision.rung)}"
    if pair.standard_error is None:
        return (
            f"No claim can be made: the best proposed loss, {name}, differs from {yardstick} by "
            f"{figure(pair.difference, signed=True)} on {where}, which gives no error; more seeds are needed."
        )
    if best.failed and pair.difference > 0:
        return (
            f"No claim can be made: every finalist failed on a seed. Where it did not, the best one, {name}, differs from "
            f"{yardstick} by {plus_minus(pair.difference, pair.standard_error, signed=True)} (paired over {where})."
        )
    if best.distinguishable:
        side = "above" if pair.difference > 0 else "below"
        first = best is decision.finalists[0]
        rank = "the best proposed loss" if first else "the best proposed loss that is past the noise"
        among = f", corrected for {len(decision.finalists)} comparisons" if len(decision.finalists) > 1 else ""
        return (
            f"{name}, {rank}, scores {plus_minus(abs(pair.difference), pair.standard_error)} {side} "
            f"{yardstick} (paired over {where}; p = {best.adjusted:.2g}{among})."
        )
    return (
        f"Not distinguishable from {yardstick}: the best proposed loss, {name}, differs by "
        f"{plus_minus(pair.difference, pair.standard_error, signed=True)} (paired over {where}); a true difference below "
        f"{figure(decision.smallest_detectable)} would probably have gone unseen."
    )


def _failures(snapshot: Snapshot, decision: Decision) -> list[str]:
    """A sentence for each finalist that gave no score on some of the seeds."""
    return [
        f"{display_name(snapshot.candidates[c.arm.candidate])} failed on {c.failed} of "
        f"{count(c.failed + len(c.paired.seeds), 'seed')}."
        for c in decision.finalists
        if c.failed
    ]


CONDITIONS = f"two-sided, level {stats.SIGNIFICANCE:g}, power {stats.POWER:g}"
"""What "could have been seen" means, for footnotes."""
