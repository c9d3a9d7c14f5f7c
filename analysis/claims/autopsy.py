"""Autopsy of a loss: which of its parts matter, and the smallest loss that cannot be told from it.

Every part is removed or reset alone, and the edited loss is trained on the same fresh seeds as the whole loss. The effect of a part
is the paired difference, whole minus edited, with an error that covers seeds and test items as in a final. A part *matters* if the
difference is significant after Holm's correction over all parts: the probability that any part without an effect is said to matter
is at most 5 % per autopsy.

The smallest loss is found by backward elimination: parts are removed one after another, first those that make no difference, then
those whose removal can do least harm (the upper end of the effect's interval). A removal is kept unless the result is significantly
worse than the whole loss (uncorrected, so doubt keeps a part). Selection on these seeds is optimistic. So the result is measured
against the whole loss on further fresh seeds. If it is significantly worse there, the losses before its last removals are measured,
the part that must stay is found, and the elimination goes on without removing it. "Cannot be told from" is no proof of equality:
the interval and the minimum detectable difference say how large a difference may have been missed.

Everything is computed from the archive. `due` says what must be trained next, and the same functions read the result, so an
interrupted autopsy continues.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from analysis import stats
from analysis.claims.crossed import covering_items
from analysis.final import seeds_of
from analysis.wording import count
from archive.errors import CorruptArchive
from archive.records import EventKind, EventRow, Items
from archive.variants import VariantEvaluationRow, VariantRow
from sandbox.graph.edits.edit import Edit, EditError, attempted, edited
from sandbox.graph.edits.parts import Part, PartKind
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.verdicts.verdict import VerdictStatus

PURPOSE = "parts"
"""Purpose of its variants in the archive."""

MOST_FAILURES = 4
"""Largest number of smaller forms that may turn out worse on the confirming seeds before the search for the smallest loss ends."""

Edits = tuple[Edit, ...]
"""Edits of the whole loss; empty for the loss itself."""


@dataclass(frozen=True)
class Plan:
    """What an autopsy trains, recorded before its first training."""

    candidate: int
    rung: str
    seeds: tuple[int, ...]
    """Fresh seeds on which parts are removed."""
    confirming: tuple[int, ...]
    """Further fresh seeds, on which the smallest loss is measured."""
    parts: tuple[Part, ...]
    """No two of their edits give the same loss."""

    def to_json(self) -> dict[str, Any]:
        """Payload of the event `autopsy`."""
        parts = [[part.kind.value, part.edit.to_json(), part.text, part.change] for part in self.parts]
        return {
            "candidate": self.candidate, "rung": self.rung, "seeds": list(self.seeds), "confirming": list(self.confirming),
            "parts": parts,
        }  # fmt: skip

    @classmethod
    def from_json(cls, payload: Any) -> Plan:
        """The plan in a payload. Raises CorruptArchive."""
        try:
            candidate, rung, parts = payload["candidate"], payload["rung"], payload["parts"]
            read = tuple(Part(PartKind(k), Edit.from_json(e), str(text), str(change)) for k, e, text, change in parts)
            if type(candidate) is not int or not isinstance(rung, str):
                raise ValueError(f"expected a candidate's id and a rung, got {candidate!r:.40} and {rung!r:.40}")
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptArchive(
                f"an event {EventKind.AUTOPSY} has no usable plan ({str(error)[:120]}); get a fresh copy of the archive"
            ) from None
        return cls(candidate, rung, seeds_of(payload), seeds_of({"seeds": payload.get("confirming")}), read)


def plans(events: Iterable[EventRow]) -> dict[int, Plan]:
    """The last plan of each candidate that has one. Raises CorruptArchive."""
    found = [Plan.from_json(event.payload) for event in events if event.kind == EventKind.AUTOPSY]
    return {plan.candidate: plan for plan in found}


@dataclass(frozen=True)
class Measured:
    """A variant with its verdict and its trainings at the plan's rung."""

    status: str | None
    """Of its verdict; None before it is vetted."""
    rules: tuple[str, ...]
    fitness: Mapping[int, float]
    items: Mapping[int, Items]
    failed: Mapping[int, str]
    """Reason of each failed training, by seed."""

    @property
    def trainable(self) -> bool:
        """Whether the sandbox accepted it."""
        return self.status == VerdictStatus.ACCEPTED

    def missing(self, seeds: Sequence[int]) -> tuple[int, ...]:
        """The seeds without an ended training."""
        return tuple(seed for seed in seeds if seed not in self.fitness and seed not in self.failed)


NOTHING = Measured(None, (), {}, {}, {})


class Outcome(StrEnum):
    """What is known of a part."""

    HELPS = "helps"
    """The loss is significantly worse without it."""
    HURTS = "hurts"
    """The loss is significantly better without it."""
    UNSEEN = "no effect seen"
    """The difference is not significant."""
    IDENTICAL = "no effect"
    """All trainings without it have the same result, up to rounding."""
    REFUSED = "cannot be removed"
    """The sandbox refuses the loss without it."""
    FAILS = "training fails without it"
    """At least one training without it failed on a seed on which the whole loss can be trained."""
    OPEN = "not measured yet"


@dataclass(frozen=True)
class Effect:
    """A part and what its removal does. `paired`: whole minus edited, so a positive difference means that the part helps."""

    part: Part
    measured: Measured
    paired: stats.Paired | None
    adjusted: float | None
    """Holm's p-value over all parts; None without a standard error."""
    outcome: Outcome

    @property
    def matters(self) -> bool:
        """Whether the part has a significant effect, or the loss cannot be trained without it."""
        return self.outcome in (Outcome.HELPS, Outcome.HURTS, Outcome.FAILS)

    @property
    def reason(self) -> str:
        """Why there is no comparison: the rules that refused it, or the failed trainings; empty if there is one."""
        if self.outcome is Outcome.REFUSED:
            return ", ".join(self.measured.rules)
        failed = sorted(set(self.measured.failed.values()))
        return (
            f"{', '.join(failed)} on {count(len(self.measured.failed), 'seed')}"
            if self.outcome is Outcome.FAILS
            else ""
        )


@dataclass(frozen=True)
class Reduced:
    """A smaller form of the loss. `paired`: whole minus reduced on the confirming seeds; None before it is measured."""

    edits: Edits
    graph: VerifiedGraph
    paired: stats.Paired | None
    worse: bool
    """Whether it is significantly worse than the whole loss on the confirming seeds, or failed on one of them."""


@dataclass(frozen=True)
class Wanted:
    """A variant that must be vetted, or trained on these seeds, next."""

    edits: Edits
    graph: VerifiedGraph
    seeds: tuple[int, ...]


class Autopsy:
    """The state of an autopsy: its plan, and what the archive holds of it."""

    def __init__(
        self,
        plan: Plan,
        graph: VerifiedGraph,
        variants: Iterable[VariantRow],
        evaluations: Iterable[VariantEvaluationRow],
    ) -> None:
        """`graph` is the candidate's. Raises CorruptArchive if the plan's parts are not those of the graph."""
        self.plan = plan
        self.graph = graph
        self._variants = {_key(row.edit): row for row in variants if row.purpose == PURPOSE}
        by_id = {row.id: row.hash for row in self._variants.values()}
        self._trainings: dict[str, list[VariantEvaluationRow]] = {}
        for row in evaluations:
            own = row.rung == plan.rung and row.beta is None and row.learning_rate is None
            if own and row.variant_id in by_id:
                self._trainings.setdefault(by_id[row.variant_id], []).append(row)
        try:
            found = [attempted(graph, [part.edit]) for part in plan.parts]
        except EditError as error:
            raise CorruptArchive(f"an autopsy of candidate {plan.candidate} does not fit its graph ({error})") from None
        self._single = {part: edited for part, edited in zip(plan.parts, found, strict=True) if edited is not None}

    def measured(self, edits: Edits = ()) -> Measured:
        """What the archive holds of a variant. Variants that are the same loss share their trainings."""
        row = self._variants.get(_key([edit.to_json() for edit in edits]))
        if row is None:
            return NOTHING
        trainings = self._trainings.get(row.hash, ())
        return Measured(
            row.status,
            row.rules,
            {e.seed: e.fitness for e in trainings if e.fitness is not None},
            {e.seed: e.items for e in trainings if e.fitness is not None and e.items is not None},
            {e.seed: e.reason for e in trainings if e.reason is not None},
        )

    # ---- parts -----------------------------------------------------------------------------------------------------

    @cached_property
    def whole(self) -> Measured:
        """The whole loss."""
        return self.measured()

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """The parts in the order of the plan."""
        measured = {part: self.measured((part.edit,)) for part in self._single}
        pairs = {part: self._paired(found, self.plan.seeds) for part, found in measured.items()}
        tested = {part: pair.p_value for part, pair in pairs.items() if pair and pair.p_value is not None}
        adjusted = dict(zip(tested, stats.holm(list(tested.values())), strict=True))
        return tuple(
            Effect(part, found, pairs[part], adjusted.get(part), self._outcome(found, pairs[part], adjusted.get(part)))
            for part, found in measured.items()
        )

    def _outcome(self, found: Measured, pair: stats.Paired | None, adjusted: float | None) -> Outcome:
        if found.status is not None and not found.trainable:
            return Outcome.REFUSED
        if any(seed in self.whole.fitness for seed in found.failed if seed in self.plan.seeds):
            return Outcome.FAILS
        if pair is None or self.whole.missing(self.plan.seeds) or found.missing(self.plan.seeds):
            return Outcome.OPEN
        if _identical(pair):
            return Outcome.IDENTICAL
        if adjusted is None or adjusted >= stats.SIGNIFICANCE:
            return Outcome.UNSEEN
        return Outcome.HELPS if pair.difference > 0 else Outcome.HURTS

    def _paired(self, edited: Measured, seeds: Sequence[int]) -> stats.Paired | None:
        """Whole minus edited on these seeds."""
        ours = {seed: self.whole.fitness[seed] for seed in seeds if seed in self.whole.fitness}
        pair = stats.paired(ours, edited.fitness)
        return pair if pair is None or _identical(pair) else covering_items(pair, self.whole.items, edited.items)

    # ---- the smallest loss -----------------------------------------------------------------------------------------

    @cached_property
    def _search(self) -> tuple[tuple[Reduced, ...], Reduced | None, tuple[Wanted, ...]]:
        """The forms measured on the confirming seeds, the smallest loss if it is found, and what must be trained first."""
        tried: dict[Edits, Reduced] = {}
        needed: set[Edit] = set()  # removals after which the loss was worse on the confirming seeds
        while True:
            chain, pending = self._eliminated(needed)
            if pending is not None:
                return tuple(tried.values()), None, (pending,)
            passed = len(chain) - 1
            while passed and (form := tried.get(chain[passed]) or self._confirmed(chain[passed])).worse:
                tried[form.edits] = form
                passed -= 1
            if passed:
                tried[form.edits] = form
                if form.paired is None:
                    return tuple(tried.values()), None, self._to_confirm(form)
            failures = sum(form.worse for form in tried.values())
            if passed == len(chain) - 1 or failures >= MOST_FAILURES:
                return tuple(tried.values()), tried[chain[passed]] if passed else None, ()
            needed.add(chain[passed + 1][-1])

    def _eliminated(self, needed: Collection[Edit]) -> tuple[tuple[Edits, ...], Wanted | None]:
        """The losses after each kept removal, the whole loss first; and the loss to train before the next decision, if any."""
        kept: list[Edits] = [()]
        smallest = self.graph
        for effect in self._in_order():
            edits = (*kept[-1], effect.part.edit)
            trial = None if effect.part.edit in needed else attempted(self.graph, edits)
            if trial is None or trial.operations >= smallest.operations:
                continue
            found = self.measured(edits)
            if found.status is None or (found.trainable and found.missing(self.plan.seeds)):
                return tuple(kept), Wanted(edits, trial, found.missing(self.plan.seeds))
            if found.trainable and not self._worse(found, self.plan.seeds):
                kept.append(edits)
                smallest = trial
        return tuple(kept), None

    def _confirmed(self, edits: Edits) -> Reduced:
        """A form with its comparison on the confirming seeds, if it is measured there."""
        graph, found, seeds = edited(self.graph, edits), self.measured(edits), self.plan.confirming
        if found.missing(seeds) or self.whole.missing(seeds):
            return Reduced(edits, graph, None, False)
        return Reduced(edits, graph, self._paired(found, seeds), self._worse(found, seeds))

    def _to_confirm(self, form: Reduced) -> tuple[Wanted, ...]:
        seeds = self.plan.confirming
        wanted = (
            Wanted((), self.graph, self.whole.missing(seeds)),
            Wanted(form.edits, form.graph, self.measured(form.edits).missing(seeds)),
        )
        return tuple(one for one in wanted if one.seeds)

    def _in_order(self) -> list[Effect]:
        """The parts that may be removed: those that make no difference first, then those whose removal can do least harm."""
        free = [e for e in self.effects if e.outcome in (Outcome.IDENTICAL, Outcome.UNSEEN, Outcome.HURTS)]
        free = [e for e in free if not self._worse(e.measured, self.plan.seeds)]

        def rank(effect: Effect) -> tuple[bool, float, int]:
            assert effect.paired is not None
            limits = stats.interval(effect.paired)
            harm = effect.paired.difference if limits is None else limits.high
            return effect.outcome is not Outcome.IDENTICAL, harm, self._single[effect.part].operations

        return sorted(free, key=rank)

    def _worse(self, edited: Measured, seeds: Sequence[int]) -> bool:
        """Whether a loss is significantly worse than the whole one on these seeds, uncorrected; or failed where that did not."""
        if any(seed in self.whole.fitness for seed in edited.failed if seed in seeds):
            return True
        pair = self._paired(edited, seeds)
        if pair is None or _identical(pair) or pair.difference <= 0:
            return pair is None
        # Without a p-value all differences are equal and not zero: nothing says that it is chance.
        return pair.p_value is None or pair.p_value < stats.SIGNIFICANCE

    @property
    def reductions(self) -> tuple[Reduced, ...]:
        """The smaller forms that were measured on the confirming seeds, in order; the last one may still have to be measured."""
        return () if self._open_parts() else self._search[0]

    @property
    def smallest(self) -> Reduced | None:
        """The smallest loss that cannot be told from the whole one on the confirming seeds; None if there is none, or not yet."""
        return None if self._open_parts() else self._search[1]

    # ---- what is due -----------------------------------------------------------------------------------------------

    def _open_parts(self) -> bool:
        return any(effect.outcome is Outcome.OPEN for effect in self.effects)

    @property
    def finished(self) -> bool:
        """Whether nothing is due any more."""
        return not self.due()

    def due(self) -> tuple[Wanted, ...]:
        """What must be vetted or trained next; call it again when it is done. Empty when the autopsy is finished."""
        if missing := self.whole.missing(self.plan.seeds):
            return (Wanted((), self.graph, missing),)
        parts = [
            Wanted((part.edit,), graph, found.missing(self.plan.seeds))
            for part, graph in self._single.items()
            if (found := self.measured((part.edit,))).status is None
            or (found.trainable and found.missing(self.plan.seeds))
        ]
        return tuple(parts) or self._search[2]

    def most_trainings(self) -> int:
        """The largest number of trainings of the whole autopsy, finished ones included. It usually takes fewer."""
        parts, seeds = len(self._single), len(self.plan.seeds)
        removals = sum(graph.operations < self.graph.operations for graph in self._single.values())
        tries = min(removals, MOST_FAILURES) + 1
        return seeds * (1 + parts + removals * tries) + len(self.plan.confirming) * (1 + min(removals, tries))

    def least_trainings(self) -> int:
        """The trainings of the parts and of one comparison on the confirming seeds, finished ones included."""
        refused = sum(effect.outcome is Outcome.REFUSED for effect in self.effects)
        return len(self.plan.seeds) * (1 + len(self._single) - refused) + 2 * len(self.plan.confirming)


def detectable(pair: stats.Paired) -> float | None:
    """Minimum detectable difference of a single comparison with this error (power 0.8); None without an error."""
    if pair.standard_error is None or pair.freedom is None:
        return None
    return stats.minimum_detectable_difference(pair.standard_error, pair.freedom)


def _identical(pair: stats.Paired) -> bool:
    """Whether all differences are zero up to rounding."""
    return pair.standard_error is None and all(abs(d) <= stats.ROUNDING for d in pair.differences)


def _key(edit: Any) -> str:
    return re.sub(r"\s", "", str(edit))
