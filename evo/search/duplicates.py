"""Which losses a run has seen already: a duplicate is refused before it costs training time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from archive.query import Reader
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import GraphError
from sandbox.identity.closeness import find_duplicates, readable
from sandbox.identity.sameness import Sameness
from sandbox.verdicts.verdict import Fingerprint, Verdict

SameLoss = Callable[[VerifiedGraph, VerifiedGraph], Sameness]
"""Compares two losses on fresh probes."""


@dataclass(frozen=True, slots=True)
class Twin:
    """An earlier candidate that is the same loss, and what showed it: `hash` (same graph) or `fingerprint` (same function).

    `difference`: the largest one seen between their gradients on fresh probes, as a share of their size; None for a hash.
    """

    candidate_id: int
    kind: str
    difference: float | None = None


@dataclass
class Identities:
    """The accepted losses of a run, by canonical hash and by what training sees of them."""

    same_loss: SameLoss
    by_hash: dict[str, int] = field(default_factory=dict)
    seen: list[tuple[int, Fingerprint, VerifiedGraph]] = field(default_factory=list)

    @classmethod
    def of(cls, reader: Reader, same_loss: SameLoss) -> Self:
        """Those that an archive holds."""
        known = cls(same_loss)
        for row in reader.verdicts():
            if row.status != "accepted" or not row.is_new or not row.hash or not row.graph:
                continue
            known.by_hash.setdefault(row.hash, row.candidate_id)
            if fingerprint := readable(row.fingerprint):
                with suppress(GraphError):  # an older evopo's, which would be refused now
                    known.seen.append((row.candidate_id, fingerprint, VerifiedGraph.from_json(row.graph)))
        return known

    def twin(self, verdict: Verdict) -> Twin | None:
        """The earlier candidate that an accepted verdict's loss repeats. What the fingerprints propose, fresh probes confirm."""
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        if verdict.hash in self.by_hash:
            return Twin(self.by_hash[verdict.hash], "hash")
        for index in find_duplicates(verdict.fingerprint, [fingerprint for _, fingerprint, _ in self.seen]):
            candidate_id, _, graph = self.seen[index]
            if found := self.same_loss(graph, verdict.graph):
                return Twin(candidate_id, "fingerprint", found.difference)
        return None

    def add(self, candidate_id: int, verdict: Verdict) -> None:
        """Remember an accepted loss that has no twin."""
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        self.by_hash.setdefault(verdict.hash, candidate_id)
        self.seen.append((candidate_id, verdict.fingerprint, verdict.graph))
