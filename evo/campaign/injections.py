"""Losses that people gave to the run after its start (`evopo inject`): each becomes a proposal of its own, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from analysis.steering import Injected, injected_in, provenance_in
from archive.query import Reader
from archive.records import PERSON, EventKind, ProposalRow
from archive.store import Archive

_EVENT = "from_event"
"""Key in the references of such a proposal: the event with the loss."""


@dataclass
class Injections:
    """The losses that wait for the search. `steps`: numbers of new steps, shared with the search."""

    archive: Archive
    reader: Reader
    steps: Iterator[int]
    _seen: int = 0

    def take(self) -> list[ProposalRow]:
        """Record each loss that waits as a proposal with its reply, and return these proposals."""
        newest = self.reader.last_event()
        waiting = untried(self.reader, self._seen) if newest > self._seen else []
        self._seen = newest
        taken = []
        for loss in waiting:
            reply = json.dumps({"name": loss.name, "thought": f"from {loss.file}", "source": loss.source})
            references = {"island": 0, "parents": [], _EVENT: loss.event}
            proposal = self.archive.receive_injected(next(self.steps), references, newest, reply)
            taken.append(self.reader.proposal(proposal))
        return taken


def untried(reader: Reader, after: int = 0) -> list[Injected]:
    """The losses of events after `after` that no session has taken."""
    events = reader.events(after=after, kind=EventKind.INJECTED)
    if not events:
        return []
    taken = {p.references.get(_EVENT) for p in reader.bare().proposals() if p.proposer == PERSON}
    return [injected_in(event) for event in events if event.id not in taken]


def given_before(reader: Reader) -> dict[str, tuple[str, int | None]]:
    """The losses that people gave to the run, at its start or later: file and candidate by the SHA-256 of the file's content.

    The candidate is None for a loss that no session has taken yet.
    """
    found: dict[str, tuple[str, int | None]] = {}
    for event in reader.events(kind=EventKind.CANDIDATE_ADDED):
        if (given := provenance_in(event)) and given.file:
            found[given.key.removeprefix("sha256:")] = (given.file, event.candidate_id)
    made = {p.references.get(_EVENT): p.id for p in reader.bare().proposals() if p.proposer == PERSON}
    for event in reader.events(kind=EventKind.INJECTED):
        loss, proposal = injected_in(event), made.get(event.id)
        found.setdefault(loss.sha256, (loss.file, reader.candidate_of(proposal) if proposal is not None else None))
    return found
