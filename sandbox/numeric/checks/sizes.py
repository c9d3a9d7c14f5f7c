"""Checks of losses that may compare the pairs of a batch, at batches of up to 512 pairs (torch).

The loss must be finite, raise the margin, and not depend on a pair's position.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

import numpy as np
import torch

from sandbox.execute.evaluate import Evaluator, Points, joined
from sandbox.graph.equivariance import is_equivariant
from sandbox.graph.operations import OPERATIONS
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.direction import CLEARLY_WRONG, RIGHT_WAY, share_right, wrong_direction
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.finite import finite
from sandbox.numeric.measure.input_sets import FIXED
from sandbox.numeric.measure.measure import Measurements, same
from sandbox.verdicts.verdict import Finding

LARGEST: Final = 512
"""Pairs of the largest batch."""
_FIXED_SIZES: Final = (128, LARGEST)
_DRAWN_SIZES: Final = (256, (65, LARGEST))
"""Sizes of batches whose pairs are drawn; the last one is drawn itself."""
_LATER: Final = 100
"""Items from this position on are also checked without the earlier ones, if there are as many: smaller batches lack them."""


def check_sizes(evaluator: Evaluator, measured: Measurements) -> list[Finding]:
    """Findings on a loss if it is not proved that each item's loss depends on this item only.

    Raises CannotCompute and NotFinite.
    """
    if evaluator.pointwise:
        return []
    for group in ("near", "wide", "line"):
        size = measured.exact.probes.groups[group].sizes[0]
        found = wrong_direction(measured.exact.gradient(group), f"in batches of {size}", {"batch": size})
        if found:
            return found
    return (
        _wrong_direction_in(evaluator, _large(), RIGHT_WAY)
        or _wrong_direction_by_spread(evaluator, measured)
        or _wrong_direction_by_size(evaluator)
        or [*_wrong_direction_alone(evaluator), *_positions(evaluator)]
    )


def _wrong_direction_by_spread(evaluator: Evaluator, measured: Measurements) -> list[Finding]:
    """A refusal if the loss lowers the margin, or has no gradient, in batches whose margins are as small as early in training. A
    loss that does so where training starts has a note of its own."""
    if measured.push_at_start < 0:
        return []
    gradients = np.stack(finite(evaluator, _by_spread(), torch.float32).gradients)
    for spread, span in zip(_SPREADS, _by_spread().spans, strict=True):
        size = span.stop - span.start
        place = f"in a batch of {size} in which |beta rho| is about {shown(spread)}"
        found = wrong_direction(gradients[:, span], place, {"batch": size, "spread": spread}, CLEARLY_WRONG)
        if found:
            return found
    return []


def _wrong_direction_alone(evaluator: Evaluator) -> list[Finding]:
    """A note if the loss lowers the margin of a pair that is a batch of its own, or its gradient is not finite there."""
    gradients = np.stack(evaluator(_alone(), torch.float32).gradients)
    bad = gradients[~np.isfinite(gradients)]
    if bad.size:
        message = f"for a batch of one, the gradient is {shown(bad[0])}"
        return [numeric_finding("SBX322", message, {"gradient": bad[0], "batch": 1})]
    share = share_right(gradients)
    if share is None or share >= CLEARLY_WRONG:
        return []
    return [numeric_finding("SBX322", "for a batch of one, the loss lowers the margin", {"batch": 1})]


@cache
def _alone() -> Points:
    """Batches of one pair."""
    rng = np.random.default_rng([FIXED, 10])
    return joined([inputs.scattered(rng, 1) for _ in range(16)])


_SPREADS: Final = (0.005, 0.015, 0.03, 0.06, 0.1, 0.18, 0.3, 0.5, 0.8)
"""Standard deviations of beta rho in batches like those early in training."""


@cache
def _by_spread() -> Points:
    """A batch for each standard deviation of beta rho in _SPREADS."""
    rng = np.random.default_rng([FIXED, 9])
    return joined([inputs.scattered(rng, inputs.SIZE, spread) for spread in _SPREADS])


def _wrong_direction_by_size(evaluator: Evaluator) -> list[Finding]:
    """A refusal if a loss that may compute with the batch size lowers the margin at one of many sizes."""
    if not any(OPERATIONS[node.op].counts for node in evaluator.graph.nodes):
        return []
    for size in _SIZES:
        gradients = np.stack(finite(evaluator, _batches(size), torch.float32).gradients)
        if size < _SIZES_OF_STATISTICS and share_right(gradients) is None:
            continue  # a statistic of two or three pairs may be constant
        found = wrong_direction(gradients, f"in batches of {size}", {"batch": size}, CLEARLY_WRONG)
        if found:
            return found
    return []


_SIZES: Final = (
    *(2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24),
    *range(32, 65, 8),
    *(80, 96, 112),
    *range(144, 193, 16),
    *range(224, 481, 32),
)
_SIZES_OF_STATISTICS: Final = 4
"""In smaller batches a loss of a statistic may have no gradient."""
_LEAST_PAIRS: Final = 64


@cache
def _batches(size: int) -> Points:
    """Enough batches of this size to determine the direction."""
    rng = np.random.default_rng([FIXED, 8, size])
    return joined([inputs.scattered(rng, size) for _ in range(-(-_LEAST_PAIRS // size))])


def check_drawn_sizes(evaluator: Evaluator, seed: int) -> list[Finding]:
    """A refusal if the loss lowers the margin in a large batch of drawn pairs. Raises CannotCompute and NotFinite."""
    return [] if evaluator.pointwise else _wrong_direction_in(evaluator, _drawn(seed), CLEARLY_WRONG)


def _wrong_direction_in(evaluator: Evaluator, points: Points, least: float) -> list[Finding]:
    """A refusal if the loss lowers the margin in one of the batches, or of the later items in one."""
    gradients = np.stack(finite(evaluator, points, torch.float32).gradients)
    for span in points.spans:
        size = span.stop - span.start
        found = wrong_direction(gradients[:, span], f"in a batch of {size}", {"batch": size}, least)
        if not found and size >= 2 * _LATER and not is_equivariant(evaluator.graph):
            later = gradients[:, span.start + _LATER : span.stop]
            found = wrong_direction(later, f"from position {_LATER} on in a batch of {size}", {"batch": size}, least)
        if found:
            return found
    return []


@cache
def _large() -> Points:
    rng = np.random.default_rng([FIXED, 7])
    return joined([inputs.scattered(rng, size) for size in _FIXED_SIZES])


@lru_cache(maxsize=16)
def _drawn(seed: int) -> Points:
    rng = np.random.default_rng([seed, 7])
    first, (low, high) = _DRAWN_SIZES
    return joined([inputs.scattered(rng, size) for size in (first, int(rng.integers(low, high)))])


def _positions(evaluator: Evaluator) -> list[Finding]:
    """Reorder the largest batch, unless the graph proves that an item's position has no effect.

    A refusal if that changes a gradient, else a note that there is no proof.
    """
    if is_equivariant(evaluator.graph):
        return []
    size = LARGEST
    base, moved, order = _reordered()
    expected, found = (np.stack(finite(evaluator, points).gradients) for points in (base, moved))
    expected = expected[:, order]
    if not same(expected, found):
        gap = np.abs(expected - found).max(axis=0)
        item = int(gap.argmax())
        message = (
            f"the loss depends on a pair's position in the batch: in a batch of {size} its gradient changes by "
            f"{shown(gap[item])}"
        )
        return [
            numeric_finding("SBX311", message, {"change": gap[item], **inputs_of("preference").example(moved, item)})
        ]
    message = f"could not prove independence of batch order; reordering batches of up to {size} pairs changed nothing"
    return [numeric_finding("SBX330", message, {"batch": size})]


@cache
def _reordered() -> tuple[Points, Points, np.ndarray]:
    """The largest batch, the same batch in another order, and this order."""
    largest = _large().take(slice(-LARGEST, None))
    order = inputs.reordering(np.random.default_rng([FIXED, 8]), len(largest))
    return largest, largest.take(order), order
