"""Text forms of an autopsy: its table, its conclusion and its data, for the command line and the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

from analysis import stats
from analysis.claims.autopsy import Autopsy, Effect, Outcome, detectable
from analysis.output.encode import one_line
from analysis.wording import columns, count, figure, plus_minus
from sandbox.graph.printers import to_python

HEADINGS = ("part", "expression", "change", "effect", "95 % interval", "p", "result")
READING = (
    "Effect: fitness of the whole loss minus fitness without the part, paired by seed; positive: the part helps. p is corrected by "
    "Holm's method over all parts, the intervals are not."
)


@dataclass(frozen=True)
class PartRow:
    """One part of the table, as visible text."""

    kind: str
    expression: str
    change: str
    effect: str
    interval: str
    p_value: str
    result: str
    matters: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells, in the order of HEADINGS."""
        return (self.kind, self.expression, self.change, self.effect, self.interval, self.p_value, self.result)


def part_rows(autopsy: Autopsy) -> list[PartRow]:
    """The parts: those that matter first, then by the size of the effect; those without a comparison last."""
    return [_row(effect) for effect in sorted(autopsy.effects, key=_rank)]


def conclusions(autopsy: Autopsy) -> list[str]:
    """What the autopsy shows, as sentences."""
    effects, plan = autopsy.effects, autopsy.plan
    matter = sum(effect.matters for effect in effects)
    verb = "matters" if matter == 1 else "matter"
    unseen = [effect for effect in effects if effect.outcome is Outcome.UNSEEN]
    said = [
        f"{matter} of {count(len(effects), 'part')} {verb} on {count(len(plan.seeds), 'fresh seed')}: significant after Holm's "
        "correction, or training fails without the part."
    ]
    limits = [limit for effect in unseen if effect.paired and (limit := detectable(effect.paired)) is not None]
    if limits:
        said.append(
            f"No effect of {count(len(unseen), 'part')} was seen. In a typical one of these comparisons an effect of "
            f"{figure(median(limits))} would be found with probability {stats.POWER:g}, uncorrected."
        )
    return [*said, *_smallest(autopsy)]


def _smallest(autopsy: Autopsy) -> list[str]:
    plan, tried = autopsy.plan, autopsy.reductions
    if not autopsy.finished:
        return ["The search for the smallest loss is not finished; the same command continues it."]
    if not tried:
        return [
            "No smaller loss was found: every removal makes it significantly worse, or is refused, or saves nothing."
        ]
    seeds = count(len(plan.confirming), "further fresh seed")
    failed = sum(one.worse for one in tried)
    again = (
        f" {count(failed, 'smaller form')} had seemed as good, and {'was' if failed == 1 else 'were'} worse on these seeds."
        if failed
        else ""
    )
    smallest = autopsy.smallest
    if smallest is None or smallest.paired is None:
        return [f"No smaller loss was confirmed on {seeds}.{again}"]
    pair, limits = smallest.paired, stats.interval(smallest.paired)
    size = f"{smallest.graph.operations} of {autopsy.graph.operations} operations"
    if limits is None:
        return [
            f"The smallest loss takes {size}: on {seeds} each training has the same result as that of the whole loss.{again}"
        ]
    better = pair.p_value is not None and pair.p_value < stats.SIGNIFICANCE  # and not worse
    verdict = "it is better than the whole loss" if better else "it cannot be told from the whole loss"
    found = None if better else detectable(pair)
    missed = (
        f"; a difference of {figure(found)} would be found with probability {stats.POWER:g}. That is no proof that they are equal"
        if found
        else ""
    )
    return [
        f"The smallest loss takes {size}. On {seeds} {verdict}: its fitness minus that of the whole loss is "
        f"{plus_minus(-pair.difference, pair.standard_error, signed=True)}, 95 % interval {_interval(-limits.high, -limits.low)}"
        f"{missed}.{again}"
    ]


def smallest_code(autopsy: Autopsy, name: str) -> str:
    """The smallest loss as Python; empty if there is none."""
    return to_python(autopsy.smallest.graph, f"{name}_smallest") if autopsy.smallest else ""


def autopsy_text(autopsy: Autopsy, name: str, title: str, metric: str) -> str:
    """Table, conclusions and code for a terminal. `title`: the loss's name with what must be known of it."""
    plan = autopsy.plan
    rows = [row.cells for row in part_rows(autopsy)]
    code = smallest_code(autopsy, name)
    lines = [
        f"{title} at rung {one_line(plan.rung)}" + (f"; fitness is {metric}." if metric else "."),
        READING,
        "",
        *columns([HEADINGS, *rows]),
        "",
        *conclusions(autopsy),
    ]
    return "\n".join([*lines, *(["", code.rstrip()] if code else [])])


def autopsy_json(autopsy: Autopsy, name: str) -> dict[str, Any]:
    """The figures as plain data."""
    plan, smallest = autopsy.plan, autopsy.smallest
    return {
        "candidate": plan.candidate,
        "name": name,
        "rung": plan.rung,
        "seeds": list(plan.seeds),
        "confirming": list(plan.confirming),
        "complete": autopsy.finished,
        "operations": autopsy.graph.operations,
        "parts": [_part_json(effect) for effect in autopsy.effects],
        "smallest": None
        if smallest is None
        else {
            "operations": smallest.graph.operations,
            "edits": [edit.to_json() for edit in smallest.edits],
            "python": smallest_code(autopsy, name),
            "graph": smallest.graph.to_json(),
            **_pair_json(smallest.paired),
        },
    }


def _part_json(effect: Effect) -> dict[str, Any]:
    part = effect.part
    return {
        "kind": part.kind.value,
        "expression": part.text,
        "change": part.change,
        "edit": part.edit.to_json(),
        "outcome": effect.outcome.value,
        "matters": effect.matters,
        "reason": effect.reason,
        "p_holm": effect.adjusted,
        **_pair_json(effect.paired),
    }


def _pair_json(pair: stats.Paired | None) -> dict[str, Any]:
    """A paired difference, whole minus edited."""
    if pair is None:
        return {"difference": None}
    limits = stats.interval(pair)
    return {
        "difference": pair.difference,
        "standard_error": pair.standard_error,
        "interval": None if limits is None else [limits.low, limits.high],
        "p": pair.p_value,
        "seeds": len(pair.seeds),
        "detectable": detectable(pair),
    }


def _row(effect: Effect) -> PartRow:
    part, pair = effect.part, effect.paired
    shown = effect.outcome not in (Outcome.REFUSED, Outcome.OPEN) and pair is not None
    limits = stats.interval(pair) if shown and pair else None
    reason = f": {effect.reason}" if effect.reason else ""
    return PartRow(
        part.kind.value,
        one_line(part.text, 200),
        one_line(part.change, 120),
        plus_minus(pair.difference, pair.standard_error, signed=True) if shown and pair else "",
        "" if limits is None else _interval(limits.low, limits.high),
        "" if effect.adjusted is None or not shown else f"{effect.adjusted:.2g}",
        effect.outcome.value + reason,
        effect.matters,
    )


def _rank(effect: Effect) -> tuple[bool, bool, float]:
    compared = effect.paired is not None and effect.outcome is not Outcome.OPEN
    return not effect.matters, not compared, -abs(effect.paired.difference) if effect.paired else 0.0


def _interval(low: float, high: float) -> str:
    places = max(0, 1 - math.floor(math.log10(high - low))) if high > low else 3
    return f"{low:+.{min(places, 6)}f} to {high:+.{min(places, 6)}f}".replace("-", "−")
