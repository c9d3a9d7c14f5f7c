"""Losses for tests, each written as one expression and traced in this process. For trusted expressions only."""

from functools import cache

from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import LossGraph

_PREFERENCE = """
import math
import torch
import torch.nn.functional as F

def loss(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    pc, pr, rc, rr = policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps
    rho = (pc - pr) - (rc - rr)
    x = beta * rho
"""
_CLASSIFICATION = """
import torch
import torch.nn.functional as F

def loss(logits, targets):
    z, y = logits, targets
"""


@cache
def written(expression: str, contract: str = "preference") -> LossGraph:
    """The graph of a loss that returns the last line of `expression`; lines before it are statements.

    In scope: pc, pr, rc, rr, beta, rho, x = beta rho; or z (logits), y (targets).
    """
    *statements, last = expression.strip().splitlines()
    head = _PREFERENCE if contract == "preference" else _CLASSIFICATION
    source = head + "".join(f"    {line}\n" for line in statements) + f"    return {last.strip()}\n"
    return traced(source, contract)


def traced(source: str, contract: str = "preference") -> LossGraph:
    """The graph of a complete source text."""
    answer = trace(source, contract_named(contract))
    assert answer.graph is not None, (source, answer.violations)
    return LossGraph.from_json(answer.graph)
