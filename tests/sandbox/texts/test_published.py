"""Losses with the wrapping in which they are published: accepted with notes, with the values and gradients of eager torch.

If the function averages over the batch itself, the mean of the traced losses is compared.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sandbox.contracts.contract import PREFERENCE
from sandbox.execute.interpreter import compile_loss
from sandbox.vetting.vet import Vetter

PUBLISHED = json.loads((Path(__file__).parents[1] / "corpora" / "published.json").read_text("ascii"))
NAMES = [t.name for t in PREFERENCE.tensors]


@pytest.fixture(scope="module")
def vetter() -> Iterator[Vetter]:
    with Vetter() as vetter:
        yield vetter


def _eager(entry: dict[str, Any], name: str, beta: float) -> Callable[..., Any]:
    """The loss executed on real tensors, with its author's names of the arguments. The sources come from this repository."""
    scope: dict[str, Any] = {"torch": torch, "F": F, "math": math, "nn": nn}
    exec(entry["code"], scope)
    found = scope[name]
    if isinstance(found, type):
        found = found(**({"beta": beta} if _takes_beta(found) else {}))
        found.accelerator = SimpleNamespace(device="cpu")
        found = getattr(found, entry["method"]) if "method" in entry else found
    settings = {"beta": beta} if _takes_beta(getattr(found, "forward", found)) else {}
    return lambda *tensors: found(**dict(zip(entry.get("arguments", NAMES), tensors, strict=False)), **settings)


def _takes_beta(function: Callable[..., Any]) -> bool:
    return "beta" in inspect.signature(function).parameters


def _batch(items: int) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(items)
    reference = -5 - 50 * torch.rand(2, items, generator=drawn)
    policy = reference + 3 * torch.randn(2, items, generator=drawn)
    return [*policy.clamp(max=-0.1), *reference]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: e["id"])
def test_published_form(vetter: Vetter, entry: dict[str, Any]) -> None:
    verdict = vetter.vet(entry["code"])
    assert verdict.accepted, verdict.findings
    assert verdict.graph is not None
    assert sorted({f.rule for f in verdict.findings if f.rule.startswith("SBX2")}) == entry["notes"]
    ours = compile_loss(verdict.graph)
    for items, beta in ((2, 0.05), (3, 0.7), (16, 0.1)):
        mine, theirs = ([t.clone().requires_grad_() for t in _batch(items)] for _ in range(2))
        losses, wanted = ours(*mine, beta), _eager(entry, verdict.entry, beta)(*theirs)
        wanted = wanted[0] if isinstance(wanted, tuple) else wanted["loss"] if isinstance(wanted, dict) else wanted
        assert losses.shape == (items,) and losses.dtype == torch.float32
        compared = losses.mean() if wanted.dim() == 0 else losses
        tolerance = {"rtol": 1e-2, "atol": 1e-3} if wanted.dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
        torch.testing.assert_close(compared, wanted.float(), **tolerance)
        found, eager = (
            torch.autograd.grad(value.sum(), inputs, materialize_grads=True)
            for value, inputs in ((compared, mine), (wanted, theirs))
        )
        for a, b in zip(found, eager, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_forms_of_one_loss_are_one_loss(vetter: Vetter) -> None:
    forms = {e["id"]: e["code"] for e in PUBLISHED}
    same = ["form_dpo_original", "form_torchtune", "form_openrlhf", "trl_old_in_a_class"]
    assert len({vetter.vet(forms[name]).hash for name in same}) == 1
