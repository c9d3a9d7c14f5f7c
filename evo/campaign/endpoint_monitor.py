"""Stop rule for the proposer's endpoint: how many consecutive failures, or replies without a loss, end the session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from analysis.output.encode import one_line
from fitness.chat.errors import AGAIN, Consequence, LLMError

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
    failures: int = 0
    without_loss: int = 0
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

    def found_nothing(self, step: int, why: str) -> None:
        """Count a reply without a loss."""
        self.without_loss += 1
        self.tell_once(f"no loss in the reply: {why}", step)
        self._unread = f"the last, of step {step}: {why}; `evopo show DIR --step {step} --reply` shows it"

    def found(self) -> None:
        """Reset the counts: a reply held a loss."""
        self.failures = self.without_loss = 0

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
                f"{self.without_loss} replies in a row held no loss ({self._unread}). Raise llm.max_tokens where replies are "
                f"empty or end early, or name another model in llm.model; {AGAIN}"
            )
        return None
