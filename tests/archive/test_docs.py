"""docs/archive.md names all tables, views, states and roles."""

import re
from pathlib import Path

import pytest

from archive.records import EvaluationState, ProposalState, Role
from archive.sqlite.schema import TABLES
from sandbox.verdicts.verdict import VerdictStatus

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "archive.md").read_text("utf-8")


@pytest.mark.parametrize("name", [*TABLES, "leaderboard", "lineage", "refusals"])
def test_tables_and_views_are_described(name):
    assert f"| `{name}` |" in PAGE


def diagram() -> dict[str, set[str]]:
    """The states in each line of the page's diagram, by kind of row."""
    found: dict[str, set[str]] = {}
    subject = ""
    for line in PAGE.splitlines():
        match = re.match(r" {4}(proposal|verdict|evaluation| {8,}) *([a-z]+(?: (?:->|\|) [a-z]+)+)", line)
        if match:
            subject = match[1].strip() or subject
            found.setdefault(subject, set()).update(re.findall("[a-z]+", match[2]))
    return found


@pytest.mark.parametrize(
    ("subject", "states"), [("proposal", ProposalState), ("verdict", VerdictStatus), ("evaluation", EvaluationState)]
)
def test_the_diagram_has_the_states_of_the_code(subject, states):
    assert diagram()[subject] == {str(state) for state in states}


def test_roles_are_named():
    assert all(f"`{role}`" in PAGE for role in Role)
