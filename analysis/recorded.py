"""Checked reading of the engine's own records in an archive: session settings, graphs, islands, parents.

`archive.decode` checks only that such a value is a JSON object or text. Its content is checked here, because an archive may come
from another person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from archive.errors import CorruptArchive, MissingRow
from archive.query import Reader
from archive.records import (
    CandidateRow,
    EvaluationRow,
    EventKind,
    EventRow,
    FindingRow,
    Origin,
    ParentRow,
    ProposalRow,
    VerdictRow,
)
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import GraphError
from sandbox.verdicts.verdict import Severity

T = TypeVar("T")

MOST_ISLANDS = 10_000


class Rows(Protocol):
    """Rows of an archive by id, as code that goes through the events of a run needs them: a Reader, or a `ReadAhead`."""

    path: Path

    def candidate(self, id: int) -> CandidateRow: ...
    def parents(self, id: int) -> Sequence[ParentRow]: ...
    def proposal(self, id: int) -> ProposalRow: ...
    def verdict(self, candidate_id: int) -> VerdictRow | None: ...
    def findings(self, candidate_id: int) -> Sequence[FindingRow]: ...
    def evaluation(self, id: int) -> EvaluationRow: ...


class ReadAhead:
    """All rows of an archive, each table read once. For the start of a session and for replays, which look at every row.

    Verdicts and evaluations are those of `Reader.bare`: without guarantees and details, without metrics and fitness per item.
    """

    def __init__(self, reader: Reader) -> None:
        self.path = reader.path
        with reader.consistent():
            self._candidates = {row.id: row for row in reader.candidates()}
            self._proposals = {row.id: row for row in reader.proposals()}
            self._verdicts = {row.candidate_id: row for row in reader.bare().verdicts()}
            self._evaluations = {row.id: row for row in reader.bare().evaluations()}
            self._parents, self._findings = (
                defaultdict[int, list[ParentRow]](list),
                defaultdict[int, list[FindingRow]](list),
            )
            for edge in reader.lineage():
                self._parents[edge.child].append(edge)
            for finding in reader.findings():
                self._findings[finding.candidate_id].append(finding)

    def candidate(self, id: int) -> CandidateRow:
        return self._there(self._candidates, id, "candidate")

    def parents(self, id: int) -> Sequence[ParentRow]:
        return self._parents.get(id, ())

    def proposal(self, id: int) -> ProposalRow:
        return self._there(self._proposals, id, "proposal")

    def verdict(self, candidate_id: int) -> VerdictRow | None:
        return self._verdicts.get(candidate_id)

    def findings(self, candidate_id: int) -> Sequence[FindingRow]:
        return self._findings.get(candidate_id, ())

    def evaluation(self, id: int) -> EvaluationRow:
        return self._there(self._evaluations, id, "evaluation")

    def _there(self, rows: Mapping[int, T], id: int, what: str) -> T:
        if id not in rows:
            raise MissingRow(f"there is no {what} {id}")
        return rows[id]


STANDING = "standing"
"""Key of the references of a request: reward estimate and share of each proposer when one was chosen, by name."""
UNAVAILABLE = "unavailable"
"""Key of the references of a request: names of the proposers that could not be asked when one was chosen."""


def sessions_of(events: Iterable[EventRow]) -> list[tuple[int, Mapping[str, Any]]]:
    """Event id and configuration of each session, in order. Raises CorruptArchive for an event without a configuration."""
    return [(event.id, _settings(event)) for event in events if event.kind == EventKind.SESSION_STARTED]


class _Loss(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def origin(self) -> Origin: ...


L = TypeVar("L", bound=_Loss)


def baseline_among(losses: Iterable[L], name: str | None) -> L | None:
    """The baseline: the seed loss called `name` (recorded in the table `run`). None in a run without seed losses."""
    return next((loss for loss in losses if loss.origin is Origin.SEED and loss.name == name), None)


def section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of a recorded configuration; an empty mapping where it is missing."""
    value = settings.get(name)
    return value if isinstance(value, Mapping) else {}


def verdict_on(candidate_id: int, reader: Rows) -> VerdictRow:
    """The verdict of a vetted candidate. Raises CorruptArchive if it is missing."""
    verdict = reader.verdict(candidate_id)
    if verdict is None:
        raise CorruptArchive(f"{reader.path} holds no verdict on candidate {candidate_id}; get a fresh copy of it")
    return verdict


def graph_of(verdict: VerdictRow) -> VerifiedGraph:
    """The verified graph of an accepted candidate. Raises CorruptArchive for a missing or invalid graph."""
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
    """The findings of severity `refuse`."""
    return [finding for finding in findings if finding.severity == Severity.REFUSE]


def island_of(proposal: ProposalRow) -> int:
    """The island that a proposal was made for. Raises CorruptArchive for an invalid number."""
    island = proposal.references.get("island")
    if isinstance(island, bool) or not isinstance(island, int) or not 0 <= island < MOST_ISLANDS:
        raise _missing(f"proposal {proposal.id} should hold its island, a whole number from 0", island)
    return island


def recorded_parents(proposal: ProposalRow) -> list[tuple[int, str]]:
    """The parents recorded with a proposal, each as (candidate, role). Raises CorruptArchive for an invalid record."""
    parents = proposal.references.get("parents")
    try:
        return [(int(parent["id"]), str(parent["role"])) for parent in parents or ()]
    except (TypeError, KeyError, ValueError, OverflowError):
        raise _missing(f"proposal {proposal.id} should hold its parents, each with id and role", parents) from None


def _settings(event: EventRow) -> Mapping[str, Any]:
    settings = event.payload.get("config") if isinstance(event.payload, Mapping) else None
    if not isinstance(settings, Mapping):
        raise _missing(f"event {event.id} should hold the configuration of a session", settings)
    return settings


def _missing(expected: str, came: object) -> CorruptArchive:
    return CorruptArchive(f"{expected}, but holds {str(came)[:80]!r}; get a fresh copy of the archive")
