"""Unfinished work in the archive: what a session must complete for the session before it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.steering import Provenance
from archive.query import Reader
from archive.records import SUMMARISE, CandidateRow, EventKind, Origin, ProposalRow
from archive.spending import counted_steps
from archive.store import Archive
from evo.proposing.propose import proposed_graph
from sandbox import known


@dataclass(frozen=True, slots=True)
class GivenLoss:
    """A seed loss of the user, accepted by the sandbox. Its name differs from those of the published losses."""

    name: str
    thought: str
    source: str
    contract: str
    provenance: Provenance


def add_seed_losses(archive: Archive, reader: Reader, names: Sequence[str], given: Sequence[GivenLoss] = ()) -> None:
    """Record the published seed losses that the archive does not have yet, and then those of the user."""
    recorded = {reader.candidate(id).name for id in reader.seed_ids()}
    for name in names:
        if name not in recorded:
            loss = known.load(name)
            archive.add_candidate(Origin.SEED, name, loss.title, loss.source, loss.contract)
    for own in given:
        payload = own.provenance.to_json()
        archive.add_candidate(Origin.SEED, own.name, own.thought, own.source, own.contract, payload=payload)


def unread_replies(reader: Reader) -> list[ProposalRow]:
    """Proposals whose reply was received and not parsed yet. A summary is not parsed."""
    return [p for p in reader.without_candidate() if p.operator != SUMMARISE]


def unvetted_seed_losses(reader: Reader) -> tuple[list[CandidateRow], list[CandidateRow]]:
    """Seed losses without a verdict: the published ones, and those of the user.

    Vet the published ones first: a user's loss that is a published one is the duplicate, not the other way round.
    """
    seeds = [c for c in reader.unvetted() if c.origin is Origin.SEED]
    return [c for c in seeds if _is_published(c)], [c for c in seeds if not _is_published(c)]


def open_steps(reader: Reader) -> tuple[list[int], Iterator[int]]:
    """Numbers of the steps to do: the recorded steps without an answer, and after them new steps without end."""
    silent = reader.without_reply()
    ended = counted_steps(silent, reader.events(kind=EventKind.PROPOSAL_FAILED))
    return sorted({p.step for p in silent} - ended), itertools.count(1 + reader.latest_step())


def own_graph(reader: Reader, candidate: CandidateRow) -> str | None:
    """The graph of a loss made by our own code (a published loss, or a proposal of the built-in proposer) as JSON; else None.

    The JSON is not verified; vetting verifies it.
    """
    if candidate.origin is Origin.SEED:
        return known.graph(candidate.name).to_json() if _is_published(candidate) else None
    assert candidate.proposal_id is not None
    proposal = reader.proposal(candidate.proposal_id)
    return proposed_graph(proposal.proposer, proposal.reply or "")


def _is_published(seed_loss: CandidateRow) -> bool:
    return known.is_known(seed_loss.name, seed_loss.contract)
