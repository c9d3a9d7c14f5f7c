"""Which seed loss a proposal is in another form: times a factor, or at another beta."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from analysis.output.encode import one_line
from archive.records import CandidateRow, VerdictRow
from sandbox.identity.closeness import factor_between, readable
from sandbox.verdicts.verdict import Fingerprint


@dataclass(frozen=True)
class SeedPrints:
    """The seed losses that have a fingerprint, by candidate id."""

    names: Mapping[int, str]
    prints: Mapping[int, Fingerprint]

    @classmethod
    def of(cls, seeds: Iterable[CandidateRow], verdicts: Mapping[int, VerdictRow]) -> SeedPrints:
        """The fingerprints in the verdicts of these seed losses."""
        found = {
            row.id: (one_line(row.name, 48), own)
            for row in seeds
            if row.id in verdicts and (own := readable(verdicts[row.id].fingerprint)) is not None
        }
        return cls({id: name for id, (name, _) in found.items()}, {id: own for id, (_, own) in found.items()})

    def form(self, own: Fingerprint, among: Collection[int] | None = None) -> str:
        """The seed loss that a fingerprint is of, in words; empty where it is none. `among` names the seed losses to compare with.

        A factor is preferred to another beta. Keys are compared first, then gradients: rounding can give equal losses different
        keys.
        """
        seeds = [(self.names[id], seed) for id, seed in self.prints.items() if among is None or id in among]
        for name, seed in seeds:
            if own.scale_key == seed.scale_key:
                return f"{name} times a factor"
        for name, seed in seeds:
            if factor_between(own, seed) is not None:
                return f"{name} times a factor"
        return next((f"{name} at another beta" for name, seed in seeds if own.beta_key == seed.beta_key), "")
