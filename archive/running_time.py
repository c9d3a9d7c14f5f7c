"""Running time of the sessions of a run, from the times of its events."""

from __future__ import annotations

from datetime import datetime

from archive.records import BY_PEOPLE, EventKind, EventRow
from archive.spending import of_study

_BY_OTHER_COMMANDS = frozenset({
    EventKind.BASELINES, EventKind.SWEEP, EventKind.AUTOPSY, EventKind.EVALUATE, EventKind.POLICY_ADDED,
    EventKind.POLICY_FAILED, EventKind.ANSWERED, EventKind.JUDGE_ASKED, EventKind.JUDGEMENT_ADDED,
})  # fmt: skip
"""Kinds of events that are written while no session runs: one process at a time can write to an archive."""


class RunningTime:
    """Sum of the sessions' times, each from its start to its last event. Events are taken one by one, in order."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last: datetime | None = None
        """Time of the session's last event; None while no session runs."""
        self._begun = False

    @property
    def running(self) -> bool:
        """Whether a session runs after the last event taken."""
        return self._last is not None

    def take(self, event: EventRow) -> float:
        """Take the next event. Returns the seconds since the event before it in the same session, 0 if there is none."""
        if event.kind in BY_PEOPLE:  # perhaps while a session runs
            return 0.0
        at = datetime.fromisoformat(event.at)
        # Archives of early versions do not tell when sessions began: there the first event begins the only one.
        if event.kind == EventKind.SESSION_STARTED or not self._begun:
            self._last, self._begun = at, True
        if self._last is None or _by_another_command(event):
            self._last = None
            return 0.0
        passed = max(0.0, (at - self._last).total_seconds())
        self.seconds += passed
        self._last = None if event.kind == EventKind.FINISHED else at
        return passed


def _by_another_command(event: EventRow) -> bool:
    trained = event.kind in (EventKind.VARIANT_SCORED, EventKind.VARIANT_FAILED)
    return event.kind in _BY_OTHER_COMMANDS or (trained and not of_study(event))
