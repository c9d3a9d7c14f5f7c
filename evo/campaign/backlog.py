"""Unfinished work in the archive: what a session must complete for the session before it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from archive.query import Reader
from archive.records import CandidateRow, EventKind, Origin, ProposalRow, ProposalState
from archive.spending import counted_steps
from archive.store import Archive
from evo.proposing.propose import proposed_graph
from sandbox import known


def add_seed_losses(archive: Archive, reader: Reader, names: Sequence[str]) -> None:
    """Record the seed losses that the archive does not have yet."""
    recorded = {c.name for c in reader.candidates() if c.origin is Origin.SEED}
    for name in names:
        if name not in recorded:
            loss = known.load(name)
            archive.add_candidate(Origin.SEED, name, loss.title, loss.source, loss.contract)


def unread_replies(reader: Reader) -> list[ProposalRow]:
    """Proposals whose reply was received and not parsed yet."""
    admitted = {c.proposal_id for c in reader.candidates()}
    return [p for p in reader.proposals(ProposalState.RECEIVED) if p.id not in admitted]


def unvetted(reader: Reader) -> list[CandidateRow]:
    """Candidates without a verdict."""
    vetted = {event.candidate_id for event in reader.events(kind=EventKind.VERDICT_RECORDED)}
    return [c for c in reader.candidates() if c.id not in vetted]


def open_steps(reader: Reader) -> Iterator[int]:
    """Numbers of the steps to do: first the recorded steps without an answer, then new steps without end."""
    proposals = reader.proposals()
    begun = {p.step for p in proposals}
    ended = counted_steps(proposals, reader.events(kind=EventKind.PROPOSAL_FAILED))
    return itertools.chain(sorted(begun - ended), itertools.count(1 + max(begun, default=0)))


def own_graph(reader: Reader, candidate: CandidateRow) -> str | None:
    """The graph of a loss made by our own code (a known loss, or a proposal of the built-in proposer) as JSON; else None.

    The JSON is not verified; vetting verifies it.
    """
    if candidate.origin is Origin.SEED:
        return known.graph(candidate.name).to_json()
    assert candidate.proposal_id is not None
    proposal = reader.proposal(candidate.proposal_id)
    return proposed_graph(proposal.proposer, proposal.reply or "")
