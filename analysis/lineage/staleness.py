"""Staleness of parents: how many results came between the selection of a candidate's parents and its own first result.

With several candidates in progress, parents are selected before the results of the others are known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from analysis.snapshot import Snapshot
from archive.records import PERSON


def staleness(snapshot: Snapshot) -> list[int]:
    """For each proposal with a result: the results recorded after the last event that its selection had seen, and before its own
    first one. In order of candidates; losses that a person gave are left out."""
    ended = [(row.candidate_id, row.finished_event) for row in snapshot.evaluations if row.finished_event is not None]
    events, first = sorted(event for _, event in ended), dict[int, int]()
    for candidate, event in ended:
        first[candidate] = min(event, first.get(candidate, event))
    found: list[int] = []
    for id, row in snapshot.candidates.items():
        proposal = None if row.proposal_id is None else snapshot.proposals[row.proposal_id]
        if id in first and proposal is not None and proposal.proposer != PERSON:
            found.append(bisect_left(events, first[id]) - bisect_right(events, proposal.seen_event))
    return found
