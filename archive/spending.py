"""What a run has cost, added up from its rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from archive.records import EvaluationRow, EventKind, EventRow, ProposalRow, ProposalState, Spending, Usage

TO_JUDGE, TO_PROPOSER = "judge", "proposer"
"""Whom a charge was paid to that belongs to no proposal and no finished evaluation."""


def spending_of(
    proposals: Sequence[ProposalRow], evaluations: Sequence[EvaluationRow], events: Sequence[EventRow]
) -> Spending:
    """Adds up proposals, evaluations and the events of kind `charged` and `evaluation_requeued`."""
    finished = [row for row in evaluations if row.finished_event is not None]
    answered = [row for row in proposals if row.reply is not None]
    charges = [
        event.payload for event in events if event.kind == EventKind.CHARGED and isinstance(event.payload, Mapping)
    ]
    to_proposer = [usage_of(charge) for charge in charges if charge.get("to") == TO_PROPOSER]
    judged = [row.judged for row in finished if row.judged] + [usage_of(c) for c in charges if c.get("to") == TO_JUDGE]
    return Spending(
        proposals=len(proposals),
        tokens_in=sum(row.tokens_in or 0 for row in proposals) + sum(usage.tokens_in for usage in to_proposer),
        tokens_out=sum(row.tokens_out or 0 for row in proposals) + sum(usage.tokens_out for usage in to_proposer),
        usd=sum(row.usd or 0.0 for row in proposals) + sum(usage.usd or 0.0 for usage in to_proposer),
        seconds=sum(row.seconds or 0.0 for row in proposals),
        unpriced=sum(row.usd is None for row in answered),
        possibly_paid=sum(row.state == ProposalState.LOST for row in proposals),
        evaluations=len(finished),
        evaluation_seconds=sum(row.seconds or 0.0 for row in finished),
        evaluation_tokens=sum(row.tokens or 0 for row in finished),
        judge_tokens_in=sum(usage.tokens_in for usage in judged),
        judge_tokens_out=sum(usage.tokens_out for usage in judged),
        judge_usd=sum(usage.usd or 0.0 for usage in judged),
        judge_unpriced=sum(usage.usd is None for usage in judged),
        judge_possibly_paid=_cut_off(evaluations, charges, events),
    )


def _cut_off(
    evaluations: Sequence[EvaluationRow], charges: Sequence[Mapping[str, Any]], events: Sequence[EventRow]
) -> int:
    """Trainings at a judged rung that were cut off without a record of what their judge was paid."""
    judged = {row.rung for row in evaluations if row.judged}
    cut_off = Counter(event.evaluation_id for event in events if event.kind == EventKind.EVALUATION_REQUEUED)
    known = Counter(charge.get("evaluation") for charge in charges if isinstance(charge.get("evaluation"), int))
    return sum(max(0, cut_off[row.id] - known[row.id]) for row in evaluations if row.rung in judged)


def usage_of(charge: Mapping[str, Any]) -> Usage:
    """A charge as it was recorded; whatever is no number counts as nothing, since the archive may be a stranger's."""
    tokens_in, tokens_out, usd = (charge.get(name) for name in ("tokens_in", "tokens_out", "usd"))
    return Usage(
        tokens_in if isinstance(tokens_in, int) else 0,
        tokens_out if isinstance(tokens_out, int) else 0,
        float(usd) if isinstance(usd, int | float) else None,
    )
