"""Slips in the margin: a sum of the four log-probabilities that is not (pc - pr) - (rc - rr), such as one with a lost parenthesis.

Nothing is refused here: a loss that is refused for its gradients is told what is probably the cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.verdicts.verdict import Finding, Severity

_RIGHT: Final[Mapping[str, float]] = {
    "policy_chosen_logps": 1.0,
    "policy_rejected_logps": -1.0,
    "reference_chosen_logps": -1.0,
    "reference_rejected_logps": 1.0,
}
_ABOUT_GRADIENTS: Final = frozenset({"SBX307", "SBX309", "SBX310", "SBX312", "SBX327", "SBX329", "SBX335"})
_REMEDY: Final = (
    "Set the parentheses of the margin as here, and leave the rest as it is. Write: `rho = (policy_chosen_logps - "
    "policy_rejected_logps) - (reference_chosen_logps - reference_rejected_logps)`"
)


def with_slips(findings: list[Finding], graph: VerifiedGraph) -> list[Finding]:
    """The findings, with the slip in the message and remedy of those refusals that it explains."""
    refused = [f.severity is Severity.REFUSE and f.rule in _ABOUT_GRADIENTS for f in findings]
    slip = described_slip(graph) if any(refused) else ""
    if not slip:
        return findings
    return [
        replace(f, message=f"{f.message}; probably because {slip}", remedy=_REMEDY) if explained else f
        for f, explained in zip(findings, refused, strict=True)
    ]


def described_slip(graph: VerifiedGraph) -> str:
    """What is wrong with the loss's margin; "" if it has a right one, the right one with the other sign, or none."""
    sums = [s for s in _sums(graph) if s.keys() == _RIGHT.keys() and len({abs(c) for c in s.values()}) == 1]
    signs = [{name: c / abs(c) for name, c in s.items()} for s in sums]
    wrong = [s for s in signs if s not in (_RIGHT, {n: -c for n, c in _RIGHT.items()})]
    if not wrong or len(wrong) < len(signs):
        return ""
    written = " ".join(("+ " if wrong[0][name] > 0 else "- ") + name for name in _RIGHT).removeprefix("+ ")
    left = {
        side: wrong[0][f"policy_{side}_logps"] + wrong[0][f"reference_{side}_logps"] for side in ("chosen", "rejected")
    }
    terms = [f"{'-' if c < 0 else ''}2 reference_{side}_logps" for side, c in left.items() if c]
    if terms:
        start = " + ".join(terms).replace("+ -", "- ")
        return f"the margin is {written}, which is {start} instead of 0 when the policy equals its reference"
    return f"the margin is {written}, in which chosen and rejected have the same sign"


def _sums(graph: VerifiedGraph) -> Sequence[Mapping[str, float]]:
    """The largest sums and differences of arguments in the graph: argument -> coefficient."""
    found: list[Mapping[str, float] | None] = []
    inner: set[int] = set()
    for node in graph.nodes:
        parts = [found[a] for a in node.args]
        made: dict[str, float] | None = None
        if node.op == "input" and node.attrs["name"] in _RIGHT:
            made = {node.attrs["name"]: 1.0}
        elif node.op in ("add", "sub", "neg") and all(p is not None for p in parts):
            made = {}
            for place, part in enumerate(parts):
                sign = -1.0 if node.op == "neg" or (node.op == "sub" and place == 1) else 1.0
                for name, c in (part or {}).items():
                    made[name] = made.get(name, 0.0) + sign * c
            made = {name: c for name, c in made.items() if c}
            inner.update(node.args)
        found.append(made)
    return [s for i, s in enumerate(found) if s is not None and i not in inner]
