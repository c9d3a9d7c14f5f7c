"""How a loss relates to the published ones, as plain data: found by `sandbox.identity.nearest`, read by whoever shows a loss.

Torch-free, so that a report can be written where only archives are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SAME_WITHIN = 1e-3
"""Mean relative gap between two losses' policy gradients, where training goes, below which nothing new is claimed of one beside
the other. Wider than the tolerance of `sandbox.identity.sameness`, which holds at every pair: a duplicate of a
published loss is always
called by its name."""
NEAR_WITHIN = 0.05
"""The same, below which a loss is a variation of a published one."""


class Kind(StrEnum):
    """What a loss is beside the published losses; the first that holds, in this order."""

    SAME = "same"
    """A published loss, rediscovered."""
    SCALED = "scaled"
    """A published loss times a positive factor, which a learning rate gives as well."""
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

    `parts` are the published losses meant: two of a blend, the nearest one otherwise, none where nothing could be compared.
    `distance` is the mean relative gap of the policy's gradients to them, where training goes.
    """

    kind: Kind
    parts: tuple[Part, ...] = ()
    distance: float = 1.0

    @property
    def published(self) -> bool:
        """Whether the loss is a published one for training: nothing new can be claimed of it."""
        return self.kind in (Kind.SAME, Kind.SCALED, Kind.REBETA)

    @property
    def words(self) -> str:
        """The relation as a phrase to stand beside the loss's name; empty for a new loss."""
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
        """The relation in an archive; None where there is none that can be read."""
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
