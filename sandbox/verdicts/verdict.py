"""Verdict and Finding: the result of vetting a candidate. Plain data, safe to store and to show to a language model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sandbox.graph.loss_graph import VerifiedGraph


class Severity(StrEnum):
    """Severity of a finding: it refuses the candidate (REFUSE) or only describes it (NOTE)."""

    REFUSE = "refuse"
    NOTE = "note"


class VerdictStatus(StrEnum):
    """The outcome of vetting. PARTIAL: nothing was refused, but the numeric tests were not requested."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of vetting. `rule` is a code of the catalogue in `rules`; line and column count from 1."""

    rule: str
    severity: Severity
    message: str
    remedy: str = ""
    line: int | None = None
    column: int | None = None
    excerpt: str = ""
    counterexample: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON types."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "message": self.message,
            "remedy": self.remedy,
            "line": self.line,
            "column": self.column,
            "excerpt": self.excerpt,
            "counterexample": dict(self.counterexample),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """The finding that `to_json` described."""
        return cls(**{**data, "severity": Severity(data["severity"])})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The gradients of a loss to the policy at fixed points, in float64.

    `key` is equal for equal functions up to rounding; `scale_key` also for positive multiples; `beta_key` also for a
    rescaled beta. Keys are buckets: `identity.compare.same_loss` confirms at fresh points that two losses are the same.
    """

    key: str
    scale_key: str
    beta_key: str
    vector: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The fingerprint as JSON types."""
        return {**asdict(self), "vector": list(self.vector)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fingerprint:
        """The fingerprint that `to_json` described."""
        return cls(data["key"], data["scale_key"], data["beta_key"], tuple(data["vector"]))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of vetting one candidate. `graph` is None if the candidate was refused before it had a graph."""

    status: VerdictStatus
    findings: tuple[Finding, ...]
    contract: str
    entry: str = ""
    graph: VerifiedGraph | None = None
    hash: str | None = None
    fingerprint: Fingerprint | None = None
    descriptors: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    guarantees: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """For each guarantee of the jail, the layer that supplied it, `accepted-missing`, or `not-needed`."""
    milliseconds: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether the candidate may be trained."""
        return self.status is VerdictStatus.ACCEPTED

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that refuse the candidate."""
        return tuple(f for f in self.findings if f.severity is Severity.REFUSE)

    def refusing(self, notes: Collection[str]) -> Verdict:
        """This verdict with the notes of these codes turned into refusals, for callers that are stricter than the catalogue."""
        if not any(f.rule in notes for f in self.findings):
            return self
        found = (replace(f, severity=Severity.REFUSE) if f.rule in notes else f for f in self.findings)
        return replace(
            self,
            status=VerdictStatus.REFUSED,
            findings=tuple(found),
            fingerprint=None,
            descriptors=MappingProxyType({}),
        )

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON types; `graph` is itself JSON text."""
        return {
            "status": self.status.value,
            "accepted": self.accepted,
            "contract": self.contract,
            "entry": self.entry,
            "findings": [f.to_json() for f in self.findings],
            "hash": self.hash,
            "fingerprint": self.fingerprint.to_json() if self.fingerprint else None,
            "descriptors": dict(self.descriptors),
            "guarantees": dict(self.guarantees),
            "milliseconds": round(self.milliseconds, 3),
            "graph": self.graph.to_json() if self.graph else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """The verdict that `to_json` described; its graph is verified again. Raises GraphError."""
        return cls(
            status=VerdictStatus(data["status"]),
            findings=tuple(Finding.from_json(f) for f in data["findings"]),
            contract=data["contract"],
            entry=data["entry"],
            graph=VerifiedGraph.from_json(data["graph"]) if data["graph"] else None,
            hash=data["hash"],
            fingerprint=Fingerprint.from_json(data["fingerprint"]) if data["fingerprint"] else None,
            descriptors=data["descriptors"],
            guarantees=data["guarantees"],
            milliseconds=data["milliseconds"],
        )
