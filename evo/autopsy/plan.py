"""Plan of an autopsy: the candidate, its parts, the rung, and fresh seeds from the operating system.

The candidate was selected by its scores, so these are too good on average. If they counted as the scores of the whole loss, every
part would seem to help. Therefore the whole loss is trained again, on the same fresh seeds as its edited forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.claims.autopsy import Autopsy, Plan, plans
from analysis.claims.comparison import decide
from analysis.recorded import graph_of
from analysis.snapshot import Snapshot
from analysis.wording import count, display_name, duration
from archive.query import Reader
from archive.records import CandidateRow, EventKind
from evo.campaign.final_setup import with_fresh_seeds
from evo.config.rundir import NotInRun
from evo.display.lookup import find_candidate
from fitness.schedule.final import final_rung
from fitness.schedule.ladder import Seeds
from fitness.task.protocol import TaskInfo
from sandbox.graph.edits.edit import edited
from sandbox.graph.edits.parts import Part, parts
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.canonical import canonical_hash
from sandbox.verdicts.verdict import VerdictStatus

SEEDS = 16
"""Usual number of fresh seeds per part."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for. None: as recorded for this candidate, or the usual value."""

    candidate: str | None = None
    """Id or name; None: the best finalist."""
    seeds: int | None = None
    confirming: int | None = None
    rung: str | None = None
    anew: bool = False
    """Whether to begin another autopsy, with other fresh seeds, where one was recorded."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The loss of an autopsy."""

    row: CandidateRow
    graph: VerifiedGraph

    @property
    def name(self) -> str:
        """Its name and id."""
        return f"{display_name(self.row)} (candidate {self.row.id})"


def subject_of(snapshot: Snapshot, reader: Reader, named: str | None) -> Subject:
    """The loss to examine: the candidate with this id or name, or without one the best finalist. Raises NotInRun, ArchiveError."""
    if named is None:
        decision = decide(snapshot)
        if decision is None or decision.best is None or not decision.fresh:
            raise NotInRun(
                "the run has no finalist yet, so give the candidate: an id or a name (evopo show DIRECTORY lists them)"
            )
        row = snapshot.candidates[decision.best.arm.candidate]
    else:
        row = snapshot.candidates[find_candidate(reader, named)]
    verdict = reader.verdict(row.id)
    if verdict is None or verdict.status != VerdictStatus.ACCEPTED:
        state = "was not vetted yet" if verdict is None else "was not accepted by the sandbox"
        raise NotInRun(f"candidate {row.id} ({display_name(row)}) {state}, so it cannot be trained; choose another")
    return Subject(row, graph_of(verdict))


def plan_of(reader: Reader, snapshot: Snapshot, subject: Subject, info: TaskInfo, wish: Wish) -> tuple[Plan, bool]:
    """The plan, and whether it was recorded before. Raises NotInRun if the loss has no parts or the wish contradicts the record."""
    recorded = plans(reader.events(kind=EventKind.AUTOPSY)).get(subject.row.id)
    if recorded is not None and not wish.anew:
        for what, wanted, there in (
            ("--seeds", wish.seeds, len(recorded.seeds)),
            ("--confirm", wish.confirming, len(recorded.confirming)),
            ("--rung", wish.rung, recorded.rung),
        ):
            if wanted not in (None, there):
                raise NotInRun(
                    f"the autopsy of {subject.name} was begun with {what} {there}, got {wanted}: looking first and then adding "
                    f"seeds would make its errors wrong. Leave out {what} to continue it, or begin another with --anew"
                )
        return recorded, True
    found = distinct_parts(subject.graph, _related(snapshot, subject.row.id))
    if not found:
        raise NotInRun(f"{subject.name} has no part that could be removed or reset: nothing to examine")
    seeds = wish.seeds or SEEDS
    confirming = wish.confirming or 2 * seeds
    used = tuple({e.seed for e in snapshot.evaluations} | {e.seed for e in reader.variant_evaluations(subject.row.id)})
    fresh = with_fresh_seeds(Seeds(search=used, final=()), seeds + confirming).final
    rung = info.rung(wish.rung or final_rung(info)).name
    return Plan(subject.row.id, rung, fresh[:seeds], fresh[seeds:], found), False


def distinct_parts(graph: VerifiedGraph, related: Sequence[VerifiedGraph]) -> tuple[Part, ...]:
    """The parts of a loss; of several whose edits give the same loss the first. Edits that leave the loss the same are left out."""
    seen = {canonical_hash(graph)}
    found = []
    for part in parts(graph, related):
        digest = canonical_hash(edited(graph, [part.edit]))
        if digest not in seen:
            seen.add(digest)
            found.append(part)
    return tuple(found)


def _related(snapshot: Snapshot, candidate: int) -> list[VerifiedGraph]:
    """The graphs of the parents and of the baseline."""
    ids = [edge.parent for edge in snapshot.parents.get(candidate, ())]
    ids += [snapshot.baseline.id] if snapshot.baseline else []
    return [graph for id in dict.fromkeys(ids) if (graph := snapshot.graph(id)) is not None]


def cost_text(autopsy: Autopsy, snapshot: Snapshot, info: TaskInfo, workers: int) -> str:
    """One paragraph: the number of trainings and about how long they take. Raises TaskError for a rung that the task lacks."""
    plan = autopsy.plan
    least, most = autopsy.least_trainings(), autopsy.most_trainings()
    own = [
        e.seconds
        for e in snapshot.evaluations
        if e.rung == plan.rung and e.candidate_id == plan.candidate and e.seconds
    ]
    each = fmean(own) if own else info.rung(plan.rung).estimated_seconds
    judging = info.judging(plan.rung)
    cost = ""
    if judging.tokens:
        usd = "" if judging.usd is None else f" and {judging.usd * most:.2f} USD"
        cost = f" Its judge may take at most {judging.tokens * most:,} tokens{usd}."
    time = f"{duration(least * each / workers)} to {duration(most * each / workers)}"
    return (
        f"{count(len(plan.parts), 'part')}, each removed or reset alone, on {count(len(plan.seeds), 'fresh seed')} at rung "
        f"{plan.rung}: {least:,} trainings or somewhat more, {most:,} at most, with the search for the smallest loss. "
        f"At {each:.2g} s each on {count(workers, 'worker')}: {time}.{cost}"
    )
