"""Pairs, and the shifts of policy and reference together along which look-ups are sought."""

from __future__ import annotations

from typing import Final

import numpy as np

from sandbox.execute.evaluate import Array
from sandbox.numeric.measure import inputs

LOWEST, HIGHEST = inputs.LOWEST_LOGP + 10.0, -0.5
"""The log-probabilities that pairs are shifted through, nats."""
SHIFTS: Final = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
"""Policy and reference together: of the chosen completion, of the rejected one. Log-ratios stay."""


def starting_pairs(rng: np.random.Generator, items: int, spread: float = 0.0) -> Array:
    """Pairs as they are when training starts, shape (items, 4): the policy equals the reference, but for log-ratios of this
    standard deviation in nats. Most pairs of most data sets lie between -20 and -200 nats.

    Whole multiples of 2^-10, so that shifted pairs have the very same log-ratios.
    """
    reference = -np.exp(rng.uniform(np.log(20.0), np.log(200.0), (items, 2)))
    policy = reference + (rng.normal(0, spread, (items, 2)) if spread else 0.0)
    exact = np.round(np.concatenate([policy, reference], axis=1) * 1024) / 1024
    return np.asarray(np.clip(exact, LOWEST, HIGHEST))
