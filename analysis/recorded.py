"""What an engine wrote into the free parts of an archive, read back in one form: settings of sessions, graphs, islands.

The archive checks that these are JSON objects, or text; what must be in them is checked here, since the file may be a stranger's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

from archive.errors import CorruptArchive
from archive.query import Reader
from archive.records import EventKind, EventRow, FindingRow, Origin, ProposalRow, VerdictRow
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import GraphError
from sandbox.verdicts.verdict import Severity

MOST_ISLANDS = 10_000


def sessions_of(events: Iterable[EventRow]) -> list[tuple[int, Mapping[str, Any]]]:
    """The event that began each session, and the configuration that it had. Raises CorruptArchive where there is none."""
    return [(event.id, _settings(event)) for event in events if event.kind == EventKind.SESSION_STARTED]


class _Loss(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def origin(self) -> Origin: ...


L = TypeVar("L", bound=_Loss)


def baseline_among(losses: Iterable[L], name: str | None) -> L | None:
    """The loss that claims are made against: the seed loss of the name in the run's row; None in a run without seed losses."""
    return next((loss for loss in losses if loss.origin is Origin.SEED and loss.name == name), None)


def section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a recorded configuration; empty where it has none."""
    value = settings.get(name)
    return value if isinstance(value, Mapping) else {}


def verdict_on(candidate_id: int, reader: Reader) -> VerdictRow:
    """What the sandbox said of a candidate that was vetted. Raises CorruptArchive."""
    verdict = reader.verdict(candidate_id)
    if verdict is None:
        raise CorruptArchive(f"{reader.path} holds no verdict on candidate {candidate_id}; get a fresh copy of it")
    return verdict


def graph_of(verdict: VerdictRow) -> VerifiedGraph:
    """The graph of an accepted candidate, verified. Raises CorruptArchive."""
    if verdict.graph is None:
        raise CorruptArchive(
            f"candidate {verdict.candidate_id} is {verdict.status}, but the archive holds no graph of it; get a fresh copy"
        )
    try:
        return VerifiedGraph.from_json(verdict.graph)
    except GraphError as error:
        raise CorruptArchive(
            f"the graph of candidate {verdict.candidate_id} cannot be used ({error}); get a fresh copy of the archive"
        ) from None


def refusing(findings: Iterable[FindingRow]) -> list[FindingRow]:
    """The findings that refused their candidate."""
    return [finding for finding in findings if finding.severity == Severity.REFUSE]


def island_of(proposal: ProposalRow) -> int:
    """The island that a proposal was made for. Raises CorruptArchive."""
    island = proposal.references.get("island")
    if isinstance(island, bool) or not isinstance(island, int) or not 0 <= island < MOST_ISLANDS:
        raise _missing(f"proposal {proposal.id} should tell its island, a number from 0 on", island)
    return island


def recorded_parents(proposal: ProposalRow) -> list[tuple[int, str]]:
    """The parents that a proposal was told of, each as (candidate, role). Raises CorruptArchive."""
    parents = proposal.references.get("parents")
    try:
        return [(int(parent["id"]), str(parent["role"])) for parent in parents or ()]
    except (TypeError, KeyError, ValueError, OverflowError):
        raise _missing(f"proposal {proposal.id} should tell its parents, each with id and role", parents) from None


def _settings(event: EventRow) -> Mapping[str, Any]:
    settings = event.payload.get("config") if isinstance(event.payload, Mapping) else None
    if not isinstance(settings, Mapping):
        raise _missing(f"event {event.id} should hold the configuration of a session", settings)
    return settings


def _missing(expected: str, came: object) -> CorruptArchive:
    return CorruptArchive(f"{expected}, but holds {str(came)[:80]!r}; get a fresh copy of the archive")
