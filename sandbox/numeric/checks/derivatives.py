"""Operations that torch computes and does not differentiate: a loss that sends policy values through one cannot be trained with
as it is printed. No torch.

Rounding, signs and comparisons are not among them: torch gives the former the slope 0 and does not track the latter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.nodes import Node
from sandbox.numeric.measure.findings import numeric_finding
from sandbox.verdicts.verdict import Finding

UNDEFINED: Final[Mapping[str, tuple[int, ...]]] = {"floordiv": (0, 1), "soft_margin_loss": (1,)}
"""For each such operation the operands in which torch has no derivative of it."""
_CALLED: Final = {"floordiv": "//", "soft_margin_loss": "the target of soft_margin_loss"}
_UNTRACKED: Final[Mapping[str, tuple[int, ...]]] = {"detach": (0,), "full_like": (0,)}
"""Operands that a floating result does not depend on for autograd."""


def check_derivatives(graph: VerifiedGraph) -> list[Finding]:
    """A refusal where torch would raise as it differentiates the printed loss."""
    tracked = _tracked(graph)
    wanted = {graph.output}
    for i in range(graph.output, -1, -1):
        node = graph.nodes[i]
        if i not in wanted or not tracked[i]:
            continue
        if any(tracked[node.args[k]] for k in UNDEFINED.get(node.op, ())):
            message = f"torch has no derivative of {_CALLED[node.op]}, and values of the policy pass through it"
            return [numeric_finding("SBX301", message)]
        wanted |= set(_followed(node))
    return []


def _tracked(graph: VerifiedGraph) -> list[bool]:
    """For each node, whether autograd would follow it back to an argument that learns."""
    contract = contract_named(graph.contract)
    out: list[bool] = []
    for node, kind in zip(graph.nodes, graph.types, strict=True):
        own = node.op == "input" and contract.argument(node.attrs["name"]).learns
        out.append(own or (kind.dtype == "float" and any(out[a] for a in _followed(node))))
    return out


def _followed(node: Node) -> list[int]:
    left_out = _UNTRACKED.get(node.op, ())
    return [a for k, a in enumerate(node.args) if k not in left_out]
