"""The repair of an undefined name is told what the name was in the losses that the model had been shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from histories import history

from archive.records import FindingRow
from evo.proposing.definitions import with_definitions
from evo.proposing.propose import messages
from evo.proposing.reply.reply import ReplyFormat
from evo.proposing.request import request_for
from sandbox.vetting.vet import Vetter

SHOWN = """Two losses a and b:

    t1 = beta * (chosen_ratio - torch.clamp(rejected_ratio, min=0))
    t2 = (1 - t1) * 0.3
    a = torch.sigmoid(t1) / 2 + t2

    b = torch.relu(1 - x) * (0.3 + torch.sigmoid(x + 1))

Write a new loss: g = "some gate" is to be found. Copy the lines above.
"""


def finding(name: str, rule: str = "SBX126") -> FindingRow:
    return FindingRow(1, 1, 0, rule, "refuse", f"`{name}` is not defined", 3, 4, name, "Write a number.", {})


def remedies(source: str, *names: str, prompt: str = SHOWN) -> list[str | None]:
    told = with_definitions([finding(name) for name in names], source, [("system", "t2 = 0"), ("user", prompt)])
    return [f.remedy for f in told]


def test_a_definition_comes_after_those_that_it_needs():
    t1 = "t1 = beta * (chosen_ratio - torch.clamp(rejected_ratio, min=0))"
    assert remedies("def loss():\n    return t1 + t2\n", "t1", "t2", "b") == [
        f"A loss that you were shown defines it. Write above its use: `{t1}`",
        f"A loss that you were shown defines it. Write above its use: `{t1}`, then `t2 = (1 - t1) * 0.3`",
        "A loss that you were shown defines it. Write above its use: `b = torch.relu(1 - x) * (0.3 + torch.sigmoid(x + 1))`",
    ]
    own = "def loss():\n    t1 = 0.5\n    return t1 + t2\n"
    assert remedies(own, "t2") == ["A loss that you were shown defines it. Write above its use: `t2 = (1 - t1) * 0.3`"]


@pytest.mark.parametrize("name", ["g", "x", "", "torch", "c"])
def test_a_name_without_a_definition_keeps_its_remedy(name):
    twice = f"{SHOWN}\n    c = 1\n\n    c = 2\n"
    assert remedies("return g", name, prompt=twice) == ["Write a number."]


def test_definitions_that_use_each_other_come_once():
    assert remedies("return p", "p", prompt="p = q + 1\nq = p * 2\n") == [
        "A loss that you were shown defines it. Write above its use: `q = p * 2`, then `p = q + 1`"
    ]


def test_other_findings_and_unrecorded_prompts_change_nothing():
    kept = [finding("t1", "SBX103")]
    assert with_definitions(kept, "", [("user", SHOWN)]) == tuple(kept)
    assert with_definitions([finding("t1")], "", None) == (finding("t1"),)


def test_a_repair_is_told_the_definition_that_its_loss_left_out(tmp_path: Path) -> None:
    source = "def loss(logits, targets):\n    return F.cross_entropy(t1, targets, reduction='none')\n"
    shown = [("system", "s"), ("user", "A loss:\n\n    t1 = 2 * torch.tanh(logits)\n    a = t1.sum(1)\n")]
    with history(tmp_path, search={"islands": 1}) as run, Vetter() as vetter:
        run.scored(run.seed("cross_entropy"), 0.5)
        asked = run.archive.request_proposal(
            1, 1, "refine", "openai", "m", 0.7, "t", {"island": 0, "parents": []}, 0, shown
        )
        run.archive.receive_proposal(asked, "a reply", 10, 5, 0.25, 1.0)
        candidate = run.archive.add_candidate("proposal", "mine", "", source, "classification", asked, [(1, "refined")])
        run.archive.record_verdict(candidate, vetter.vet(source, contract="classification").to_json())
        every = (request_for(run.population(), step, run.reader) for step in range(2, 400))
        repair = next(request for request in every if request.operator == "repair")
        told = messages(repair, ReplyFormat.FENCED)[-1]
    assert [p.id for p in repair.parents] == [candidate]
    assert "Write above its use: `t1 = 2 * torch.tanh(logits)`" in told.content
