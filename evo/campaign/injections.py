"""Losses that people gave to the run after its start (`evopo inject`): each becomes a proposal of its own, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from analysis.steering import Injected, injected_in
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
