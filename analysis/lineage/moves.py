"""Moves of the search: for each proposal the declared operator, the measured move and the outcome; phases of a run.

A language model that is asked to refine may invent something new. So the move is measured by three distances to the parents:

    behaviour     of the fingerprints (gradients at fixed test inputs): 0 same function up to scale, 1 unrelated, 2 opposed
    shape         of the descriptors (convexity, tails, slope, ...): mean over shared descriptors, 0 to 1 (Gower 1971)
    edit size     number of operations to remove and to add, a lower bound of the graph edit distance

and by the share of each parent's expressions in the child. A move counts as `refine` if half or more of the child's expressions
come from one parent, as `combine` if several parents contributed expressions that the others lack, otherwise as `explore`.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from analysis import stats
from analysis.claims.comparison import best_arm
from analysis.snapshot import CandidateStatus, Snapshot
from archive.records import STUDIES, SUMMARISE, CandidateRow, Operator, ProposalRow, ProposalState
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.closeness import version

KEPT = 0.5
"""Smallest share of a child's expressions from one parent for the move to count as `refine`."""

TAKEN = 0.15
"""Smallest share of a child's expressions that each of two parents alone must contribute for the move to count as `combine`."""

_MEASURABLE = frozenset({Operator.EXPLORE, Operator.REFINE, Operator.COMBINE})
"""Operators whose moves can be recognised from reuse. A repair keeps an unknown part of its parent, and the intended move of an
added operator is not known here."""

_INPUT_ARITHMETIC = frozenset({"add", "sub", "mul", "div", "neg"})
"""Operations that only combine inputs: nearly every loss has rho and beta * rho, so sharing them does not count as reuse."""


class MoveOutcome(StrEnum):
    """Outcome of a proposal."""

    SCORED = CandidateStatus.SCORED
    DUPLICATE = CandidateStatus.DUPLICATE
    REFUSED = CandidateStatus.REFUSED
    TRAINING_FAILED = "training failed"
    UNUSABLE = "no loss in the reply"
    NO_IMPROVEMENT = "no improvement found"
    """Of a study: it proposes no loss."""
    CALL_FAILED = "call failed"
    LOST = "reply lost"
    OPEN = "under way"


_OF_STATUS = {
    CandidateStatus.SCORED: MoveOutcome.SCORED,
    CandidateStatus.DUPLICATE: MoveOutcome.DUPLICATE,
    CandidateStatus.REFUSED: MoveOutcome.REFUSED,
    CandidateStatus.FAILED: MoveOutcome.TRAINING_FAILED,
}


@dataclass(frozen=True)
class Move:
    """One proposal. Distances are to the nearest parent; None where a fingerprint or graph is missing."""

    proposal: int
    step: int
    declared: str
    """The requested operator: one of `Operator`, or an added one."""
    outcome: MoveOutcome
    model: str | None = None
    candidate: int | None = None
    accepted: bool = False
    """Whether it gave a new loss that the sandbox accepted."""
    parents: tuple[int, ...] = ()
    measured: Operator | None = None
    behaviour: float | None = None
    shape: float | None = None
    edit_size: int | None = None
    reuse: tuple[float, ...] = ()
    """Share of the child's expressions that occur in each parent, in the order of `parents`."""
    gain: float | None = None
    """Paired difference to the best parent, at the highest rung where both have scores. Positive: the child is better."""
    significant: bool = False
    """Whether that gain is positive and its 95 % interval excludes zero, and the loss has no caution."""


@dataclass(frozen=True)
class OperatorSummary:
    """Results of one operator, or of one operator and model."""

    label: str
    outcomes: Mapping[MoveOutcome, int]
    proposals: int
    accepted: int
    improved: int
    significant: int
    compared: int
    """Number of proposals with a known gain over their best parent."""
    as_declared: int
    measured: int
    """Number of proposals whose move was measured; `as_declared` of them made the move of their operator."""
    behaviour: float | None
    edit_size: float | None
    """Median distances to the nearest parent."""

    @property
    def acceptance(self) -> stats.Interval | None:
        """95 % interval of the rate of new, accepted losses."""
        return stats.wilson(self.accepted, self.proposals)


@dataclass(frozen=True)
class OperatorPhase:
    """A range of steps in which one operator has the most proposals."""

    first: int
    last: int
    operator: str
    share: float
    """Share of this operator among the proposals of the phase."""
    focus: int | None
    """The first parent of more than half of the proposals; None where there is none."""


def moves(snapshot: Snapshot) -> list[Move]:
    """All proposals, in order of steps."""
    return snapshot.once(_moves)


def _moves(snapshot: Snapshot) -> list[Move]:
    made = {row.proposal_id: row for row in snapshot.candidates.values() if row.proposal_id is not None}
    asked = (row for row in snapshot.proposals.values() if row.operator != SUMMARISE)  # a summary is no loss
    proposals = sorted(asked, key=lambda row: (row.step, row.attempt))
    return [_move(snapshot, proposal, made.get(proposal.id)) for proposal in proposals]


def summaries(moves: Sequence[Move], *, by_model: bool = False) -> list[OperatorSummary]:
    """Results per operator, or per operator and model, in the order of `Operator`. Added operators follow, by name."""
    groups: dict[tuple[int, str], list[Move]] = {}
    order = in_order(move.declared for move in moves)
    for move in moves:
        label = f"{move.declared} · {move.model or 'built in'}" if by_model else move.declared
        groups.setdefault((order.index(move.declared), label), []).append(move)
    return [_summary(label, groups[key, label]) for key, label in sorted(groups)]


def in_order(names: Iterable[str]) -> list[str]:
    """Distinct operators in the order of `Operator`. Added operators follow, by name."""
    known = list[str](Operator)
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))


def phases(moves: Sequence[Move]) -> list[OperatorPhase]:
    """Phases of a run: ranges of steps with the same most frequent operator in a window around each proposal.

    The window is a tenth of the proposals, at least seven. A short range is added to the one before.
    """
    if not moves:
        return []
    window = max(7, len(moves) // 10)
    leaders = [_leader(moves[max(0, i - window // 2) : i + window // 2 + 1]) for i in range(len(moves))]
    stretches: list[list[int]] = []
    for index, leader in enumerate(leaders):
        if stretches and leaders[stretches[-1][0]] == leader:
            stretches[-1].append(index)
        else:
            stretches.append([index])
    merged: list[list[int]] = []
    for stretch in stretches:
        same = merged and leaders[merged[-1][0]] == leaders[stretch[0]]
        if merged and (same or len(stretch) < window // 2):
            merged[-1] += stretch
        else:
            merged.append(stretch)
    return [_phase([moves[i] for i in stretch], leaders[stretch[0]]) for stretch in merged]


def behaviour_distance(ours: Any, theirs: Any) -> float | None:
    """1 - cosine of two fingerprints' vectors. None if one is missing or zero, or if their lengths or formats differ."""
    if _format(ours) != _format(theirs):
        return None
    a, b = _direction(ours), _direction(theirs)
    if a is None or b is None or len(a) != len(b):
        return None
    # Both have unit length, so that products of very large gradients (which stand for infinite ones) do not overflow.
    return 1 - math.fsum(x * y for x, y in zip(a, b, strict=True))


def shape_distance(ours: Any, theirs: Any) -> float | None:
    """Gower's distance of two sets of descriptors, with relative differences of numbers. None without a shared descriptor."""
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return None
    shared = [name for name in ours if name in theirs and ours[name] is not None and theirs[name] is not None]
    return stats.mean([_relative_difference(ours[name], theirs[name]) for name in shared]) if shared else None


def edit_size(ours: VerifiedGraph, theirs: VerifiedGraph) -> int:
    """Number of operations (with attributes) to remove from and add to one graph to get those of the other."""
    a, b = _labels(ours), _labels(theirs)
    return (a - b).total() + (b - a).total()


def expressions(graph: VerifiedGraph) -> frozenset[int]:
    """Hashes of the distinct expressions of a graph. Equal structure gives equal hashes, whatever the constants.

    Sums, products and quotients of inputs only are left out. Hashes are comparable within one process only.
    """
    hashes: list[int] = []
    plain: list[bool] = []
    for node in graph.nodes:
        attributes = None if node.op == "const" else _frozen(node.attrs)
        hashes.append(hash((node.op, attributes, tuple(hashes[a] for a in node.args))))
        plain.append(node.op == "input" or (node.op in _INPUT_ARITHMETIC and all(plain[a] for a in node.args)))
    return frozenset(h for h, p, node in zip(hashes, plain, graph.nodes, strict=True) if node.args and not p)


def measured_operator(reuse: Sequence[float], alone: Sequence[float]) -> Operator:
    """The measured move, from the share of the child's expressions in each parent (`reuse`) and in that parent only (`alone`)."""
    if sum(share >= TAKEN for share in alone) >= 2:
        return Operator.COMBINE
    return Operator.REFINE if any(share >= KEPT for share in reuse) else Operator.EXPLORE


# ---- one proposal --------------------------------------------------------------------------------------------------


def _move(snapshot: Snapshot, proposal: ProposalRow, candidate: CandidateRow | None) -> Move:
    if candidate is None:
        return Move(proposal.id, proposal.step, proposal.operator, _without_candidate(proposal), proposal.model)
    status = snapshot.status(candidate.id)
    parents = tuple(dict.fromkeys(edge.parent for edge in snapshot.parents.get(candidate.id, ())))
    gain = _gain(snapshot, candidate.id, parents)
    return Move(
        proposal=proposal.id,
        step=proposal.step,
        declared=proposal.operator,
        outcome=_OF_STATUS.get(status, MoveOutcome.OPEN),
        model=proposal.model,
        candidate=candidate.id,
        accepted=status in (CandidateStatus.SCORED, CandidateStatus.FAILED, CandidateStatus.ACCEPTED),
        parents=parents,
        gain=gain.difference if gain else None,
        significant=_is_significant(gain) and not snapshot.caution(candidate.id),
        **_distances(snapshot, candidate.id, parents),
    )


def _without_candidate(proposal: ProposalRow) -> MoveOutcome:
    if proposal.operator in STUDIES and proposal.state is ProposalState.FAILED:
        return MoveOutcome.NO_IMPROVEMENT if proposal.reply is not None else MoveOutcome.LOST
    if proposal.state is ProposalState.FAILED:
        return MoveOutcome.UNUSABLE if proposal.reply is not None else MoveOutcome.CALL_FAILED
    return MoveOutcome.LOST if proposal.state is ProposalState.LOST else MoveOutcome.OPEN


def _distances(snapshot: Snapshot, child: int, parents: Sequence[int]) -> dict[str, Any]:
    verdict = snapshot.verdicts.get(child)
    above = [snapshot.verdicts[parent] for parent in parents if parent in snapshot.verdicts]
    if verdict is None:
        return {}
    found: dict[str, Any] = {
        "behaviour": _least(behaviour_distance(verdict.fingerprint, row.fingerprint) for row in above),
        "shape": _least(shape_distance(verdict.descriptors, row.descriptors) for row in above),
    }
    graph = snapshot.graph(child)
    graphs = [snapshot.graph(parent) for parent in parents]
    known = [g for g in graphs if g is not None]
    if graph is None or not known or len(known) < len(graphs):
        return found
    own = expressions(graph)
    theirs = [expressions(g) for g in known]
    found["edit_size"] = min(edit_size(graph, g) for g in known)
    if own:
        found["reuse"] = tuple(len(own & part) / len(own) for part in theirs)
        alone = [
            len((own & part).difference(*(p for j, p in enumerate(theirs) if j != i))) / len(own)
            for i, part in enumerate(theirs)
        ]
        found["measured"] = measured_operator(found["reuse"], alone)
    return found


def _gain(snapshot: Snapshot, child: int, parents: Sequence[int]) -> stats.Paired | None:
    for rung in reversed(snapshot.rungs):
        arms = {arm: scores for id in (child, *parents) for arm, scores in snapshot.arms(id, rung).items()}
        own = best_arm({arm: scores for arm, scores in arms.items() if arm.candidate == child})
        best = best_arm({arm: scores for arm, scores in arms.items() if arm.candidate != child})
        if own is not None and best is not None and (pair := stats.paired(arms[own], arms[best])) is not None:
            return pair
    return None


def _is_significant(gain: stats.Paired | None) -> bool:
    return gain is not None and gain.difference > 0 and gain.p_value is not None and gain.p_value < stats.SIGNIFICANCE


def _labels(graph: VerifiedGraph) -> Counter[tuple[str, tuple[Any, ...]]]:
    return Counter((node.op, _frozen(node.attrs)) for node in graph.nodes)


def _frozen(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted((name, repr(value)) for name, value in attributes.items()))


def _format(fingerprint: Any) -> str:
    return version(str(fingerprint.get("key"))) if isinstance(fingerprint, Mapping) else ""


def _direction(fingerprint: Any) -> list[float] | None:
    """The vector scaled to unit length; values that are not finite numbers count as 0. None without a non-zero value."""
    values = fingerprint.get("vector") if isinstance(fingerprint, Mapping) else None
    numbers = [_number(value) or 0.0 for value in values] if isinstance(values, list) else []
    largest = max(map(abs, numbers), default=0.0)
    if not largest:
        return None
    scaled = [number / largest for number in numbers]
    length = math.hypot(*scaled)
    return [number / length for number in scaled]


def _relative_difference(ours: Any, theirs: Any) -> float:
    a, b = _number(ours), _number(theirs)
    if a is None or b is None:
        return float(ours != theirs)
    largest = max(abs(a), abs(b))
    return abs(a / largest - b / largest) / (abs(a / largest) + abs(b / largest)) if a != b else 0.0


def _number(value: Any) -> float | None:
    """A finite number, else None. The archive of another person may hold any value here."""
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _least(distances: Iterable[float | None]) -> float | None:
    return min((d for d in distances if d is not None), default=None)


# ---- many proposals ------------------------------------------------------------------------------------------------


def _summary(label: str, moves: Sequence[Move]) -> OperatorSummary:
    compared = [move for move in moves if move.gain is not None]
    measured = [m for m in moves if m.measured is not None and m.declared in _MEASURABLE]
    return OperatorSummary(
        label=label,
        outcomes=Counter(move.outcome for move in moves),
        proposals=len(moves),
        accepted=sum(move.accepted for move in moves),
        improved=sum(move.gain is not None and move.gain > 0 for move in compared),
        significant=sum(move.significant for move in compared),
        compared=len(compared),
        as_declared=sum(move.measured == move.declared for move in measured),
        measured=len(measured),
        behaviour=_median(move.behaviour for move in moves),
        edit_size=_median(move.edit_size for move in moves),
    )


def _median(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def _leader(moves: Sequence[Move]) -> str:
    counts = Counter(move.declared for move in moves)
    return max(in_order(counts), key=lambda operator: counts[operator])


def _phase(moves: Sequence[Move], leader: str) -> OperatorPhase:
    starts = Counter(move.parents[0] for move in moves if move.parents)
    parent, count = starts.most_common(1)[0] if starts else (None, 0)
    return OperatorPhase(
        first=moves[0].step,
        last=moves[-1].step,
        operator=leader,
        share=sum(move.declared == leader for move in moves) / len(moves),
        focus=parent if count > len(moves) / 2 else None,
    )
