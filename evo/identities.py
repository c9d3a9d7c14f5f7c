"""Which losses a run has seen already: a duplicate is refused before it costs training time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from analysis.recorded import fingerprint_key, graph_of
from archive.query import Reader
from sandbox.graph import LossGraph
from sandbox.verdict import Verdict

SameLoss = Callable[[LossGraph, LossGraph], bool]
"""Whether two losses are the same function, tried on fresh probes."""


@dataclass(frozen=True, slots=True)
class Twin:
    """An earlier candidate that is the same loss, and what showed it: `hash` (same graph) or `fingerprint` (same function)."""

    candidate_id: int
    kind: str


@dataclass
class Identities:
    """The accepted losses of a run, by canonical hash and by what training sees of them."""

    same_loss: SameLoss
    by_hash: dict[str, int] = field(default_factory=dict)
    by_key: dict[str, list[tuple[int, LossGraph]]] = field(default_factory=dict)

    @classmethod
    def of(cls, reader: Reader, same_loss: SameLoss) -> Self:
        """Those that an archive holds."""
        known = cls(same_loss)
        for row in reader.verdicts():
            if row.status == "accepted" and row.is_new and row.graph and row.hash and row.fingerprint:
                known._add(row.candidate_id, row.hash, fingerprint_key(row), graph_of(row))
        return known

    def twin(self, verdict: Verdict) -> Twin | None:
        """The earlier candidate that an accepted verdict's loss repeats. A merge is confirmed on fresh probes."""
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        if verdict.hash in self.by_hash:
            return Twin(self.by_hash[verdict.hash], "hash")
        for candidate_id, graph in self.by_key.get(verdict.fingerprint.key, ()):
            if self.same_loss(graph, verdict.graph):
                return Twin(candidate_id, "fingerprint")
        return None

    def add(self, candidate_id: int, verdict: Verdict) -> None:
        """Remember an accepted loss that has no twin."""
        assert verdict.graph is not None and verdict.hash is not None and verdict.fingerprint is not None
        self._add(candidate_id, verdict.hash, verdict.fingerprint.key, verdict.graph)

    def _add(self, candidate_id: int, hash_: str, key: str, graph: LossGraph) -> None:
        self.by_hash.setdefault(hash_, candidate_id)
        self.by_key.setdefault(key, []).append((candidate_id, graph))
