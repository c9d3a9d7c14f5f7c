"""Stop rule for a proposer: how many consecutive failures, replies without a loss, or losses that are not new end the session."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from analysis.output.encode import one_line
from archive.query import Reader
from archive.records import CandidateRow
from fitness.chat.errors import AGAIN, Consequence, LLMError
from sandbox.verdicts.verdict import VerdictStatus

FAILURES = 3
"""Consecutive proposals without a reply, for any reason, that end the session."""
WITHOUT_LOSS = 8
"""Consecutive replies without a loss that end the session. Weak models sometimes write prose, and each reply may cost money."""

LINE = 600
"""Maximum characters of a message about an endpoint."""

logger = logging.getLogger(__name__)


@dataclass
class EndpointMonitor:
    """Counts failures and replies in the order in which they arrive.

    Requests in progress are still awaited after the limit is reached, since they may have been charged. If one of them brings a
    loss, the counts start again at 0.
    """

    tell: Callable[[str], None] = logger.info
    """Shows a line to the user."""
    give_up_after: int | None = None
    """Consecutive proposals without a new accepted loss that end the session; None: no number does."""
    section: str = "llm"
    """Section of the configuration that names the endpoint."""
    failures: int = 0
    without_loss: int = 0
    _not_new: list[Outcome] = field(default_factory=list)
    """Outcomes of the latest proposals, without a new loss among them."""
    _told: set[str] = field(default_factory=set)
    _fatal: str = ""
    _last: str = ""
    _unread: str = ""

    def failed(self, step: int, error: LLMError) -> None:
        """Count a request without a reply."""
        self.failures += 1
        self._last = str(error)
        if error.consequence is Consequence.STOP:
            self._fatal = str(error)
        self.tell_once(f"no reply: {error}", step)

    def tell_once(self, text: str, step: int | None = None) -> None:
        """Show a message to the user if it was not shown before. The log has a line for every attempt."""
        if text not in self._told:
            self._told.add(text)
            self.tell(one_line(text if step is None else f"Step {step}: {text}", LINE))

    def replied(self, text: str) -> None:
        """Count a reply. An empty reply does not show that the endpoint works."""
        if text.strip():
            self.failures = 0

    def read(self, step: int, why: str | None) -> None:
        """Count a reply that was read. `why`: why it holds no loss; None if it holds one, which sets the counts back to 0."""
        if why is None:
            self.failures = self.without_loss = 0
            return
        self.without_loss += 1
        self.tell_once(f"no loss in the reply: {why}", step)
        self._unread = f"the last, of step {step}: {why}; `evopo show DIR --step {step} --reply` shows it"

    def proposed(self, outcome: Outcome) -> None:
        """Count a proposal that was answered, by its outcome."""
        self._not_new = [] if outcome is Outcome.NEW else [*self._not_new, outcome]

    @property
    def fatal(self) -> bool:
        """Whether another request cannot help before the user changes something."""
        return bool(self._fatal)

    def try_again(self) -> None:
        """Allow one more request: a further failure, or reply without a loss, ends it again."""
        self.failures = min(self.failures, FAILURES - 1)
        self.without_loss = min(self.without_loss, WITHOUT_LOSS - 1)

    @property
    def ended(self) -> str | None:
        """Why no more proposals may be requested, and the remedy; None while they may."""
        if self._fatal:
            return self._fatal
        if self.failures >= FAILURES:
            again = "" if AGAIN in self._last else f"; {AGAIN}"
            return f"{self.failures} requests in a row got no reply; the last error: {self._last}{again}"
        if self.without_loss >= WITHOUT_LOSS:
            return (
                f"{self.without_loss} replies in a row held no loss ({self._unread}). Raise {self.section}.max_tokens "
                f"where replies are empty or end early, or name another model in {self.section}.model; {AGAIN}"
            )
        if self.give_up_after is not None and len(self._not_new) >= self.give_up_after:
            numbers = ", ".join(f"{number} {outcome}" for outcome, number in sorted(Counter(self._not_new).items()))
            return (
                f"{len(self._not_new)} proposals in a row held no new loss ({numbers}); `evopo show DIR` lists them. Name another "
                "model or higher llm.temperatures, or raise search.give_up_after; to go on to the final with the losses found, "
                f"set budget.proposals to the number already answered; {AGAIN}"
            )
        return None


class Outcome(StrEnum):
    """Outcome of an answered proposal, for the stop rule."""

    NEW = "new"
    DUPLICATE = "the same as an earlier loss"
    REFUSED = "refused by the sandbox"
    NO_LOSS = "without a loss in the reply"


def outcome_of(candidate: CandidateRow | None, reader: Reader) -> Outcome:
    """The outcome of an answered proposal after vetting; `candidate` is None if its reply held no loss."""
    verdict = reader.verdict(candidate.id) if candidate is not None else None
    if verdict is None:
        return Outcome.NO_LOSS
    if verdict.status != VerdictStatus.ACCEPTED:
        return Outcome.REFUSED
    return Outcome.NEW if verdict.is_new else Outcome.DUPLICATE
