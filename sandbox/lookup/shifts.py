"""Pairs, and the shifts of policy and reference together along which look-ups are sought."""

from __future__ import annotations

from typing import Final

import numpy as np

from sandbox import probes
from sandbox.evaluate import Array

LOWEST, HIGHEST = probes.LOWEST_LOGP + 10.0, -0.5
"""The log-probabilities that pairs are shifted through, nats."""
SHIFTS: Final = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
"""Policy and reference together: of the chosen completion, of the rejected one. Log-ratios stay."""


def pairs(rng: np.random.Generator, items: int, beta: float) -> Array:
    """Pairs as training meets them at this beta, shape (items, 4), at log-probabilities from -2 to -1000 nats.

    Whole multiples of 2^-10, so that shifted pairs have the very same log-ratios.
    """
    ratios = np.clip(rng.normal(0, 1.5 / beta, (items, 2)), -300, 300)
    reference = -np.exp(rng.uniform(np.log(2.0), np.log(1000.0), (items, 2))) - np.abs(ratios) - 2.0
    exact = np.round(np.concatenate([reference + ratios, reference], axis=1) * 1024) / 1024
    return np.asarray(np.clip(exact, LOWEST, HIGHEST))
