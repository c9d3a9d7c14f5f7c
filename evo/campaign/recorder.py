"""Each attempt of a request, written down with its words before it leaves, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from archive.store import Archive
from evo.campaign.training import recorded
from evo.proposing.llm.client import AttemptObserver, most_for
from evo.proposing.propose import Proposer
from evo.proposing.request import Request
from fitness.chat.errors import Consequence, LLMError
from fitness.chat.request import Message


@dataclass
class Asking:
    """A request under way. Times are of the monotonic clock, in seconds."""

    operator: str
    began: float = field(default_factory=time.monotonic)
    attempt: int = 0
    since: float = 0.0
    """When the attempt left, or the one before it failed."""
    trouble: str = ""
    """Why the attempt before brought no reply."""
    again_at: float | None = None
    """When the next attempt leaves, while none is under way."""


class NoRoom(Exception):
    """The budget has no room for a further attempt of a request. The message names the limit."""


class AttemptRecorder(AttemptObserver):
    """Commits each attempt of a request, with its words, before it leaves, and its failure."""

    def __init__(
        self,
        archive: Archive,
        proposer: Proposer,
        request: Request,
        room: Callable[[], str | None],
        tell: Callable[[str], None],
    ) -> None:
        """`room` says why the budget has no room for a further attempt, or None; `tell` shows a line to the user."""
        self.archive = archive
        self.proposer = proposer
        self.request = request
        self.room = room
        self.tell = tell
        self.proposal = 0
        self.asking = Asking(request.operator)

    def started(self, attempt: int, model: str, messages: Sequence[Message]) -> None:
        request, endpoint = self.request, self.proposer.endpoint
        if self.asking.attempt and (full := self.room()):  # what the attempts before may have cost is spent by now
            raise NoRoom(full)
        self.proposal = self.archive.request_proposal(
            request.step, attempt, request.operator, self.proposer.name, model or None, request.temperature,
            self.proposer.template(request), request.references, request.seen_event,
            [(message.role, message.content) for message in messages] or None,
            recorded(most_for(endpoint, messages)) if endpoint is not None else None,
        )  # fmt: skip
        asking = self.asking
        asking.attempt, asking.since, asking.again_at = attempt, time.monotonic(), None

    def failed(self, attempt: int, error: LLMError, next_in: float | None) -> None:
        skipped = next_in is None and error.consequence is Consequence.SKIP
        self.archive.fail_proposal(
            self.proposal, error.record, error.tokens_in, error.tokens_out, error.usd,
            ends_step=skipped, possibly_paid=error.possibly_paid,
        )  # fmt: skip
        asking, now = self.asking, time.monotonic()
        asking.since, asking.trouble, asking.again_at = now, error.message, now + (next_in or 0.0)

    def noted(self, text: str) -> None:
        self.tell(text)

    def cut_off(self) -> None:
        """The session ends while the call is under way: it may have been paid for."""
        if self.proposal:
            self.archive.lose_proposal(self.proposal)
