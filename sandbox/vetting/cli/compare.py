"""`diff`: two losses side by side."""

from __future__ import annotations

from sandbox.graph.loss_graph import VerifiedGraph


def compared(a: VerifiedGraph, b: VerifiedGraph) -> tuple[str, bool]:
    """What to tell about two losses, and whether training cannot tell them apart."""
    from sandbox.identity.compare import canonical_hash, same_loss

    if a.contract == b.contract and canonical_hash(a) == canonical_hash(b):
        return "the same: both reduce to one graph", True
    sameness = same_loss(a, b)
    if sameness.same:
        within = f"{max(sameness.difference, 1e-15):.1g} of their size"
        return f"the same function: the policy's gradients agree on fresh probes, within {within}", True
    lines = ["not the same function"]
    if sameness.up_to == "scale":
        lines.append(f"the same up to a positive factor: A = {sameness.factor:.6g} B")
    elif sameness.up_to == "beta":
        lines.append(f"the same up to beta: A at beta = {sameness.factor:.6g} B at {sameness.beta_factor:.6g} beta")
    if sameness.message:
        lines.append(sameness.message)
    return "\n".join(lines), False
