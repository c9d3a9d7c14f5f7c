"""Frequent cases of a rule have a remedy of their own. What these remedies say to write is accepted."""

import re

import pytest
from hostile_more import candidate

from sandbox.verdicts.cases import CASES
from sandbox.verdicts.rules import RULES
from sandbox.vetting.vet import vet

FOUND = {
    "SBX105": ("β = 2.0", "`beta`"),
    "SBX113": ("y = 0 < 1 < (k := 2.0)", "a statement of its own"),
    "SBX120": ("@property\n    def scale(z):\n        return z", "a function outside of the class"),
    "SBX123": ("from functools import lru_cache\n    y = lru_cache(x)", "a loop or a helper"),
    "SBX127": ("y = getattr(x, 'sum', None)", "by its name"),
    "SBX131": ("y = torch.empty_like(x)", "torch.zeros_like"),
    "SBX132": ("y = x * 1.0\n    y.addmm_(x)", "without the trailing underscore"),
    "SBX133": ("k = int(0.8 * len(x))", "torch.quantile(losses.detach(), 0.8)"),
    "SBX201": ("y = max(x, 0 * x)", "torch.maximum"),
    "SBX206": ("y = torch.quantile(x.detach(), [0.25, 0.75])", "a tensor of constants"),
    "SBX207": ("y = torch.quantile(x.detach(), x.sigmoid().mean())", "q must be a constant"),
    "SBX231": ("y = x.int()", ".float() for a mask"),
}


@pytest.mark.parametrize("code", FOUND)
def test_a_frequent_case_has_its_own_remedy(code: str) -> None:
    line, words = FOUND[code]
    found = {f.rule: f for f in vet(candidate(line, "return -F.logsigmoid(beta * x)")).findings}
    assert words in found[code].remedy


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("if self.loss_type == 'sigmoid':\n        pass", "`loss_type = 'sigmoid'`"),
        ("if self.reference_free:\n        pass", "`reference_free = False`"),
        ("y = x.get_device()", "devices have no effect"),
        ("y = torch.tensor(0.5, device=torch.device('cpu'))", "devices have no effect"),
        ("y = x.mean().item()", "Keep the tensor"),
        ("with torch.inference_mode():\n        y = x * 1.0", "torch.no_grad()"),
        ("y = nn.Parameter(torch.tensor(0.5))", "no weights that are trained"),
        ("y = torch.tensor([1, 2], dtype=torch.int32)", "int64 and bool"),
        ("x[0] = 0.0\n    x[:, 0] = 1.0", "torch.stack"),
        ("y = torch.einsum('...i->...', x)", "no ellipsis"),
        ("y = x.repeat(len(x))", "as often as the batch has items"),
    ],
)  # fmt: skip
def test_a_frequent_way_of_writing_is_told_what_to_write(line: str, words: str) -> None:
    source = candidate(line, "return -F.logsigmoid(beta * x)").replace(
        "(policy_chosen_logps,", "(self, policy_chosen_logps,", 1
    )
    if "self." not in line:
        source = candidate(line, "return -F.logsigmoid(beta * x)")
    assert any(words in f.remedy for f in vet(source, numeric=False).refusals)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("from trl import DPOTrainer\n", "without the trainer"),
        ("from enum import Enum\nclass A(Enum):\n    a = [1]\n", "without methods"),
        ("if __name__ == '__main__':\n    loss()\n", "Remove the block"),
        ("from typing import NewType\nk = NewType('K', float)\n", "for annotations only"),
    ],
)
def test_a_frequent_line_outside_of_the_loss_is_told_what_to_write(source: str, words: str) -> None:
    found = vet(candidate("return -F.logsigmoid(beta * x)", before=source), numeric=False).refusals
    assert any(words in f.remedy for f in found), found


@pytest.mark.parametrize(
    ("written", "meant"), [("reference_rejeced_logps", "reference_rejected_logps"), ("margn", "margin")]
)
def test_a_misspelt_name_is_told_what_was_meant(written: str, meant: str) -> None:
    source = candidate("margin = 0.5 * x", f"return -F.logsigmoid(beta * x + 0 * {written})")
    (found,) = vet(source).refusals
    assert found.rule == "SBX126" and f"Did you mean `{meant}`?" in found.remedy and "= 0.5" not in found.remedy


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (code, line)
        for code, cases in CASES.items()
        for _, remedy in cases
        for line in re.findall(r"Write: `(?!self)([^`]+)`", remedy)
    ],
)
def test_what_a_case_says_to_write_is_accepted(code: str, line: str) -> None:
    assert code in RULES
    known = "rho = x / beta\n    a, b, kind, losses = x, 0 * x, 1, F.softplus(-x)\n    "
    body = known + line + ("\n        x = x * 1.0" if line.endswith(":") else "")
    verdict = vet(candidate(body, "return -F.logsigmoid(beta * x)"))
    assert verdict.accepted, verdict.findings
