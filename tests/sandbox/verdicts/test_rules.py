"""The catalogue of rules: codes, texts, and examples that have the outcome of their rule."""

from __future__ import annotations

import ast
import re

import pytest

from sandbox.verdicts.rules import RULES, Rule
from sandbox.verdicts.verdict import Severity
from sandbox.vetting.vet import vet

OF_SOURCE = [r for r in RULES.values() if r.code < "SBX300"]
TAKEN = [r for r in OF_SOURCE if r.code.startswith(("SBX25", "SBX26"))]


@pytest.mark.parametrize("rule", [r for r in OF_SOURCE if r.bad], ids=lambda r: r.code)
def test_examples_have_the_outcome_of_their_rule(rule: Rule) -> None:
    bad, good = vet(rule.bad, numeric=False), vet(rule.good, numeric=False)
    assert rule.code in {f.rule for f in bad.findings}
    assert not good.findings


def test_codes_are_sorted_and_well_formed() -> None:
    assert list(RULES) == sorted(RULES)
    assert all(re.fullmatch(r"SBX[123]\d\d", code) and rule.code == code for code, rule in RULES.items())


def test_a_finding_fills_every_placeholder_of_a_message() -> None:
    places = {code: set(re.findall(r"\{(\w+)\}", rule.message)) for code, rule in RULES.items()}
    assert {code for code, names in places.items() if names - {"text", "0", "1"}} == set()
    assert {code for code, r in RULES.items() if "{text}" in r.title + r.remedy + r.explanation} == set()


def test_every_code_in_the_sandbox_is_in_the_catalogue() -> None:
    from pathlib import Path

    import sandbox

    root = Path(sandbox.__file__).parent
    spoken = {code for file in root.rglob("*.py") for code in re.findall(r"SBX\d{3}", file.read_text())}
    assert spoken - set(RULES) == set()
    unspoken = {
        code for code in RULES if not any(code in f.read_text() for f in root.rglob("*.py") if f.parent.name != "rules")
    }
    assert unspoken == set(), "rules that nothing finds"


def test_rules_on_source_refuse_except_those_on_unwrapping() -> None:
    assert all((r.severity is Severity.NOTE) == (r in TAKEN) for r in OF_SOURCE)


@pytest.mark.parametrize("rule", [r for r in RULES.values() if r.line], ids=lambda r: r.code)
def test_the_line_of_a_remedy_is_python_and_reaches_the_finding(rule: Rule) -> None:
    body = rule.line + (" pass" if rule.line.partition("#")[0].rstrip().endswith(":") else "")
    ast.parse(f"def f():\n    {body}\n")
    assert rule.advice.endswith(f"`{rule.line}`")


_WITHOUT_A_LINE = {
    "SBX101", "SBX103", "SBX104", "SBX105", "SBX106", "SBX110", "SBX113", "SBX120", "SBX122", "SBX123", "SBX127", "SBX128",
    "SBX129", "SBX130", "SBX131", "SBX132", "SBX138", "SBX141", "SBX142",
    "SBX210", "SBX211", "SBX214", "SBX215",
    "SBX324", "SBX325", "SBX326", "SBX327", "SBX331", "SBX332", "SBX333",
}  # fmt: skip
"""Rules whose remedy is to remove something, whose line is made for the case at hand, or that ask for nothing."""


def test_a_remedy_shows_a_line_that_is_accepted() -> None:
    without = {r.code for r in RULES.values() if not r.line and r not in TAKEN and not "SBX240" <= r.code <= "SBX247"}
    assert without == _WITHOUT_A_LINE
