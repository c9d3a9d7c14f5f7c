"""The direction of classification losses: for each label, at many batch sizes, and at many numbers of classes."""

import pytest
from written import written

from sandbox.numeric import run
from sandbox.numeric.checks import class_sizes
from sandbox.verdicts.verdict import Finding, Severity

CE = "F.cross_entropy(z, y, reduction='none')"
SIZES = "n = z.shape[0]\nC = z.shape[1]\n"


def found(expression: str, seed: int = 3) -> dict[str, Finding]:
    return {f.rule: f for f in run.run(written(expression, "classification"), seed=seed).findings}


def refusals(expression: str, seed: int = 3) -> dict[str, Finding]:
    return {rule: f for rule, f in found(expression, seed).items() if f.severity is Severity.REFUSE}


def reversed_where(condition: str) -> str:
    return f"{SIZES}s = {condition}\ns * {CE}"


@pytest.mark.parametrize("size", [2, 3, 8, 16, 24, 32, 64, 100, 128, 256, 512])
def test_a_loss_reversed_at_one_batch_size_is_refused(size: int) -> None:
    refused = refusals(reversed_where(f"1 - 2 * math.exp(-(n - {size}.0) ** 2 * 9)"))
    assert refused.keys() == {"SBX310"}
    assert f"in batches of {size}" in refused["SBX310"].message


@pytest.mark.parametrize(
    "expression",
    [
        reversed_where("-math.tanh(n - 70.5)"),
        f"n = 1 / torch.softmax(z[:, 0] * 0, 0)\n(1 - 2 * torch.exp(-(n - 24.0) ** 2 * 9)) * {CE}",
        f"s = torch.where(torch.arange(z.shape[0]) < 100, 1.0, -1.0)\ns * {CE}",
        f"s = torch.tanh(40 * ((z * 0 + 1).sum() - 705.0))\n-s * {CE}",
    ],
)
def test_a_loss_reversed_in_large_batches_is_refused(expression: str) -> None:
    for seed in (0, 1):
        assert refusals(expression, seed).keys() == {"SBX310"}


def test_a_loss_reversed_in_a_batch_of_one_is_noted() -> None:
    notes = found(reversed_where("1 - 2 * math.exp(-(n - 1.0) ** 2 * 9)"))
    assert "SBX322" in notes
    assert not any(f.severity is Severity.REFUSE for f in notes.values())


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        (f"s = torch.where(y >= 5, -1.0, 1.0)\ns * {CE}", "label 5"),
        (f"s = torch.where(y == 9, -1.0, 1.0)\ns * {CE}", "label 9"),
        ("F.cross_entropy(z, y.clamp(max=1), reduction='none')", "label 2"),
        ("F.cross_entropy(z * torch.where(torch.arange(z.shape[1]) > 6, -1, 1), y, reduction='none')", "label 7"),
        (
            "right = F.one_hot(y, z.shape[1]).bool()\n"
            "s = torch.where(torch.arange(z.shape[1]) == 7, -1.0, 1.0)\n"
            "F.cross_entropy(torch.where(right, z, z * s), y, reduction='none')",
            "class 7",
        ),
    ],
)
def test_a_loss_reversed_for_some_labels_or_classes_is_refused(expression: str, part: str) -> None:
    for seed in (0, 1):
        refused = refusals(expression, seed)
        assert refused.keys() == {"SBX310"}
        assert part in refused["SBX310"].message


@pytest.mark.parametrize("classes", [5, 20, 50, 100, 1000])
def test_a_loss_reversed_at_one_number_of_classes_is_refused(classes: int) -> None:
    refused = refusals(reversed_where(f"1 - 2 * math.exp(-4 * (C - {classes}.0) * (C - {classes}.0))"))
    assert refused.keys() == {"SBX310"}
    assert f"with {classes} classes" in refused["SBX310"].message


@pytest.mark.parametrize(
    "classes",
    [
        "1 / torch.softmax(z * 0, 1)[:, 0]",
        "torch.exp(F.cross_entropy(z * 0, y, reduction='none'))",
        "1 / F.one_hot(y, z.shape[1]).float().mean(1)",
        "(z * 0 + 1).sum(1)",
    ],
)
def test_a_number_of_classes_read_from_a_tensor_is_found(classes: str) -> None:
    expression = f"k = {classes} - 100.0\n(1 - 2 * torch.exp(-4 * k * k)) * {CE}"
    assert refusals(expression).keys() == {"SBX310"}


PRIOR = "prior = torch.softmax(-0.8 * torch.arange(z.shape[1]).float(), 0)\n"
COUNTS = "counts = F.one_hot(y, z.shape[1]).float().sum(0) + 1\n"
USUAL = {
    "no_weight_for_some_labels": f"torch.where(y >= 5, 0.0, 1.0) * {CE}",
    "small_weight_for_some_labels": f"torch.where(y >= 5, 0.01, 1.0) * {CE}",
    "logit_adjustment": PRIOR + "F.cross_entropy(z + torch.log(prior), y, reduction='none')",
    "logit_adjustment_and_smoothing": (
        PRIOR + "F.cross_entropy(z + torch.log(prior), y, reduction='none', label_smoothing=0.1)"
    ),
    "strong_smoothing": "F.cross_entropy(z, y, reduction='none', label_smoothing=0.5)",
    "focal": f"loss = {CE}\n(1 - torch.exp(-loss)) ** 2 * loss",
    "gce": f"(1 - torch.exp(-0.7 * {CE})) / 0.7",
    "ldam": "F.cross_entropy(3 * (z - 0.5 * F.one_hot(y, z.shape[1])), y, reduction='none')",
    "balanced_softmax": COUNTS + "F.cross_entropy(z + torch.log(counts), y, reduction='none')",
    "balanced_weights": COUNTS + f"{CE} * (F.one_hot(y, z.shape[1]) / counts).sum(1)",
    "squared_errors": "((z - F.one_hot(y, z.shape[1]).float()) ** 2).mean(1)",
    "ordinal": "((torch.softmax(z, 1) * torch.arange(z.shape[1])).sum(1) - y) ** 2",
    "masked_classes": "F.cross_entropy(torch.where(torch.arange(z.shape[1]) > 6, -30.0, z), y, reduction='none')",
    "centred": "F.cross_entropy(z - z.mean(0), y, reduction='none')",
    "over_the_spread": "F.cross_entropy(z / (z.std(0, correction=0) + 0.1), y, reduction='none')",
    "hard_items": f"loss = {CE}\nloss * torch.softmax(loss.detach(), 0) * z.shape[0]",
    "over_the_number_of_classes": f"{CE} / math.log(z.shape[1])",
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_losses_are_not_refused(name: str) -> None:
    for seed in (0, 1):
        assert not refusals(USUAL[name], seed)


def test_sizes_are_tested_only_where_a_loss_may_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("evaluated at a further size")

    monkeypatch.setattr(class_sizes, "_batches", fail)
    monkeypatch.setattr(class_sizes, "_many", fail)
    for expression in (CE, USUAL["focal"], USUAL["gce"], USUAL["strong_smoothing"]):
        assert not refusals(expression)


def test_a_value_too_large_for_a_thousand_classes_is_not_computed_there() -> None:
    pairs = "torch.relu(1 + z.unsqueeze(1) - z.unsqueeze(2))"
    assert not refusals(f"{CE} + 1e-3 * {pairs}.mean((1, 2)) + 0 * {CE} * z.shape[1]")
