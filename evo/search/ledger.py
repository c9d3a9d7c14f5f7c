"""Accounting of a run's spending, event by event: proposals, judges, calls without an answer, and the time that replies and
trainings take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from analysis.recorded import Rows
from archive.records import PERSON, STUDIES, EventKind, EventRow, ProposalRow, Usage
from archive.spending import cost_of, ends_step, most_of, of_study, possibly_paid, usage_of
from evo.config.proposer_settings import LLMConfig
from evo.config.schema import Config
from evo.search.budget import Spent
from fitness.chat.costs import Prices
from fitness.task.protocol import TaskInfo

LONGEST_PROMPT = 8000
"""Tokens counted for a prompt if neither the endpoint nor the archive gives a number (older versions did not record a maximum). The
reply then counts with llm.max_tokens."""
RECENT = 20
"""Number of latest replies, and of latest trainings at each rung, whose time is kept: the load of a machine changes."""


class Ledger:
    """Running total of the spending. An unknown amount counts with its maximum."""

    def __init__(self, config: Config, info: TaskInfo) -> None:
        self._unknown = {name: _most_expensive(model) for name, model in config.endpoints.items()}
        """Maximum usage of a call of each language model, by name."""
        self._dearest = max(self._unknown.values(), key=lambda most: (most.usd or 0.0, most.tokens_out))
        """Maximum usage of a call of a model that is no longer in the configuration."""
        self._info = info
        self._spent = Spent()
        self._answered: set[int] = set()
        """Steps that count as proposals."""
        self._most: dict[int, Usage] = {}
        """Maximum usage of each open request, by proposal."""
        self._settled: set[int] = set()
        """Trainings that were cut off and whose judge's pay is recorded."""

        self.replies: deque[float] = deque(maxlen=RECENT)
        """Seconds of the latest replies."""
        self.trainings: dict[str, deque[float]] = {}
        """Seconds of the latest trainings by rung."""
        self.trained = 0.0
        """Seconds of all trainings that ended."""

    def spent(self, seconds: float) -> Spent:
        """The spending so far. `seconds`: running time over all sessions."""
        return replace(self._spent, seconds=seconds)

    def take(self, event: EventRow, reader: Rows) -> None:
        """Add the cost of one event."""
        handler = _HANDLERS.get(event.kind)
        if handler:
            handler(self, event, reader)

    def _requested(self, event: EventRow, reader: Rows) -> None:
        most = most_of(event)
        if event.proposal_id is not None and most is not None:
            self._most[event.proposal_id] = most

    def _received(self, event: EventRow, reader: Rows) -> None:
        assert event.proposal_id is not None
        row = reader.proposal(event.proposal_id)
        self._count(row)
        self._pay(row, event)
        if row.seconds is not None:
            self.replies.append(row.seconds)

    def _failed(self, event: EventRow, reader: Rows) -> None:
        assert event.proposal_id is not None
        row = reader.proposal(event.proposal_id)
        if ends_step(event):
            self._count(row)
        if row.reply is None:  # else its cost was counted when the reply arrived
            self._pay(row, event)

    def _count(self, row: ProposalRow) -> None:
        if row.proposer == PERSON:  # nobody was asked for it
            return
        self._answered.add(row.step)
        self._spent = replace(self._spent, proposals=len(self._answered))

    def _pay(self, row: ProposalRow, ended: EventRow) -> None:
        most = self._most.pop(row.id, None) or (self._unknown.get(row.proposer, self._dearest) if row.model else None)
        paid = cost_of(row, most, possibly_paid=possibly_paid(ended)).usage
        self._add(paid.tokens_in + paid.tokens_out, paid.usd)

    def _lost(self, event: EventRow, reader: Rows) -> None:
        if event.proposal_id is not None and reader.proposal(event.proposal_id).operator in STUDIES:
            return
        self._spent = replace(self._spent, possibly_paid=self._spent.possibly_paid + 1)
        if event.proposal_id is not None and (most := self._most.pop(event.proposal_id, None)):
            self._add(most.tokens_in + most.tokens_out, most.usd)

    def _measured(self, event: EventRow, reader: Rows) -> None:
        assert event.evaluation_id is not None
        row = reader.evaluation(event.evaluation_id)
        judged = row.judged
        if row.seconds is not None:
            self.trained += row.seconds
            self.trainings.setdefault(row.rung, deque(maxlen=RECENT)).append(row.seconds)
        self._spent = replace(self._spent, evaluations=self._spent.evaluations + 1)
        if judged:
            self._add(judged.tokens_in + judged.tokens_out, judged.usd)

    def _studied(self, event: EventRow, reader: Rows) -> None:
        if of_study(event):
            self._spent = replace(self._spent, evaluations=self._spent.evaluations + 1)

    def _charged(self, event: EventRow, reader: Rows) -> None:
        charge = event.payload if isinstance(event.payload, Mapping) else {}
        paid = usage_of(charge)
        self._add(paid.tokens_in + paid.tokens_out, paid.usd)
        if isinstance(evaluation := charge.get("evaluation"), int):
            self._settled.add(evaluation)

    def _requeued(self, event: EventRow, reader: Rows) -> None:
        """A training was cut off. Its judge may have been paid, unless the payment is recorded."""
        assert event.evaluation_id is not None
        if event.evaluation_id in self._settled:
            self._settled.discard(event.evaluation_id)
        elif self._info.judging(reader.evaluation(event.evaluation_id).rung):
            self._spent = replace(self._spent, possibly_paid=self._spent.possibly_paid + 1)

    def _add(self, tokens: int, usd: float | None) -> None:
        self._spent = replace(self._spent, tokens=self._spent.tokens + tokens, usd=self._spent.usd + (usd or 0.0))


def _most_expensive(model: LLMConfig) -> Usage:
    most = LONGEST_PROMPT, model.max_tokens
    return Usage(*most, Prices(model.usd_per_million_in or 0.0, model.usd_per_million_out or 0.0).usd(*most))


_HANDLERS: Mapping[str, Callable[[Ledger, EventRow, Rows], None]] = {
    EventKind.PROPOSAL_REQUESTED: Ledger._requested,
    EventKind.PROPOSAL_RECEIVED: Ledger._received,
    EventKind.PROPOSAL_FAILED: Ledger._failed,
    EventKind.PROPOSAL_LOST: Ledger._lost,
    EventKind.EVALUATION_SCORED: Ledger._measured,
    EventKind.EVALUATION_FAILED: Ledger._measured,
    EventKind.VARIANT_SCORED: Ledger._studied,
    EventKind.VARIANT_FAILED: Ledger._studied,
    EventKind.EVALUATION_REQUEUED: Ledger._requeued,
    EventKind.CHARGED: Ledger._charged,
}
