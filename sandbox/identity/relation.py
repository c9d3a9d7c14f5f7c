"""Relation of a loss to the known losses, as plain data. `sandbox.identity.nearest` computes it; reports and displays read it.

No torch, so that a report can be written on a machine that only reads archives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SAME_WITHIN = 1e-3
"""Largest mean relative difference between the policy gradients of two losses, at usual inputs of training, at which a loss
counts as the known one. It is wider than the tolerance of `sandbox.identity.sameness`, which holds at every pair, so that a
duplicate of a known loss always gets its name."""
NEAR_WITHIN = 0.05
"""The same for a variation of a known loss."""


class Kind(StrEnum):
    """Kind of relation to the known losses: the first one that applies, in this order."""

    SAME = "same"
    """A published loss, rediscovered."""
    SCALED = "scaled"
    """A published loss times a positive factor, which is equivalent to another learning rate."""
    REBETA = "rebeta"
    """A published loss at another beta, and perhaps times a factor."""
    BLEND = "blend"
    """A sum of two published losses with positive weights."""
    NEAR = "near"
    """Within NEAR_WITHIN of a published loss, perhaps at another beta and times a factor."""
    NEW = "new"
    """None of these."""


@dataclass(frozen=True, slots=True)
class Part:
    """A published loss, the factor before it, and the multiple of beta that it is taken at."""

    name: str
    factor: float = 1.0
    beta_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Relation:
    """How a loss relates to the published ones, at the beta of its task.

    `parts` are the published losses: two for a blend, otherwise the nearest one, none if nothing could be compared. `distance` is
    the mean relative difference of the policy's gradients, at usual inputs of training.
    """

    kind: Kind
    parts: tuple[Part, ...] = ()
    distance: float = 1.0

    @property
    def published(self) -> bool:
        """Whether the loss trains like a published one, so that it cannot be claimed as new."""
        return self.kind in (Kind.SAME, Kind.SCALED, Kind.REBETA)

    @property
    def words(self) -> str:
        """The relation as a phrase, shown after the loss's name; empty for a new loss."""
        if not self.parts:
            return ""
        first = self.parts[0]
        at = "" if first.beta_factor == 1.0 else f" at {first.beta_factor:.3g} × beta"
        times = "" if first.factor == 1.0 else f" times {first.factor:.3g}"
        match self.kind:
            case Kind.SAME:
                return f"the published {first.name}"
            case Kind.SCALED | Kind.REBETA:
                return f"the published {first.name}{at}{times}"
            case Kind.BLEND:
                return "a blend of " + " and ".join(f"{part.factor:.2g} {part.name}" for part in self.parts)
            case Kind.NEAR:
                return f"within {max(self.distance, 1e-3):.1%} of the published {first.name}{at}{times}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for an archive."""
        parts = [{"name": p.name, "factor": p.factor, "beta_factor": p.beta_factor} for p in self.parts]
        return {"kind": self.kind.value, "parts": parts, "distance": self.distance}

    @classmethod
    def from_json(cls, data: Any) -> Relation | None:
        """The relation in an archive's JSON value; None if it is missing or malformed."""
        try:
            parts = tuple(
                Part(str(p["name"]), float(p["factor"]), float(p["beta_factor"])) for p in _list(data["parts"])
            )
            relation = cls(Kind(data["kind"]), parts, float(data["distance"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        wanted = {Kind.BLEND: (2,), Kind.NEW: (0, 1)}.get(relation.kind, (1,))
        numbers = [number for p in parts for number in (p.factor, p.beta_factor)]
        usable = all(0 < number < math.inf for number in numbers) and math.isfinite(relation.distance)
        return relation if len(parts) in wanted and usable else None


def _list(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return value
