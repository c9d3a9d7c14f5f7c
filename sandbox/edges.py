"""Where a loss changes abruptly, as points for a comparison (torch)."""

from __future__ import annotations

import numpy as np

from sandbox.evaluate import Evaluator, Points
from sandbox.sites import sites
from sandbox.windows import _inside, _OFFSETS, _Search, _START

_MOST_SITES = 64


def edge_points(evaluator: Evaluator, beta: float, seed: int) -> Points:
    """Pairs on and beside every edge of the evaluator's graph that the search finds, as one batch; none where it finds none.

    Raises CannotCompute.
    """
    places = sites(evaluator.graph)[:_MOST_SITES]
    found = _Search(evaluator, places).edges(places) if places else []
    rows = [_START + shift + _OFFSETS[:, None] * direction for _, shift, direction in found]
    inputs = np.concatenate(rows) if rows else np.zeros((0, 4))
    inputs = inputs[_inside(inputs)] if len(inputs) else inputs
    return Points(tuple(inputs.T.copy()), np.full((1, len(inputs)), beta), (len(inputs),))
