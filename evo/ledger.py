"""What a run has paid, event by event: for proposals, for judges, and for what never brought an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from archive.query import Reader
from archive.records import EventKind, EventRow, ProposalRow
from archive.spending import usage_of
from evo.budget import Spent
from evo.config import Config
from fitness.chat.errors import ANSWERED_UNSEEN, LLMError
from fitness.costs import Usage
from fitness.task import TaskInfo

LONGEST_PROMPT = 8000
"""Tokens that a prompt is counted with where the endpoint does not tell; the reply then counts with llm.max_tokens."""


class Ledger:
    """Adds up. What is not known counts with the most that it may have been."""

    def __init__(self, config: Config, info: TaskInfo) -> None:
        self._unknown = Usage(LONGEST_PROMPT, config.llm.max_tokens)
        prices = config.llm.usd_per_million_in, config.llm.usd_per_million_out
        self._unknown_usd = (LONGEST_PROMPT * (prices[0] or 0.0) + config.llm.max_tokens * (prices[1] or 0.0)) / 1e6
        self._info = info
        self._spent = Spent()
        self._answered: set[int] = set()
        self._settled: set[int] = set()
        """Trainings that were cut off, and it is recorded what their judge was paid."""

    def spent(self, seconds: float) -> Spent:
        """What has been spent, given the seconds over all sessions."""
        return replace(self._spent, seconds=seconds)

    def take(self, event: EventRow, reader: Reader) -> None:
        """Take in one event."""
        handler = _HANDLERS.get(event.kind)
        if handler:
            handler(self, event, reader)

    def _received(self, event: EventRow, reader: Reader) -> None:
        assert event.proposal_id is not None
        row = reader.proposal(event.proposal_id)
        self._answered.add(row.step)
        self._spent = replace(self._spent, proposals=len(self._answered))
        self._pay(row)

    def _failed(self, event: EventRow, reader: Reader) -> None:
        assert event.proposal_id is not None
        row = reader.proposal(event.proposal_id)
        if row.reply is None:  # else what it cost was counted when it came
            self._pay(row)

    def _pay(self, row: ProposalRow) -> None:
        answered = row.reply is not None or LLMError.from_record(row.error or "").kind in ANSWERED_UNSEEN
        if row.model and answered and (row.tokens_in is None or row.tokens_out is None):
            self._add(self._unknown.tokens, self._unknown_usd)
        else:
            self._add((row.tokens_in or 0) + (row.tokens_out or 0), row.usd)

    def _lost(self, event: EventRow, reader: Reader) -> None:
        self._spent = replace(self._spent, possibly_paid=self._spent.possibly_paid + 1)

    def _measured(self, event: EventRow, reader: Reader) -> None:
        assert event.evaluation_id is not None
        judged = reader.evaluation(event.evaluation_id).judged
        self._spent = replace(self._spent, evaluations=self._spent.evaluations + 1)
        if judged:
            self._add(judged.tokens_in + judged.tokens_out, judged.usd)

    def _charged(self, event: EventRow, reader: Reader) -> None:
        charge = event.payload if isinstance(event.payload, Mapping) else {}
        paid = usage_of(charge)
        self._add(paid.tokens_in + paid.tokens_out, paid.usd)
        if isinstance(evaluation := charge.get("evaluation"), int):
            self._settled.add(evaluation)

    def _requeued(self, event: EventRow, reader: Reader) -> None:
        """A training was cut off: its judge may have been paid, unless it is recorded what."""
        assert event.evaluation_id is not None
        if event.evaluation_id in self._settled:
            self._settled.discard(event.evaluation_id)
        elif self._info.judging(reader.evaluation(event.evaluation_id).rung):
            self._spent = replace(self._spent, possibly_paid=self._spent.possibly_paid + 1)

    def _add(self, tokens: int, usd: float | None) -> None:
        self._spent = replace(self._spent, tokens=self._spent.tokens + tokens, usd=self._spent.usd + (usd or 0.0))


_HANDLERS: Mapping[str, Callable[[Ledger, EventRow, Reader], None]] = {
    EventKind.PROPOSAL_RECEIVED: Ledger._received,
    EventKind.PROPOSAL_FAILED: Ledger._failed,
    EventKind.PROPOSAL_LOST: Ledger._lost,
    EventKind.EVALUATION_SCORED: Ledger._measured,
    EventKind.EVALUATION_FAILED: Ledger._measured,
    EventKind.EVALUATION_REQUEUED: Ledger._requeued,
    EventKind.CHARGED: Ledger._charged,
}
