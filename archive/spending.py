"""Cost of a run, computed from its rows and events."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from archive.records import PERSON, STUDIES, EvaluationRow, EventKind, EventRow, ProposalRow, ProposalState, Usage
from archive.sqlite.values import finite_or_null

TO_JUDGE, TO_PROPOSER = "judge", "proposer"
"""Payees of a charge, which is a payment that belongs to no proposal and no finished evaluation."""
COSTS = (
    EventKind.PROPOSAL_REQUESTED, EventKind.PROPOSAL_FAILED, EventKind.CHARGED, EventKind.EVALUATION_REQUEUED,
    EventKind.VARIANT_SCORED, EventKind.VARIANT_FAILED,
)  # fmt: skip
"""Kinds of events that have information about costs."""
_MOST, _ENDS_STEP, _POSSIBLY_PAID = "most", "ends_step", "possibly_paid"
"""Keys in the payloads of a proposal's events."""


@dataclass(frozen=True)
class Spending:
    """Cost of a run so far. `unpriced` replies came without a price, `possibly_paid` requests were lost.

    Tokens and USD are those that endpoints reported. For `at_most` of the requests they are the maximum cost instead.
    """

    proposals: int
    """Number of requests; a step may need several."""
    tokens_in: int
    tokens_out: int
    usd: float
    seconds: float
    unpriced: int
    possibly_paid: int
    evaluations: int
    """Number of finished evaluations, scored or failed."""
    evaluation_seconds: float
    evaluation_tokens: int
    """Tokens that were trained on; they are not paid for."""
    judge_tokens_in: int = 0
    judge_tokens_out: int = 0
    judge_usd: float = 0.0
    judge_unpriced: int = 0
    """Number of judge payments without a price."""
    judge_possibly_paid: int = 0
    """Number of interrupted trainings and requests whose judge may have been paid without a record."""
    steps: int = 0
    """Number of steps that count as proposals: their request was answered, whatever the reply."""
    at_most: int = 0
    """Number of requests that were or may have been answered, without a reported cost."""


def spending_of(
    proposals: Sequence[ProposalRow], evaluations: Sequence[EvaluationRow], events: Sequence[EventRow]
) -> Spending:
    """The cost of proposals, evaluations, and events of the kinds in COSTS. A person's losses are no proposals here."""
    proposals = [row for row in proposals if row.proposer != PERSON]
    finished = [row for row in evaluations if row.finished_event is not None]
    charges = [
        event.payload for event in events if event.kind == EventKind.CHARGED and isinstance(event.payload, Mapping)
    ]
    to_proposer = [usage_of(charge) for charge in charges if charge.get("to") == TO_PROPOSER]
    judged = [row.judged for row in finished if row.judged] + [usage_of(c) for c in charges if c.get("to") == TO_JUDGE]
    calls = _calls(proposals, events)
    return Spending(
        proposals=len(proposals),
        tokens_in=sum(call.usage.tokens_in for call in calls) + sum(usage.tokens_in for usage in to_proposer),
        tokens_out=sum(call.usage.tokens_out for call in calls) + sum(usage.tokens_out for usage in to_proposer),
        usd=sum(call.usage.usd or 0.0 for call in calls) + sum(usage.usd or 0.0 for usage in to_proposer),
        seconds=sum(row.seconds or 0.0 for row in proposals),
        unpriced=sum(call.usage.usd is None for call in calls if call.answered),
        possibly_paid=sum(row.state == ProposalState.LOST and row.operator not in STUDIES for row in proposals),
        evaluations=len(finished) + sum(map(of_study, events)),
        evaluation_seconds=sum(row.seconds or 0.0 for row in finished),
        evaluation_tokens=sum(row.tokens or 0 for row in finished),
        judge_tokens_in=sum(usage.tokens_in for usage in judged),
        judge_tokens_out=sum(usage.tokens_out for usage in judged),
        judge_usd=sum(usage.usd or 0.0 for usage in judged),
        judge_unpriced=sum(usage.usd is None for usage in judged),
        judge_possibly_paid=_cut_off(evaluations, charges, events)
        + sum(c.get("possibly_paid") is True for c in charges),
        steps=len(counted_steps(proposals, events)),
        at_most=sum(call.at_most for call in calls),
    )


# ---- requests ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CallCost:
    """Cost of a request. `at_most`: no cost was reported, and `usage` is its maximum."""

    usage: Usage
    answered: bool
    at_most: bool


def asked_at_most(most: Usage | None) -> dict[str, Any]:
    """Payload of `proposal_requested`: the maximum cost, if known."""
    return {} if most is None else {_MOST: asdict(most)}


def failed_call(ends_step: bool, possibly_paid: bool) -> dict[str, bool]:
    """Payload of `proposal_failed`: the flags that are true."""
    return {name: True for name, holds in ((_ENDS_STEP, ends_step), (_POSSIBLY_PAID, possibly_paid)) if holds}


def most_of(request: EventRow) -> Usage | None:
    """Maximum cost of a request, from its event; None if it was not recorded, as in archives of older versions."""
    most = request.payload.get(_MOST) if isinstance(request.payload, Mapping) else None
    return usage_of(most) if isinstance(most, Mapping) else None


def ends_step(failure: EventRow) -> bool:
    """Whether a failed request ended its step, from its event: it was answered, and a further attempt would not help."""
    return isinstance(failure.payload, Mapping) and failure.payload.get(_ENDS_STEP) is True


def counted_steps(proposals: Sequence[ProposalRow], events: Sequence[EventRow]) -> set[int]:
    """The steps that count as proposals. A step whose requests were not answered is requested again."""
    ended = {event.proposal_id for event in events if event.kind == EventKind.PROPOSAL_FAILED and ends_step(event)}
    return {row.step for row in proposals if row.reply is not None or row.id in ended}


def cost_of(row: ProposalRow, most: Usage | None, *, possibly_paid: bool) -> CallCost:
    """Cost of a request from its row; where token counts are missing, its maximum cost if that is known."""
    answered = row.reply is not None
    if most is None or None not in (row.tokens_in, row.tokens_out) or not (answered or possibly_paid):
        return CallCost(Usage(row.tokens_in or 0, row.tokens_out or 0, row.usd), answered, False)
    tokens_in = most.tokens_in if row.tokens_in is None else row.tokens_in
    tokens_out = most.tokens_out if row.tokens_out is None else row.tokens_out
    return CallCost(Usage(tokens_in, tokens_out, most.usd if row.usd is None else row.usd), answered, True)


def _calls(proposals: Sequence[ProposalRow], events: Sequence[EventRow]) -> list[CallCost]:
    most = {event.proposal_id: most_of(event) for event in events if event.kind == EventKind.PROPOSAL_REQUESTED}
    unseen = {e.proposal_id for e in events if e.kind == EventKind.PROPOSAL_FAILED and possibly_paid(e)}
    unseen |= {row.id for row in proposals if row.state == ProposalState.LOST}
    return [cost_of(row, most.get(row.id), possibly_paid=row.id in unseen) for row in proposals]


def possibly_paid(failure: EventRow) -> bool:
    """Whether a failed request may have been paid for all the same, by its event."""
    return isinstance(failure.payload, Mapping) and failure.payload.get(_POSSIBLY_PAID) is True


def of_study(event: EventRow) -> bool:
    """Whether an event records a training of a study of the search, which counts in its budget; those of an autopsy do not."""
    payload = event.payload if isinstance(event.payload, Mapping) else {}
    ended = event.kind in (EventKind.VARIANT_SCORED, EventKind.VARIANT_FAILED)
    return ended and str(payload.get("purpose")) in STUDIES


# ---- judges --------------------------------------------------------------------------------------------------------


def _cut_off(
    evaluations: Sequence[EvaluationRow], charges: Sequence[Mapping[str, Any]], events: Sequence[EventRow]
) -> int:
    """Number of interrupted trainings at a judged rung without a record of the judge's payment."""
    judged = {row.rung for row in evaluations if row.judged}
    cut_off = Counter(event.evaluation_id for event in events if event.kind == EventKind.EVALUATION_REQUEUED)
    known = Counter(charge.get("evaluation") for charge in charges if isinstance(charge.get("evaluation"), int))
    return sum(max(0, cut_off[row.id] - known[row.id]) for row in evaluations if row.rung in judged)


def charged(to: str, paid: Usage, evaluation: int | None) -> dict[str, Any]:
    """Payload of `charged`: the payee, the amount, and the evaluation if the payment was for one."""
    payload = {"to": to, **asdict(paid), "usd": finite_or_null(paid.usd)}
    return payload if evaluation is None else payload | {"evaluation": evaluation}


def usage_of(charge: Mapping[str, Any]) -> Usage:
    """The amount in a recorded charge. Values that are not numbers count as 0 or unknown: the archive may be another person's."""
    tokens_in, tokens_out, usd = (charge.get(name) for name in ("tokens_in", "tokens_out", "usd"))
    return Usage(
        tokens_in if isinstance(tokens_in, int) else 0,
        tokens_out if isinstance(tokens_out, int) else 0,
        float(usd) if isinstance(usd, int | float) else None,
    )
