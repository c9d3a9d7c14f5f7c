"""Which seed loss a proposal is in another form: times a factor, or at another beta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analysis.output.encode import one_line
from archive.records import CandidateRow, VerdictRow
from sandbox.identity.closeness import Multiples, readable
from sandbox.verdicts.verdict import Fingerprint


@dataclass(frozen=True)
class SeedPrints:
    """The names of the seed losses that have a fingerprint: of equal ones, the first."""

    by_scale_key: Mapping[str, str]
    by_beta_key: Mapping[str, str]
    multiples: tuple[tuple[str, Multiples], ...]

    @classmethod
    def of(cls, seeds: Iterable[CandidateRow], verdicts: Mapping[int, VerdictRow]) -> SeedPrints:
        """The fingerprints in the verdicts of these seed losses."""
        found = [
            (one_line(row.name, 48), own)
            for row in seeds
            if row.id in verdicts and (own := readable(verdicts[row.id].fingerprint)) is not None
        ]
        return cls(
            {own.scale_key: name for name, own in reversed(found)},
            {own.beta_key: name for name, own in reversed(found)},
            tuple((name, Multiples(own)) for name, own in found if own.vector),
        )

    def form(self, own: Fingerprint) -> str:
        """The seed loss that a fingerprint is of, in words; empty where it is none.

        A factor is preferred to another beta. Keys are compared first, then gradients: rounding can give equal losses different
        keys.
        """
        if (name := self.by_scale_key.get(own.scale_key)) is not None:
            return f"{name} times a factor"
        for name, multiples in self.multiples:
            if multiples.factor(own) is not None:
                return f"{name} times a factor"
        rebeta = self.by_beta_key.get(own.beta_key)
        return "" if rebeta is None else f"{rebeta} at another beta"

    def excludes(self, beginning: Fingerprint) -> bool:
        """Whether the first gradients of a fingerprint and its keys show already that it is of no form of a seed loss."""
        return (
            beginning.scale_key not in self.by_scale_key
            and beginning.beta_key not in self.by_beta_key
            and all(multiples.excludes(beginning.vector) for _, multiples in self.multiples)
        )
