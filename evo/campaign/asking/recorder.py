"""Recording of the attempts of a request: the prompt before an attempt is sent, its failure, and the loss in its reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from analysis.recorded import recorded_parents
from archive.records import Origin, ProposalRow
from archive.store import Archive
from evo.campaign.training import recorded
from evo.proposing.llm.client import AttemptObserver, most_for
from evo.proposing.propose import Proposer, Unusable, read_reply
from evo.proposing.request import Request
from fitness.chat.errors import Consequence, LLMError
from fitness.chat.request import Message


@dataclass
class PendingRequest:
    """State of a request in progress. Times are seconds of the monotonic clock."""

    operator: str
    began: float = field(default_factory=time.monotonic)
    attempt: int = 0
    since: float = 0.0
    """When the current attempt was sent, or when the last one failed."""
    trouble: str = ""
    """Error of the last failed attempt."""
    again_at: float | None = None
    """When the next attempt will be sent; None while an attempt is in progress."""
    proposer: str = ""
    """Name of the proposer that is asked."""


class BudgetReached(Exception):
    """The budget does not allow another attempt of a request. The message names the limit."""


class AttemptRecorder(AttemptObserver):
    """Commits each attempt of a request with its prompt before it is sent, and its failure."""

    def __init__(
        self,
        archive: Archive,
        proposer: Proposer,
        request: Request,
        blocked: Callable[[], str | None],
        tell: Callable[[str], None],
    ) -> None:
        """`blocked` returns why the budget does not allow another attempt, else None; `tell` shows a line to the user."""
        self.archive = archive
        self.proposer = proposer
        self.request = request
        self.blocked = blocked
        self.tell = tell
        self.proposal = 0
        self.pending = PendingRequest(request.operator, proposer=request.proposer)

    def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
        request, endpoint = self.request, self.proposer.endpoint
        if self.pending.attempt and (limit := self.blocked()):  # earlier attempts may have used up the budget
            raise BudgetReached(limit)
        self.proposal = self.archive.request_proposal(
            request.step, attempt, request.operator, self.proposer.name, model or None, request.temperature,
            self.proposer.template(request), request.references, request.seen_event,
            [(message.role, message.content) for message in messages] or None,
            recorded(most_for(endpoint, messages)) if endpoint is not None else None,
        )  # fmt: skip
        pending = self.pending
        pending.attempt, pending.since, pending.again_at = attempt, time.monotonic(), None

    def failed(self, attempt: int, error: LLMError, next_in: float | None) -> None:
        skipped = next_in is None and error.consequence is Consequence.SKIP
        self.archive.fail_proposal(
            self.proposal, error.record, error.tokens_in, error.tokens_out, error.usd,
            ends_step=skipped, possibly_paid=error.possibly_paid,
        )  # fmt: skip
        pending, now = self.pending, time.monotonic()
        pending.since, pending.trouble, pending.again_at = now, error.message, now + (next_in or 0.0)

    def noted(self, text: str) -> None:
        self.tell(text)

    def cut_off(self) -> None:
        """Record that the session ended during the call, which may have been charged if it went to an endpoint."""
        if self.proposal and self.proposer.endpoint is None:
            self.gave_up("the session ended")
        elif self.proposal:
            self.archive.lose_proposal(self.proposal)

    def gave_up(self, why: str) -> None:
        """Record that a request of our own code ended without a reply. The next session repeats the step."""
        if self.proposal and self.proposer.endpoint is None:
            self.archive.fail_proposal(self.proposal, why)


def record_candidate(archive: Archive, proposal: ProposalRow, contract: str) -> int | Unusable:
    """Parse a recorded reply and record its candidate, with its parents. Returns the candidate's id, or why there is no loss."""
    said = read_reply(proposal.proposer, proposal.reply or "", contract)
    if isinstance(said, Unusable):
        archive.fail_proposal(proposal.id, said.message)
        return said
    parents = recorded_parents(proposal)
    return archive.add_candidate(Origin.PROPOSAL, said.name, said.thought, said.source, contract, proposal.id, parents)
