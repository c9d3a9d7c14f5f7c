"""The one sentence that a run may claim, honest by construction; needs neither torch nor matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import stats
from analysis.comparison import Comparison, Decision, decide
from analysis.encode import one_line
from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import CandidateRow, Origin


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
        text=_sentence(snapshot, decision, best),
        distinguishable=best.distinguishable,
        difference=pair.difference,
        standard_error=pair.standard_error,
        seeds=len(pair.seeds),
        smallest_detectable=decision.smallest_detectable,
        candidate=best.arm.candidate,
        rung=decision.rung,
        p_value=best.adjusted if pair.p_value is not None else None,
    )


def display_name(candidate: CandidateRow) -> str:
    """A candidate's name as text shows it: one visible line; the yardstick in capitals, as its paper writes it."""
    return "DPO" if candidate.origin is Origin.SEED and candidate.name == "dpo" else one_line(candidate.name, 48)


def _nothing_yet(snapshot: Snapshot) -> str:
    if snapshot.yardstick is None:
        return "Nothing to compare yet: the run holds no seed loss."
    name = display_name(snapshot.yardstick)
    if not any(arm.candidate == snapshot.yardstick.id for arm in snapshot.scores):
        return f"Nothing to compare yet: {name} has no score."
    return f"Nothing to compare yet: no proposed loss was scored on a seed that {name} was scored on."


def _sentence(snapshot: Snapshot, decision: Decision, best: Comparison) -> str:
    assert snapshot.yardstick is not None
    yardstick = display_name(snapshot.yardstick)
    name = display_name(snapshot.candidates[best.arm.candidate])
    pair = best.paired
    where = f"{_count(len(pair.seeds), 'fresh seed' if decision.fresh else 'shared seed')} at rung {one_line(decision.rung)}"
    if pair.standard_error is None:
        return (
            f"No claim can be made: the best proposed loss, {name}, differs from {yardstick} by {pair.difference:+.3g} on {where}, "
            "which gives no error; more seeds are needed."
        )
    size = f"{abs(pair.difference):.3g} ± {pair.standard_error:.2g}"
    if best.distinguishable:
        side = "above" if pair.difference > 0 else "below"
        among = f", corrected for {len(decision.finalists)} comparisons" if len(decision.finalists) > 1 else ""
        return (
            f"{name}, the best proposed loss, scores {size} {side} {yardstick} "
            f"(paired over {where}; p = {best.adjusted:.2g}{among})."
        )
    seen = decision.smallest_detectable
    return (
        f"Not distinguishable from {yardstick}: the best proposed loss, {name}, differs by "
        f"{pair.difference:+.3g} ± {pair.standard_error:.2g} (paired over {where}); "
        f"a difference below {seen:.2g} could not have been seen with confidence."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


CONDITIONS = f"two-sided, level {stats.SIGNIFICANCE:g}, power {stats.POWER:g}"
"""What "could have been seen" means, for footnotes."""
