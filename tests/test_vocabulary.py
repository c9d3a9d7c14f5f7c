"""Each shared list of values (statuses, operators, event kinds, ...) is defined in one place.

The source of every package is read as a syntax tree. A second definition is an enum with two words of one of these lists, or a
Literal or a collection of constants whose words all belong to it. An event kind may not be
written as text in place of `EventKind`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest

from analysis.snapshot import CandidateStatus
from archive.records import EvaluationState, EventKind, Operator, Origin, ProposalState, Role
from archive.sqlite.schema import allowed
from fitness.score import FailureReason
from sandbox.verdicts.verdict import Severity, VerdictStatus

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("evo", "analysis", "fitness", "archive", "sandbox")
WORDS: tuple[type[StrEnum], ...] = (
    CandidateStatus,
    EvaluationState,
    EventKind,
    FailureReason,
    Operator,
    Origin,
    ProposalState,
    Role,
    Severity,
    VerdictStatus,
)


LISTS: Mapping[str, frozenset[str]] = {words.__name__: frozenset(words) for words in WORDS}
OWN: Mapping[str, frozenset[str]] = LISTS | {
    "CandidateStatus": LISTS["CandidateStatus"] - {*VerdictStatus, *EvaluationState}
}
"""CandidateStatus refers to values of verdict and evaluation states by name."""


def definitions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name of the list) of every enum with two values of a list, and of every Literal or collection of such values only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            values = [statement.value for statement in node.body if isinstance(statement, ast.Assign)]
            words = {v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)}
            found = [name for name, known in OWN.items() if len(words & known) > 1]
        else:
            words = _words(node)
            found = [name for name, known in LISTS.items() if len(words) > 1 and words <= known]
        yield from ((node.lineno, name) for name in found)


def _words(node: ast.AST) -> frozenset[str]:
    match node:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=values)):
            pass
        case ast.Tuple(elts=values) | ast.List(elts=values) | ast.Set(elts=values):
            pass
        case ast.Dict(keys=keys):
            values = [key for key in keys if key is not None]
        case _:
            return frozenset()
    words = [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return frozenset(words) if values and len(words) == len(values) else frozenset()


def event_kinds_as_text(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, text) of every event kind written as text in place of `EventKind`: compared, queried, recorded or matched."""
    constants = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    for node in (*constants, *ast.walk(tree)):
        match node:
            case ast.Compare(left=left, comparators=others) if any(map(_is_kind, (left, *others))):
                found = [inner for part in (left, *others) for inner in ast.walk(part)]
            case ast.Match(subject=subject, cases=cases) if _is_kind(subject):
                found = [inner for case in cases for inner in ast.walk(case.pattern)]
            case ast.Call(
                func=ast.Attribute(attr="event" | "events") | ast.Name(id="EventRow"), args=arguments, keywords=keywords
            ):
                found = [*arguments, *(keyword.value for keyword in keywords if keyword.arg == "kind")]
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.Constant() as value) if node in constants:
                found = [value]
            case ast.Dict(keys=keys):
                found = [key for key in keys if key is not None]
            case _:
                continue
        for inner in found:
            if isinstance(inner, ast.Constant) and inner.value in set(EventKind):
                yield inner.lineno, str(inner.value)


def _is_kind(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "kind"


@cache
def _trees() -> Mapping[Path, ast.Module]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {p.relative_to(ROOT): ast.parse(p.read_text("utf-8")) for p in paths if p.parent.parent.name != "known"}


def test_the_values_of_statuses_findings_and_events_are_defined_once():
    found: dict[str, list[str]] = {name: [] for name in LISTS}
    for path, tree in _trees().items():
        for line, name in definitions(tree):
            found[name].append(f"{path}:{line}")
    home = {words.__name__: words.__module__.replace(".", "/") + ".py" for words in WORDS}
    for name, places in found.items():
        elsewhere = [place for place in places if place.rpartition(":")[0] != home[name]]
        assert len(places) == 1 and not elsewhere, f"words of {name} are defined at {', '.join(places)}"


def test_no_two_of_these_lists_have_the_same_values():
    for words in WORDS:
        assert not [other for other in WORDS if other is not words and set(words) <= set(other)], words


def test_the_kind_of_an_event_is_never_written_as_text():
    found = [
        f"{path}:{line} writes the event kind {word!r} as text"
        for path, tree in _trees().items()
        for line, word in event_kinds_as_text(tree)
    ]
    assert not found, "\n".join(found)


def test_an_archive_allows_the_statuses_of_the_sandbox():
    assert set(allowed("verdict", "status")) == set(VerdictStatus)


@pytest.mark.parametrize(
    "source",
    [
        'class Outcome(StrEnum):\n    YES = "accepted"\n    NO = "refused"\n    LOST = "reply lost"',
        'Status = Literal["queued", "running"]',
        'OPEN = ("queued", "running")',
        'order = ["accepted", "refused", "duplicate", "failed"]',
        'words = {"refuse": "refused", "note": "noted"}',
        'kinds = {"finished", "final"}',
    ],
)
def test_a_second_definition_is_found(source):
    assert list(definitions(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        'FINISHED = "finished"',
        'over = event.kind == "finished"',
        'if event.kind in ("session_started", "finished"): pass',
        'reader.events(kind="final")',
        'archive.event("settings_changed", {})',
        'match event.kind:\n    case "evaluation_scored": pass',
        'handlers = {"charged": None}',
    ],
)
def test_an_event_kind_as_text_is_found(source):
    assert list(event_kinds_as_text(ast.parse(source)))


@pytest.mark.parametrize("source", ['say("finished")', 'part = part_of("final")', 'x = {"reason": "scored"}'])
def test_the_same_words_in_another_context_are_allowed(source):
    tree = ast.parse(source)
    assert not list(event_kinds_as_text(tree)) and not list(definitions(tree))
