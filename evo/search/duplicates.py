"""Which losses a run has seen already: a duplicate is refused before it costs training time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from analysis.recorded import graph_of, verdict_on
from archive.errors import CorruptArchive
from archive.query import Reader
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.identity.closeness import find_duplicates, readable
from sandbox.identity.sameness import Sameness
from sandbox.verdicts.verdict import Fingerprint, Verdict, VerdictStatus

SameLoss = Callable[[VerifiedGraph, VerifiedGraph], Sameness]
"""Compares two losses on fresh probes."""

GraphOf = Callable[[int], VerifiedGraph]
"""The graph of a candidate. Raises CorruptArchive where it cannot be used, as an older evopo's that would be refused now."""


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
    graph: GraphOf
    by_hash: dict[str, int] = field(default_factory=dict)
    seen: list[tuple[int, Fingerprint]] = field(default_factory=list)

    @classmethod
    def of(cls, reader: Reader, same_loss: SameLoss, graph: GraphOf | None = None) -> Self:
        """Those that an archive holds. `graph` gives their graphs; by default the archive does."""
        known = cls(same_loss, graph or (lambda candidate_id: graph_of(verdict_on(candidate_id, reader))))
        for row in reader.verdicts():
            if row.status != VerdictStatus.ACCEPTED or not row.is_new or not row.hash or not row.graph:
                continue
            known.by_hash.setdefault(row.hash, row.candidate_id)
            if fingerprint := readable(row.fingerprint):
                known.seen.append((row.candidate_id, fingerprint))
        return known

    def twin(self, verdict: Verdict) -> Twin | None:
        """The earlier candidate that an accepted verdict's loss repeats. What the fingerprints propose, fresh probes confirm."""
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        if verdict.hash in self.by_hash:
            return Twin(self.by_hash[verdict.hash], "hash")
        for index in find_duplicates(verdict.fingerprint, [fingerprint for _, fingerprint in self.seen]):
            candidate_id, _ = self.seen[index]
            with suppress(CorruptArchive):
                if found := self.same_loss(self.graph(candidate_id), verdict.graph):
                    return Twin(candidate_id, "fingerprint", found.difference)
        return None

    def add(self, candidate_id: int, verdict: Verdict) -> None:
        """Remember an accepted loss that has no twin."""
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        self.by_hash.setdefault(verdict.hash, candidate_id)
        self.seen.append((candidate_id, verdict.fingerprint))
