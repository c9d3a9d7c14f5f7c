"""Duplicate detection: is a loss the same as an earlier candidate of the run? Duplicates are not trained."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from analysis.recorded import graph_of, verdict_on
from archive.errors import CorruptArchive
from archive.query import Reader
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.closeness import FingerprintIndex, readable
from sandbox.identity.sameness import Sameness
from sandbox.verdicts.verdict import Verdict, VerdictStatus

SameLoss = Callable[[VerifiedGraph, VerifiedGraph], Sameness]
"""Compares two losses on fresh test inputs."""

GraphOf = Callable[[int], VerifiedGraph]
"""Returns the graph of a candidate. Raises CorruptArchive if it cannot be used, as one of an older version that is refused now."""


@dataclass(frozen=True, slots=True)
class DuplicateMatch:
    """An earlier candidate that is the same loss. `kind`: `hash` (same canonical hash) or `fingerprint` (same gradients).

    `difference`: the largest relative difference of their gradients on fresh test inputs; None for a hash.
    """

    candidate_id: int
    kind: str
    difference: float | None = None


@dataclass
class DuplicateIndex:
    """Index of the accepted losses of a run by canonical hash and by fingerprint."""

    same_loss: SameLoss
    graph: GraphOf
    by_hash: dict[str, int] = field(default_factory=dict)
    by_fingerprint: FingerprintIndex = field(default_factory=FingerprintIndex)

    @classmethod
    def of(cls, reader: Reader, same_loss: SameLoss, graph: GraphOf | None = None) -> Self:
        """Index of the accepted losses in an archive. `graph` returns their graphs; by default they are read from the archive."""
        index = cls(same_loss, graph or (lambda candidate_id: graph_of(verdict_on(candidate_id, reader))))
        for row in reader.bare().verdicts():
            if row.status != VerdictStatus.ACCEPTED or not row.is_new or not row.hash:
                continue
            index.by_hash.setdefault(row.hash, row.candidate_id)
            if fingerprint := readable(row.fingerprint):
                index.by_fingerprint.add(row.candidate_id, fingerprint)
        return index

    def find(self, verdict: Verdict) -> DuplicateMatch | None:
        """The earlier candidate that is the same loss as that of an accepted verdict; None if there is none.

        A match of fingerprints counts only if the losses also agree on fresh test inputs.
        """
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        if verdict.hash in self.by_hash:
            return DuplicateMatch(self.by_hash[verdict.hash], "hash")
        for candidate_id in self.by_fingerprint.near(verdict.fingerprint):
            with suppress(CorruptArchive):
                if found := self.same_loss(self.graph(candidate_id), verdict.graph):
                    return DuplicateMatch(candidate_id, "fingerprint", found.difference)
        return None

    def add(self, candidate_id: int, verdict: Verdict) -> None:
        """Add an accepted loss that is no duplicate."""
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        self.by_hash.setdefault(verdict.hash, candidate_id)
        self.by_fingerprint.add(candidate_id, verdict.fingerprint)
