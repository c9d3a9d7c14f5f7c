"""Losses in the styles of language models: all accepted, with the values and gradients of eager torch."""

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

from sandbox.execute.interpreter import compile_loss
from sandbox.vetting.vet import Vetter

STYLES = json.loads((Path(__file__).parents[1] / "corpora" / "styles.json").read_text("ascii"))


@pytest.fixture(scope="module")
def vetter() -> Iterator[Vetter]:
    with Vetter() as vetter:
        yield vetter


def _eager(source: str, name: str) -> Callable[..., Tensor]:
    """The function executed on real tensors. The sources come from this repository."""
    scope: dict[str, Any] = {"torch": torch, "F": F, "math": math, "nn": nn}
    exec(source, scope)
    function = scope[name]
    if next(iter(inspect.signature(function).parameters)) != "self":
        return function
    return lambda *a: function(SimpleNamespace(beta=a[-1], label_smoothing=0.0), *a[:-1])


def _batch(items: int) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(items)
    reference = -5 - 200 * torch.rand(2, items, generator=drawn)
    policy = reference + 3 * torch.randn(2, items, generator=drawn)
    return [*policy, *reference]


@pytest.mark.parametrize("entry", STYLES, ids=lambda e: e["id"])
def test_style(vetter: Vetter, entry: dict[str, str]) -> None:
    verdict = vetter.vet(entry["code"])
    assert verdict.accepted, verdict.findings
    assert verdict.graph is not None
    ours, theirs = compile_loss(verdict.graph), _eager(entry["code"], verdict.entry)
    for items, beta in ((2, 0.05), (3, 0.7), (16, 0.1)):
        values, gradients = [], []
        for loss in (ours, theirs):
            inputs = [t.clone().requires_grad_() for t in _batch(items)]
            value = loss(*inputs, beta)
            values.append(value)
            gradients.append(torch.autograd.grad(value.sum(), inputs, materialize_grads=True))
        torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-7)
        for mine, eager in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, eager, rtol=1e-5, atol=1e-7)
