"""A loss with a gradient that is not finite at a fingerprint's point is refused with that point, and gets no fingerprint."""

from __future__ import annotations

import json

import pytest
from written import traced, written

from sandbox import known
from sandbox.identity.checks import identified
from sandbox.identity.fingerprints import fingerprint_points
from sandbox.verdicts.verdict import Finding, Fingerprint
from sandbox.vetting.vet import vet_graph

AT_A_TIE = """
def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    pc, pr, rc, rr = policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    x = beta * ((pc - pr) - (rc - rr))
    w = (pc - pr + 1e-6) ** 2 + (rc - rr) ** 2
    return F.softplus(-x) + 1e-9 * torch.exp(1 / (w * 1e6 + 1e-3))
"""
"""Infinite if chosen and rejected are equal in both policy and reference, which never happens exactly in drawn probes."""

SPIKE = "F.softplus(-x) + {factor} / (1e6 * (pc + 2.0 + {shift}) ** 2 + {width})"
"""Far from zero only within a millionth of a nat of a fixed probe: policy_chosen_logps = -2."""


def refusal(graph) -> Finding:
    found = identified(graph)
    assert isinstance(found, Finding), found
    return found


@pytest.mark.parametrize("name", known.names())
def test_every_published_loss_has_a_fingerprint(name: str) -> None:
    assert isinstance(identified(known.graph(name)), Fingerprint)


@pytest.mark.parametrize(
    "factor, shift, width, told",
    [
        ("1e-9", "0.0", "0.0", "is nan at rho = 0, beta = 0.125"),
        ("1e-9", "1e-160", "1e-320", "is -inf at rho = 0, beta = 0.125"),
        ("1e30", "1e-9", "1e-60", "is -2e+51, which float32 cannot hold, at rho = 0, beta = 0.125"),
    ],
)
def test_the_finding_names_the_point(factor: str, shift: str, width: str, told: str) -> None:
    found = refusal(written(SPIKE.format(factor=factor, shift=shift, width=width)))
    assert found.rule == "SBX305"
    assert found.message == f"the gradient of policy_chosen_logps {told}"
    assert found.counterexample["policy_chosen_logps"] == -2.0


def test_a_large_gradient_within_float32_has_a_fingerprint() -> None:
    assert isinstance(identified(written(SPIKE.format(factor="1.0", shift="1e-9", width="1e-60"))), Fingerprint)


def test_the_verdict_is_a_refusal_without_fingerprint_and_descriptors() -> None:
    verdict = vet_graph(traced(AT_A_TIE))
    assert not verdict.accepted and {f.rule for f in verdict.refusals} & {"SBX304", "SBX305"}
    assert (verdict.fingerprint, dict(verdict.descriptors)) == (None, {})
    json.dumps(verdict.to_json(), allow_nan=False)


def test_classification_losses_are_checked_too() -> None:
    score = float(fingerprint_points("classification")[1].tensors[0][5, 1])
    pole = f"1e-9 / (z - {score!r}).abs().amin(dim=1)"
    found = refusal(written(f"F.cross_entropy(z, y, reduction='none') + {pole}", "classification"))
    assert found.rule == "SBX305"
    assert "of logits is nan at logits = [" in found.message
    assert min(abs(logit - score) for logit in found.counterexample["logits"]) < 1e-8
