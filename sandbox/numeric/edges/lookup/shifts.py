"""Pairs as at the start of training, and the two shifts along which look-ups are searched."""

from __future__ import annotations

from typing import Final

import numpy as np

from sandbox.execute.evaluate import Array
from sandbox.numeric.measure import inputs

LOWEST, HIGHEST = inputs.LOWEST_LOGP + 10.0, -0.5
"""Range of the log-probabilities through which pairs are shifted, nats."""
SHIFTS: Final = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
"""Shifts of policy and reference together, of the chosen or of the rejected completion. They keep the log-ratios."""


def starting_pairs(rng: np.random.Generator, items: int, spread: float = 0.0) -> Array:
    """Pairs as at the start of training, shape (items, 4): the policy equals the reference, up to log-ratios with the standard
    deviation `spread` in nats. Most pairs of most data sets lie between -20 and -200 nats.

    All values are multiples of 2^-10, so that shifts keep the log-ratios exactly.
    """
    reference = -np.exp(rng.uniform(np.log(20.0), np.log(200.0), (items, 2)))
    policy = reference + (rng.normal(0, spread, (items, 2)) if spread else 0.0)
    exact = np.round(np.concatenate([policy, reference], axis=1) * 1024) / 1024
    return np.asarray(np.clip(exact, LOWEST, HIGHEST))
