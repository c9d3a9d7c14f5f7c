"""Which way a preference loss pushes the margin of chosen over rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sandbox.execute.evaluate import Array
from sandbox.numeric.measure.findings import numeric_finding
from sandbox.verdicts.verdict import Finding

RIGHT_WAY: Final = 0.1
"""A loss that pushes the right way at a smaller share of the fixed probes is turned round."""
CLEARLY_WRONG: Final = 0.02
"""The same for drawn probes, of which there are a hundred or more: a loss that passes on the fixed ones does not come here by
the luck of the draw."""


def turned(gradients: Array, place: str, example: Mapping[str, Any], least: float = RIGHT_WAY) -> list[Finding]:
    """A refusal where the margin is pushed down nearly everywhere, or nothing is pushed at all. `gradients`: finite, of chosen
    and rejected, shape (2, items)."""
    size = np.abs(gradients).max()
    if size == 0:
        return [numeric_finding("SBX307", f"the gradient to the policy is zero {place}", example)]
    share = share_right(gradients)
    if share is None:
        message = f"the loss pushes chosen and rejected alike {place}: no margin changes"
        return [numeric_finding("SBX310", message, {"share": 0.0, **example})]
    if share >= least:
        return []
    message = f"the loss raises the margin at only {share:.0%} of the probes {place}"
    return [numeric_finding("SBX310", message, {"share": share, **example})]


def share_right(gradients: Array) -> float | None:
    """Share of the items whose margin is pushed up, among those whose margin is pushed at all; None without any."""
    push = gradients[1] - gradients[0]
    counts = np.abs(push) > rounding(gradients)
    return float((push[counts] > 0).mean()) if counts.any() else None


def rounding(gradients: Array) -> float:
    """What is no push but rounding. Relative to the typical gradient: a spike must not hide all others."""
    size = np.abs(gradients)
    moved = size[size > 0]
    return 1e-9 * float(np.partition(moved, moved.size // 2)[moved.size // 2]) if moved.size else 0.0
