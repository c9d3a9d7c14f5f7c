"""Check for operations that torch can compute but not differentiate, on values that depend on the policy. No torch.

A printed loss with such an operation raises an error in training. Rounding, signs and comparisons are no such operations: torch
gives rounding and signs the slope 0, and does not track comparisons.
"""

from __future__ import annotations

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.graph.operations import OPERATIONS
from sandbox.numeric.measure.findings import numeric_finding
from sandbox.verdicts.verdict import Finding


def check_derivatives(graph: VerifiedGraph) -> list[Finding]:
    """A refusal if torch would raise an error when it differentiates the printed loss."""
    tracked = _tracked(graph)
    wanted = {graph.output}
    for i in range(graph.output, -1, -1):
        node = graph.nodes[i]
        if i not in wanted or not tracked[i]:
            continue
        gradient = OPERATIONS[node.op].gradient
        if any(tracked[node.args[k]] for k in gradient.undefined):
            message = f"torch has no derivative of {gradient.undefined_name}, and values of the policy pass through it"
            return [numeric_finding("SBX301", message)]
        wanted |= set(_followed(node))
    return []


def _tracked(graph: VerifiedGraph) -> list[bool]:
    """For each node, whether autograd tracks it back to an argument that gets a gradient."""
    contract = contract_named(graph.contract)
    out: list[bool] = []
    for node, kind in zip(graph.nodes, graph.types, strict=True):
        own = node.op == "input" and contract.argument(node.attrs["name"]).learns
        out.append(own or (kind.dtype == "float" and any(out[a] for a in _followed(node))))
    return out


def _followed(node: Node) -> list[int]:
    left_out = OPERATIONS[node.op].gradient.untracked
    return [a for k, a in enumerate(node.args) if k not in left_out]
