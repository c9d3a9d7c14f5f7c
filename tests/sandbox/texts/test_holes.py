"""Hostile candidates, one test each, named after the trick: attacks that once succeeded, and attacks that never did.

`corpora/holes.json` has the former; `was` describes their effect. `corpora/attacks.json` has the latter, by class. `outcome` is
the expected result: `refused`; `noted`, accepted with findings; `flagged`, one of these two; `accepted`, for a harmless trick;
`bounded`, any verdict in limited time. `rules` must be among the findings.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox.verdicts.verdict import Verdict
from sandbox.vetting.vet import Vetter

CORPORA = Path(__file__).parents[1] / "corpora"
HOLES = json.loads((CORPORA / "holes.json").read_text("ascii"))
ATTACKS = json.loads((CORPORA / "attacks.json").read_text("ascii"))
WRAPPING = json.loads((CORPORA / "wrapping.json").read_text("ascii"))
CRASHES = {"SBX240", "SBX241", "SBX242", "SBX243", "SBX245", "SBX246", "SBX247"}
"""Rules that say that the child, not the source, gave the answer."""


@pytest.fixture(scope="module")
def vetter() -> Iterator[Vetter]:
    with Vetter() as vetter:
        yield vetter


def _vet(vetter: Vetter, entry: dict[str, Any]) -> Verdict:
    code: str = entry["code"]
    return vetter.vet(code.encode(entry["encoding"]) if "encoding" in entry else code)


def _outcome(verdict: Verdict) -> str:
    if verdict.refusals:
        return "refused"
    return "noted" if verdict.findings else "accepted"


ALLOWED = {
    "refused": {"refused"},
    "noted": {"noted"},
    "flagged": {"refused", "noted"},
    "accepted": {"accepted", "noted"},
    "bounded": {"refused", "noted", "accepted"},
}


@pytest.mark.parametrize("entry", HOLES + ATTACKS + WRAPPING, ids=lambda e: e["id"])
def test_trick(vetter: Vetter, entry: dict[str, Any]) -> None:
    verdict = _vet(vetter, entry)
    found = {f.rule for f in verdict.findings}
    assert _outcome(verdict) in ALLOWED[entry["outcome"]], (entry["why"], verdict.findings)
    assert set(entry["rules"]) <= found
    assert not found & CRASHES
    for finding in verdict.findings:
        assert len(finding.excerpt) <= 80 and len(finding.message) <= 600 and len(finding.remedy) <= 900
        shown = finding.excerpt + finding.message + finding.remedy
        assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in shown)
    assert verdict.entry == "" or verdict.entry.isidentifier()
    assert (verdict.graph is not None) or _outcome(verdict) == "refused"


def test_no_trick_leaves_a_process_behind(vetter: Vetter) -> None:
    mine = {p.pid for p in psutil.Process().children(recursive=True)}
    for entry in HOLES + [e for e in ATTACKS if e["kind"] in ("cost", "syntax")][::5]:
        _vet(vetter, entry)
    born = [p for p in psutil.Process().children(recursive=True) if p.pid not in mine]
    assert len(born) <= 1, born  # the zygote, if this test runs alone
    assert all(not p.children() for p in born)
