"""Direction of a preference loss: whether a gradient step raises the margin of chosen over rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sandbox.execute.evaluate import Array
from sandbox.numeric.measure.findings import numeric_finding
from sandbox.verdicts.verdict import Finding

RIGHT_WAY: Final = 0.1
"""A loss that raises the margin at a smaller share of the fixed probes has the wrong sign."""
CLEARLY_WRONG: Final = 0.02
"""The same for drawn probes, of which there are a hundred or more. A loss that passes on the fixed probes does not fall below
this share by chance."""


def wrong_direction(
    gradients: Array, place: str, example: Mapping[str, Any], least: float = RIGHT_WAY
) -> list[Finding]:
    """A refusal if a gradient step lowers the margin nearly everywhere, or changes nothing. `gradients`: finite, of chosen and
    rejected, shape (2, items)."""
    size = np.abs(gradients).max()
    if size == 0:
        return [numeric_finding("SBX307", f"the gradient to the policy is zero {place}", example)]
    share = share_right(gradients)
    if share is None:
        message = f"the loss changes chosen and rejected equally {place}: no margin changes"
        return [numeric_finding("SBX310", message, {"share": 0.0, **example})]
    if share >= least:
        return []
    message = f"the loss raises the margin at only {share:.0%} of the probes {place}"
    return [numeric_finding("SBX310", message, {"share": share, **example})]


def share_right(gradients: Array) -> float | None:
    """Share of the items whose margin a gradient step raises, among those whose margin it changes; None if there are none."""
    push = gradients[1] - gradients[0]
    counts = np.abs(push) > rounding(gradients)
    return float((push[counts] > 0).mean()) if counts.any() else None


def rounding(gradients: Array) -> float:
    """Gradients up to this size count as rounding errors. Relative to the median: a spike must not hide all others."""
    size = np.abs(gradients)
    moved = size[size > 0]
    return 1e-9 * float(np.partition(moved, moved.size // 2)[moved.size // 2]) if moved.size else 0.0
