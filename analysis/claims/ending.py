"""How far a run has come, in words: unfinished, or finished without its final. Both limit what may be concluded."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.claims.comparison import Decision
from analysis.output.encode import one_line
from analysis.recorded import section
from analysis.snapshot import Snapshot
from analysis.wording import count
from archive.records import EventKind, EventRow

UNDECIDED = "not decided yet"
"""Remark on a finalist of an unfinished run."""


def unfinished(snapshot: Snapshot) -> bool:
    """Whether the last session of the run has not reached its end: it goes on, or was interrupted."""
    last = _last_mark(snapshot)
    return last is not None and last.kind == EventKind.SESSION_STARTED


def end_reason(snapshot: Snapshot) -> str:
    """Why a finished run ended; empty if it has not ended, or did not record why."""
    last = _last_mark(snapshot)
    payload = last.payload if last is not None and last.kind == EventKind.FINISHED else None
    return one_line(str(payload.get("reason") or ""), 200) if isinstance(payload, Mapping) else ""


def so_far(snapshot: Snapshot, decision: Decision) -> str:
    """What is still to come in an unfinished run, as the last part of a sentence."""
    if decision.fresh:
        return "by the trainings of the final that are recorded so far"
    early, whole = (section(snapshot.settings, "ladder").get(key) for key in ("early_seeds", "contender_seeds"))
    few = ""
    if isinstance(early, int) and isinstance(whole, int) and early < whole:
        few = f"; contenders have at most {early} of {count(whole, 'seed')} until the last proposal is trained"
    return f"on the seeds that selected it{few}, and only the final decides"


def without_final(snapshot: Snapshot, decision: Decision) -> str:
    """A sentence if the run ended before its final was trained; empty if it did not."""
    last = _last_mark(snapshot)
    if decision.fresh or last is None or last.kind != EventKind.FINISHED:
        return ""
    ladder, reason = section(snapshot.settings, "ladder"), end_reason(snapshot)
    seeds, whole = max((len(c.paired.seeds) for c in decision.finalists), default=0), ladder.get("contender_seeds")
    few = f", {seeds} of {count(whole, 'seed')} for a contender" if isinstance(whole, int) and seeds < whole else ""
    ended = f"ended{f' ({reason})' if reason else ''} before its final was trained"
    ended = "has no final (ladder.finalists is 0)" if ladder.get("finalists") == 0 else ended
    return f"The run {ended}: all this rests on the seeds that selected the losses{few}."


def _last_mark(snapshot: Snapshot) -> EventRow | None:
    marks = (EventKind.SESSION_STARTED, EventKind.FINISHED)
    return next((event for event in reversed(snapshot.events) if event.kind in marks), None)
