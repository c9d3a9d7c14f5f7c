"""Ways of writing a call that torch accepts: equal values and gradients, or a refusal with the right remedy."""

from __future__ import annotations

import pytest
import torch
from differential import eager, inputs, interpreted, same

from sandbox.contracts.contract import CLASSIFICATION, PREFERENCE, Contract


def _agree(expression: str, contract: Contract) -> None:
    arguments = inputs(contract.name, 5)
    wanted, found = eager(expression, contract, arguments), interpreted(expression, contract, arguments)
    assert not wanted.error and not found.error, (wanted.error, found.error)
    assert same(wanted.value, found.value) and len(wanted.gradients) == len(found.gradients)
    for a, b in zip(wanted.gradients, found.gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


_PAIR = "torch.stack([x, y], 1)"


@pytest.mark.parametrize(
    "expression",
    [
        "F.binary_cross_entropy_with_logits(x, p.detach(), weight=torch.sigmoid(y).detach(), reduction='none')",
        "F.binary_cross_entropy_with_logits(x, torch.ones_like(x), weight=q.detach(), reduction='sum')",
        "F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.9), pos_weight=torch.tensor([2.0]), reduction='none')",
        "F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.9), torch.tensor(0.5), pos_weight=torch.tensor(3.0))",
        "F.binary_cross_entropy_with_logits(x, p, weight=q.detach(), pos_weight=1 + q.detach(), reduction='none')",
        "F.binary_cross_entropy(p, torch.full_like(p, 0.9), weight=torch.full_like(p, 2.0), reduction='none')",
        "F.binary_cross_entropy(p, q.detach(), q.detach())",
        "torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0]), reduction='none')(x, torch.ones_like(x))",
        f"F.cross_entropy({_PAIR}, torch.softmax({_PAIR}.detach() * 2, dim=1), reduction='none')",
        f"F.cross_entropy({_PAIR}, torch.tensor([0.9, 0.1]).expand(len(x), -1))",
        f"F.cross_entropy({_PAIR}, torch.stack([p, 1 - p], dim=1), reduction='sum', label_smoothing=0.1)",
        f"F.cross_entropy({_PAIR}, torch.tensor([0.9, 0.1]).expand(len(x), -1), weight=torch.tensor([1.0, 3.0]))",
    ],
)  # fmt: skip
def test_weights_and_soft_labels(expression: str) -> None:
    _agree(expression, PREFERENCE)


@pytest.mark.parametrize(
    "expression",
    [
        "torch.zeros_like(logits).scatter(1, targets.unsqueeze(1), 1.0) * logits",
        "torch.zeros_like(logits).scatter_(1, targets.view(-1, 1), 0.9).mul(logits)",
        "torch.zeros(logits.size(0), logits.size(1)).scatter_(1, targets.unsqueeze(-1), 1) * logits",
        "logits.scatter_add(1, targets.unsqueeze(1), torch.full_like(targets.unsqueeze(1), -1, dtype=logits.dtype))",
        "logits.scatter(1, targets.unsqueeze(1), logits.mean(1, keepdim=True))",
        "torch.eye(logits.size(1))[targets] * logits",
        "logits.data.exp() * logits",
        "torch.full_like(logits, 0.5).fill_(2.0) * logits",
    ],
)
def test_places_of_the_targets(expression: str) -> None:
    _agree(expression, CLASSIFICATION)


@pytest.mark.parametrize(
    "expression",
    [
        "F.cross_entropy(logits, targets, weight=logits.detach().mean(0).exp(), reduction='none')",
        "F.cross_entropy(logits, targets, logits.detach().mean(0).exp())",
        "F.nll_loss(F.log_softmax(logits, dim=1), targets, weight=logits.detach().mean(0).exp())",
        "F.nll_loss(logits, targets, logits.detach().mean(0).exp(), reduction='sum')",
        "F.cross_entropy(logits, F.softmax(logits.detach() * 2, dim=1), reduction='none')",
        "F.cross_entropy(logits, F.one_hot(targets, logits.size(1)).float(), label_smoothing=0.1)",
    ],
)
def test_weights_of_classes_and_soft_labels(expression: str) -> None:
    _agree(expression, CLASSIFICATION)


@pytest.mark.parametrize(
    "expression",
    [
        "torch.quantile(x.detach(), torch.tensor([0.25, 0.75]))",
        "torch.quantile(x, torch.tensor(0.5))",
        "torch.quantile(S, q=torch.tensor([0.0, 0.4, 1.0], device=x.device), dim=1)",
        "x.quantile(torch.tensor([0.3]), dim=0, keepdim=True)",
    ],
)
def test_quantiles_for_a_tensor_of_constants(expression: str) -> None:
    _agree(expression, PREFERENCE)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("torch.quantile(x, p.mean())", "SBX207"),
        ("torch.quantile(x, beta)", "SBX207"),
        ("torch.quantile(x, p)", "SBX207"),
        ("torch.quantile(x, torch.tensor([[0.5]]))", "SBX207"),
        ("torch.quantile(x, [0.25, 0.75])", "SBX206"),
        ("torch.quantile(x, torch.tensor(True))", "SBX206"),
        ("F.binary_cross_entropy_with_logits(x, q, weight=S)", "SBX206"),
        ("F.binary_cross_entropy_with_logits(x, q, pos_weight=m)", "SBX220"),
        (f"F.cross_entropy({_PAIR}, p)", "SBX206"),
        ("x.int()", "SBX231"),
        ("x.to(torch.int32)", "SBX231"),
        ("m.byte()", "SBX231"),
        ("torch.zeros_like(x, dtype=torch.int32)", "SBX130"),
    ],
)
def test_refused(expression: str, code: str) -> None:
    assert interpreted(expression, PREFERENCE, inputs("preference", 5)).error == code


@pytest.mark.parametrize("mask", ["m.int()", "m.to(torch.int)", "m.to(dtype=torch.int32)", "m.type(torch.int32)"])
@pytest.mark.parametrize("use", ["{} * x", "1.0 - 0.5 * {}", "{}.sum() / {}.numel()", "(1 - {}) * x + {} * y"])
def test_masks_as_whole_numbers(mask: str, use: str) -> None:
    _agree(use.replace("{}", mask), PREFERENCE)
