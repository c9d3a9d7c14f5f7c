"""Where a loss changes abruptly, as points for a comparison (torch)."""

from __future__ import annotations

import numpy as np

from sandbox.evaluate import Evaluator, Points
from sandbox.windows import _OFFSETS, _START, Search, _inside

_MOST = 64


def edge_points(evaluator: Evaluator, beta: float, seed: int) -> Points:
    """Pairs on and beside every edge of the evaluator's graph that the search finds, as one batch; none where it finds none.

    Raises CannotCompute.
    """
    search = Search(evaluator)
    rng = np.random.default_rng([seed, 8])
    apart = -np.exp(rng.uniform(1, 6, (32, 4)))
    spread = Points(tuple(apart.T.copy()), np.full((1, 32), beta), (32,))
    found = search.edges(list(search.spreads(spread))[:_MOST]) if search.sites else []
    rows = [_START + shift + _OFFSETS[:, None] * direction for _, shift, direction in found]
    inputs = np.concatenate(rows) if rows else np.zeros((0, 4))
    inputs = inputs[_inside(inputs)] if len(inputs) else inputs
    return Points(tuple(inputs.T.copy()), np.full((1, len(inputs)), beta), (len(inputs),))
