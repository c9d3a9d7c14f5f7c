"""Both corpora, one test per entry: benign losses keep their values and gradients, hostile candidates are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hostile_more import ALL as MORE

from sandbox.execute.interpreter import compile_loss
from sandbox.verdicts.verdict import Severity, VerdictStatus
from sandbox.vetting.vet import vet

CORPORA = Path(__file__).parents[1] / "corpora"
BENIGN = json.loads((CORPORA / "benign.json").read_text())
HOSTILE = json.loads((CORPORA / "hostile.json").read_text())

STYLES = {
    "docstring_and_unicode_comment": '''
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    """A docstring with β and ρ.

    Several lines, "quotes" and a backslash: \\\\.
    """
    # β·ρ → the margin ✅
    rho = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    return F.softplus(-beta * rho)
''',
    "every_import": """
from __future__ import annotations
import math
from math import pi, sqrt as root
from typing import Optional, Tuple
import typing
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import softplus

def loss(policy_chosen_logps: Tensor, policy_rejected_logps: "torch.Tensor", reference_chosen_logps: Optional[Tensor],
         reference_rejected_logps: torch.FloatTensor | None, beta: float = 0.1, scale: float = 2.0) -> Tuple[Tensor, ...]:
    import torch.nn.functional as F
    rho: Tensor = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    unused: typing.Any
    return softplus(-beta * rho) * root(scale) / pi + nn.functional.relu(rho) * 0.001
""",
    "helpers_lambdas_and_nested": """
TEMPERATURES = (0.5, 1.0, 2.0)
WEIGHTS = {"soft": 0.75, "hard": 0.25}
SHARP = lambda z, k=2.0: F.softplus(k * z) / k

def margin(a, b, c, d):
    return (a - b) - (c - d)

def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    rho = margin(policy_chosen_logps, policy_rejected_logps, c=reference_chosen_logps, d=reference_rejected_logps)

    def at(t):
        return WEIGHTS["soft"] * SHARP(-beta * rho / t) + WEIGHTS["hard"] * F.relu(1 - beta * rho / t)

    terms = []
    for i, t in enumerate(TEMPERATURES):
        if i == 1 and t < 5:
            terms.append(at(t) * 2)
        elif t > 1.5:
            terms += [at(t)]
        else:
            terms.extend([at(t)])
    total = sum(terms)
    return total / len(terms)
""",
    "sizes_and_creation": """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    n = chosen.shape[0]
    device, dtype = chosen.device, chosen.dtype
    assert chosen.shape == rejected.shape, "both are (batch,)"
    floor = torch.tensor(0.0, device=device, dtype=dtype)
    kl = torch.maximum(chosen.detach().mean(), floor)
    pull = torch.full((n,), 0.5, device=device) * torch.ones_like(chosen) + torch.zeros(n, dtype=torch.float32, device=device)
    out = torch.zeros_like(chosen)
    out += 1 - torch.sigmoid(beta * (chosen - kl))
    out = out + pull * (1 - torch.sigmoid(beta * (kl - rejected)))
    return out * (float(n) / n)
""",
    "method_with_smoothing": """
def compute(self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    pi_logratios = policy_chosen_logps - policy_rejected_logps
    ref_logratios = reference_chosen_logps - reference_rejected_logps
    logits = pi_logratios - ref_logratios
    if self.label_smoothing > 0:
        logits = logits * 2
    losses = (
        -F.logsigmoid(self.beta * logits) * (1 - self.label_smoothing)
        - F.logsigmoid(-self.beta * logits) * self.label_smoothing
    )
    return losses
""",
    "batch_statistics": """
def loss(self, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps):
    logratio = (policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)
    x = logratio * self.beta
    z = (x - x.mean()) / (x.std(unbiased=False) + 1e-6)
    w = torch.where(z.detach().abs() > 1, torch.full_like(z, 0.5), torch.ones_like(z))
    rank = torch.argsort(torch.argsort(x.detach())).float() / x.shape[0]
    return w * F.softplus(-x) * (0.5 + 0.5 * rank)
""",
    "pairwise": """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    x = beta * ((policy_chosen_logps - policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps))
    gaps = x[:, None] - x[None, :].detach()
    n = x.size(0)
    return F.softplus(-x) + 0.1 * F.softplus(-gaps).mean(dim=-1) + 0.01 * F.relu(gaps).sum(1) / n
""",
    "many_functions_of_torch": """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    x = torch.sub(torch.sub(policy_chosen_logps, policy_rejected_logps), reference_chosen_logps.sub(reference_rejected_logps))
    u = torch.clamp(beta * x, min=-30.0, max=30.0)
    parts = torch.stack([F.softplus(-u), torch.log1p(torch.exp(-u)), torch.logaddexp(torch.zeros_like(u), -u)], dim=0)
    mix = torch.softmax(torch.tensor([0.1, 0.2, 0.3]), dim=0).unsqueeze(-1)
    return (parts * mix).sum(0) + 1e-3 * torch.tanh(u).pow(2) + torch.square(u).mul(1e-4).add(1e-8).sqrt()
""",
}


def _contract(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"torch": torch, "F": F, "math": math}
    exec(code, scope)  # benign code of this corpus
    return scope


class _Trainer:
    beta = 0.1
    label_smoothing = 0.0


def _eager(code: str, entry: str, arguments: list[Any], beta: float) -> torch.Tensor:
    function = _contract(code)[entry]
    trainer = _Trainer()
    trainer.beta = beta
    result = function(trainer, *arguments) if function.__code__.co_varnames[0] == "self" else function(*arguments, beta)
    assert isinstance(result, torch.Tensor)
    return result


def _inputs(batch: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = [-50 * torch.rand(batch, generator=generator) - 1 for _ in range(4)]
    return [v.requires_grad_() for v in values]


@pytest.mark.parametrize(
    "code", [e["code"] for e in BENIGN] + list(STYLES.values()), ids=[*[e["id"] for e in BENIGN], *STYLES]
)
def test_benign_is_accepted_with_unchanged_values_and_gradients(code: str) -> None:
    verdict = vet(code)
    assert verdict.status is VerdictStatus.ACCEPTED, verdict.findings
    assert verdict.graph is not None and verdict.hash and verdict.fingerprint and verdict.descriptors
    loss = compile_loss(verdict.graph)
    for batch in (2, 3, 10):
        for beta in (0.05, 1.0):
            ours, theirs = _inputs(batch, batch), _inputs(batch, batch)
            found, wanted = loss(*ours, beta), _eager(code, verdict.entry, theirs, beta)
            assert found.dtype == wanted.dtype and found.shape == wanted.shape
            torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)
            found.sum().backward()
            wanted.sum().backward()
            for a, b in zip(ours, theirs, strict=True):
                assert (a.grad is None) == (b.grad is None)
                if a.grad is not None and b.grad is not None:
                    torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("entry", HOSTILE, ids=[e["id"] for e in HOSTILE])
def test_hostile_candidate_has_the_expected_outcome(entry: dict[str, str]) -> None:
    verdict = vet(entry["code"])
    if entry["outcome"] == "noted":
        assert verdict.accepted
        assert any(f.severity is Severity.NOTE for f in verdict.findings)
        return
    assert verdict.status is VerdictStatus.REFUSED
    assert verdict.refusals
    if entry["stage_hint"] == "static":
        assert all(f.rule.startswith("SBX1") for f in verdict.refusals), verdict.refusals


@pytest.mark.parametrize("name", MORE)
def test_more_hostile_is_refused_before_anything_is_computed(name: str) -> None:
    verdict = vet(MORE[name], numeric=False)
    assert verdict.status is VerdictStatus.REFUSED
    assert not {f.rule for f in verdict.findings} & {"SBX242", "SBX243", "SBX246"}, verdict.findings
    assert verdict.hash is None and verdict.fingerprint is None


def test_corpora_have_unique_names() -> None:
    assert len({e["id"] for e in HOSTILE}) == len(HOSTILE) == 99
    assert len({e["id"] for e in BENIGN}) == len(BENIGN) == 14
