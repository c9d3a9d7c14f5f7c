"""Operators: one record each, whose missing parts are named; and the recipe that adds one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaigns import QUICK

from archive.query import Reader
from archive.records import Operator, Role
from evo.search.operators import OPERATORS, STUDIES, SearchOperator
from recipes import copied, examples, insert, put, python

PARTS: dict[str, Any] = {
    "name": "soften", "role": Role.REFINED, "parents": 1, "prior": 1.0, "prompt": "refine", "genetic": "a.b:c"
}  # fmt: skip
RECORD = "evo/search/operators.py"
ASKED = """
from evo.proposing.prompting import Briefing, ParentView, TaskView, render
from sandbox.contracts.contract import PREFERENCE
print(render("robustify", Briefing(PREFERENCE, TaskView("t", "m"), [ParentView("the code", "dpo")]))[-1].content)
"""


def added(folder: Path, *, without: str = "") -> Path:
    """A copy of the packages with the operator of CONTRIBUTING.md, save one of its files."""
    copied(folder)
    for path, code in examples("CONTRIBUTING.md", "## Add an operator").items():
        if path == RECORD:
            # So that a short search is sure to choose it.
            insert(folder, path, code.replace("prior=1.0", "prior=100.0").rstrip() + ",\n", ")\n\nCHAT")
        elif without not in path or not without:
            put(folder, path, code)
    return folder


def test_the_operator_that_contributing_shows_is_chosen_proposes_and_is_reported(tmp_path: Path) -> None:
    added(tmp_path)
    ran = python(tmp_path, "-m", "evo", "run", "--dir", "run", *QUICK, "--set", "budget.proposals=3")
    assert ran.returncode == 0, ran.stderr
    with Reader.open(tmp_path / "run" / "archive.db") as reader:
        asked = [proposal for proposal in reader.proposals() if proposal.operator == "robustify"]
        made = {c.proposal_id: c for c in reader.candidates()}
        assert asked and all("asinh" in made[p.id].source for p in asked)
        assert all(edge.role is Role.REFINED for p in asked for edge in reader.parents(made[p.id].id))
    asked_for = python(tmp_path, "-c", ASKED)
    assert "the code" in asked_for.stdout and "items with a large loss pull less" in asked_for.stdout, asked_for.stderr
    drawn = python(tmp_path, "-m", "evo", "report", "run")
    assert drawn.returncode == 0, drawn.stderr
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert ">robustify</text>" in report, "the legend of the lineage names it"
    replayed = python(tmp_path, "-m", "evo", "replay", "run")
    assert "All 3 proposals replay" in replayed.stdout
    # An evopo that knows nothing of the operator reads the archive all the same.
    with Reader.open(tmp_path / "run" / "archive.db") as reader:
        assert {proposal.operator for proposal in reader.proposals()} <= {"robustify", *Operator}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("robustify.j2", "operator robustify: prompt: there is no template robustify.j2"),
        ("robustify.py", "operator robustify: genetic: no module 'evo.proposing.genetic.robustify'"),
    ],
)
def test_an_operator_without_one_of_its_files_fails_at_import_and_names_the_part(
    tmp_path: Path, part: str, told: str
) -> None:
    done = python(added(tmp_path, without=part), "-c", "import evo.proposing.propose")
    assert done.returncode != 0 and told in done.stderr


@pytest.mark.parametrize("part", PARTS)
def test_a_record_that_lacks_a_part_is_an_error_that_names_it(part: str) -> None:
    with pytest.raises(TypeError, match=f"'{part}'"):
        SearchOperator(**{name: value for name, value in PARTS.items() if name != part})


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("name", "Soft-en"),
        ("role", None),
        ("parents", 0),
        ("prior", 0.0),
        ("prior", float("nan")),
        ("prompt", ""),
        ("genetic", None),
    ],
)
def test_a_part_that_cannot_be_is_an_error_that_names_it(part: str, value: object) -> None:
    with pytest.raises(ValueError, match=f": {part}: expected"):
        SearchOperator(**{**PARTS, part: value})


def test_the_operators_are_those_that_the_archive_names() -> None:
    assert [*(operator.name for operator in OPERATORS), *STUDIES] == list(Operator)
