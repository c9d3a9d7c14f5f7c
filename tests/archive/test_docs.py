"""docs/archive.md names what there is."""

from pathlib import Path

import pytest

from archive.records import EvaluationState, ProposalState, Role
from archive.sqlite.schema import TABLES
from sandbox.verdicts.verdict import VerdictStatus

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "archive.md").read_text("utf-8")


@pytest.mark.parametrize("name", [*TABLES, "leaderboard", "lineage", "refusals"])
def test_tables_and_views_are_described(name):
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("state", [*ProposalState, *VerdictStatus, *EvaluationState, *Role])
def test_states_and_roles_are_named(state):
    assert str(state) in PAGE
