"""`diff`: the comparison of two losses in words."""

from __future__ import annotations

from sandbox.graph.loss_graph import VerifiedGraph


def compared(a: VerifiedGraph, b: VerifiedGraph) -> tuple[str, bool]:
    """The result of comparing two losses, in words, and whether they train in the same way."""
    from sandbox.identity.compare import canonical_hash, same_loss

    if a.contract == b.contract and canonical_hash(a) == canonical_hash(b):
        return "the same: both have the same canonical graph", True
    sameness = same_loss(a, b)
    if sameness.same:
        within = f"{max(sameness.difference, 1e-15):.1g} of their size"
        return f"the same function: the policy's gradients agree at fresh points, within {within}", True
    lines = ["not the same function"]
    if sameness.up_to == "scale":
        lines.append(f"the same up to a positive factor: A = {sameness.factor:.6g} B")
    elif sameness.up_to == "beta":
        lines.append(f"the same up to beta: A(beta) = {sameness.factor:.6g} * B({sameness.beta_factor:.6g} * beta)")
    if sameness.message:
        lines.append(sameness.message)
    return "\n".join(lines), False
