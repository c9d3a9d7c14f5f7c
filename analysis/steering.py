"""What people did to a run, read from its events: losses they gave to it, pins, bans and notes.

Payloads. Every event of `archive.records.BY_PEOPLE` has {"author": "person"} and: `injected` {"name", "file", "sha256", "source"};
`pinned` and `unpinned` nothing, their candidate is the event's; `banned` and `unbanned` either the event's candidate or
{"descriptor", "value"}; `noted` {"text"}, on the event's candidate or, without one, on the run. The event `candidate_added` of a
seed loss of the user has {"given": {"key", "file"}} or {"given": {"key", "run", "candidate"}}.
The texts are untrusted: escape them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from archive.records import EventKind, EventRow

LONGEST_NOTE = 2000
"""Maximum characters of a note."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a seed loss comes from that the user gave to the run."""

    key: str
    """Identifies its content: a hash of the file, or the canonical hash of the candidate of another run."""
    file: str = ""
    """Name of the file, without its folder; empty for a candidate of a run."""
    run: str = ""
    """Name and seed of the run; empty for a file."""
    candidate: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The payload of the event that adds the loss."""
        own = {"file": self.file} if self.file else {"run": self.run, "candidate": self.candidate}
        return {"given": {"key": self.key, **own}}

    @property
    def words(self) -> str:
        """The origin in words; untrusted text."""
        return f"from {self.file}" if self.file else f"candidate {self.candidate} of run {self.run}"


def provenance_in(event: EventRow) -> Provenance | None:
    """Where the candidate of an event `candidate_added` comes from; None unless the user gave it to the run."""
    found = event.payload.get("given") if isinstance(event.payload, Mapping) else None
    if event.kind != EventKind.CANDIDATE_ADDED or not isinstance(found, Mapping):
        return None
    candidate = found.get("candidate")
    return Provenance(
        _text(found.get("key")), _text(found.get("file")), _text(found.get("run")),
        candidate if isinstance(candidate, int) and not isinstance(candidate, bool) else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Injected:
    """A loss that a person gave to a run after its start. `event` identifies it."""

    event: int
    name: str
    file: str
    sha256: str
    source: str


def injected_in(event: EventRow) -> Injected:
    """The loss in an event `injected`. Parts that are missing are empty."""
    payload = event.payload if isinstance(event.payload, Mapping) else {}
    return Injected(event.id, *(_text(payload.get(part)) for part in ("name", "file", "sha256", "source")))


@dataclass(frozen=True, slots=True)
class Note:
    """A person's note. `candidate` is None for a note on the run."""

    at: str
    candidate: int | None
    text: str


@dataclass
class Steering:
    """The pins, bans and notes that hold after the events taken so far."""

    pinned: set[int] = field(default_factory=set)
    banned: set[int] = field(default_factory=set)
    banned_descriptors: set[tuple[str, str]] = field(default_factory=set)
    """Name of each descriptor, and its value in the form of `shown_value`."""
    notes: list[Note] = field(default_factory=list)

    @classmethod
    def of(cls, events: Iterable[EventRow]) -> Steering:
        """The state after all of these events."""
        steering = cls()
        for event in events:
            steering.take(event)
        return steering

    def take(self, event: EventRow) -> None:
        """Apply one event of any kind."""
        candidate, payload = event.candidate_id, event.payload if isinstance(event.payload, Mapping) else {}
        match event.kind:
            case EventKind.PINNED if candidate is not None:
                self.pinned.add(candidate)
            case EventKind.UNPINNED if candidate is not None:
                self.pinned.discard(candidate)
            case EventKind.BANNED if candidate is not None:
                self.banned.add(candidate)
            case EventKind.UNBANNED if candidate is not None:
                self.banned.discard(candidate)
            case EventKind.BANNED:
                self.banned_descriptors.add(_descriptor(payload))
            case EventKind.UNBANNED:
                self.banned_descriptors.discard(_descriptor(payload))
            case EventKind.NOTED:
                self.notes.append(Note(event.at, candidate, _text(payload.get("text"))[:LONGEST_NOTE]))

    def bans(self, candidate: int, descriptors: Mapping[str, Any]) -> bool:
        """Whether a candidate with these descriptors may not be a parent and is left out of prompts."""
        return candidate in self.banned or any(
            name in descriptors and shown_value(descriptors[name]) == value for name, value in self.banned_descriptors
        )


def shown_value(value: object) -> str:
    """A descriptor's value as `evopo show` prints it: three significant digits, `yes` and `no`, lower case."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else " ".join(str(value).lower().split())


def _descriptor(payload: Mapping[str, Any]) -> tuple[str, str]:
    return _text(payload.get("descriptor")), _text(payload.get("value"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
