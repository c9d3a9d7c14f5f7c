"""How often in a row an endpoint may fail, or answer without a loss, before asking further is of no use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from analysis.output.encode import one_line
from fitness.chat.errors import AGAIN, Consequence, LLMError

FAILURES = 3
"""Proposals in a row whose requests bring no reply, whatever the reason, before the session ends."""
WITHOUT_LOSS = 8
"""Replies in a row that hold no loss, before it ends: weak models write prose now and then, and each reply may be paid for."""

LINE = 600
"""Characters of a line about an endpoint."""

logger = logging.getLogger(__name__)


@dataclass
class Patience:
    """Counts in the order in which answers come. Requests that are under way when it ends are still waited for, since they
    may be paid for: a reply with a loss among them shows that it was too early to end, and begins the counting anew.
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
        """The request of a step brought no reply."""
        self.failures += 1
        self._last = str(error)
        if error.consequence is Consequence.STOP:
            self._fatal = str(error)
        self.tell_once(f"no reply: {error}", step)

    def tell_once(self, text: str, step: int | None = None) -> None:
        """Each of the endpoint's complaints is shown once; what comes again is in the log alone, where each attempt is."""
        if text not in self._told:
            self._told.add(text)
            self.tell(one_line(text if step is None else f"Step {step}: {text}", LINE))

    def replied(self, text: str) -> None:
        """A reply came. One without a word shows nothing of the endpoint."""
        if text.strip():
            self.failures = 0

    def found_nothing(self, step: int, why: str) -> None:
        """The reply of a step held no loss."""
        self.without_loss += 1
        self.tell_once(f"no loss in the reply: {why}", step)
        self._unread = f"the last, of step {step}: {why}; `evopo show DIR --step {step} --reply` shows it"

    def found(self) -> None:
        """A reply held a loss."""
        self.failures = self.without_loss = 0

    @property
    def ended(self) -> str | None:
        """Why nothing more is to be asked for, and what to do about it, or None."""
        if self._fatal:
            return self._fatal
        if self.failures >= FAILURES:
            again = "" if AGAIN in self._last else f"; {AGAIN}"
            return f"{self.failures} requests in a row brought no reply, the last one so: {self._last}{again}"
        if self.without_loss >= WITHOUT_LOSS:
            return (
                f"{self.without_loss} replies in a row held no loss ({self._unread}). Raise llm.max_tokens where replies are "
                f"empty or end early, or name another model in llm.model; {AGAIN}"
            )
        return None
