"""Checks of a preference loss on batches as they occur in a training (torch).

The other probes draw the four log-probabilities of a pair independently of each other, and margins around zero. In a training the
two completions of a pair have similar lengths, both log-ratios fall far below zero, and most margins become positive. A loss can
recognise such batches, also without intention. Refused: a loss that is not finite there, has a far larger gradient than at usual
pairs, gives no pair a gradient early in training, or lowers the margin of the pairs whose margin is negative. Positive margins do
not count: many losses have a target for the margin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final

import numpy as np
import torch

from sandbox.execute.evaluate import Array, Evaluator, Points, joined
from sandbox.graph.equivariance import is_equivariant
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.direction import CLEARLY_WRONG, rounding
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.finite import finite
from sandbox.numeric.measure.input_sets import FIXED
from sandbox.numeric.measure.inputs import HIGHEST_LOGP, LINE_BETA, exact
from sandbox.numeric.measure.measure import Measurements, same
from sandbox.verdicts.verdict import Finding


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of training. Margins and the mean of a pair's two log-ratios are normally distributed: (mean, deviation), nats."""

    name: str
    margin: tuple[float, float]
    common: tuple[float, float]
    early: bool = False
    """Whether every loss that can be trained with has a gradient there, and half of the margins are negative."""
    judged: bool = True
    """Whether size and direction of the gradient are judged there, and not only that it is finite."""

    @property
    def at_start(self) -> bool:
        """Whether the policy hardly differs from its reference."""
        return self.margin[1] <= 1.0


STAGES: Final = (
    Stage("at the start of training", (0.0, 0.0), (0.0, 0.0), early=True),
    Stage("early in training", (0.0, 1.0), (0.0, 1.0), early=True),
    Stage("in training", (3.0, 8.0), (-3.0, 4.0), early=True),
    Stage("late in training, with most pairs learnt", (25.0, 15.0), (-20.0, 10.0)),
    Stage("late in training, with both log-ratios far below zero", (12.0, 8.5), (-30.0, 8.0)),
    Stage("after far too long a training", (12.0, 20.0), (-110.0, 40.0), judged=False),
)
LEVELS: Final = (15.0, 60.0, 200.0, 600.0)
"""Typical log-probability of a completion, with the opposite sign, nats: a few tokens to several hundred."""
SIZES: Final = (8, 8, 64)
"""Pairs of the batches at each level."""
LARGEST_RATIO: Final = 1e10
"""Largest ratio of a gradient to that of usual pairs."""
LARGEST_RATIO_DRAWN: Final = 1e13
"""The same for drawn batches, so that a loss close to the limit is not refused for some seeds only."""
LARGEST_JUMP: Final = 1e4
"""Largest ratio of a gradient to the largest one at the probes of `inputs.SPREAD`. Those reach much further, so a loss that is
exponential in a log-ratio, as TRL's alpha divergence, has its largest gradient there."""
_CLEARLY_NEGATIVE: Final = -0.1
"""Margins below it count as negative, nats."""
_REMEDY: Final = (
    "The direction is right at other inputs, so keep the sign. Find what reverses it in such batches (a condition or a weight "
    "by the log-ratios or by a statistic of the batch), and remove it or bound it."
)
_LEAST_NEGATIVE: Final = 8
"""Fewest negative margins by which a direction is judged."""


def check_training(evaluator: Evaluator, measured: Measurements, seed: int) -> list[Finding]:
    """A refusal if the loss fails on batches as in training, fixed or drawn ones. Raises CannotCompute and NotFinite."""
    furthest = max(float(np.abs(measured.single.gradient(group)).max()) for group in inputs.SPREAD)
    for drawn, largest in ((False, LARGEST_RATIO), (True, LARGEST_RATIO_DRAWN)):
        points = _batches(seed if drawn else FIXED)
        gradients = np.stack(finite(evaluator, points, torch.float32).gradients).astype(float)
        by_level = not (drawn or measured.proven)
        most = max(largest * measured.scale, LARGEST_JUMP * furthest)
        found = _too_large(points, gradients, most) or _wrong(gradients, points, measured, by_level)
        if found:
            return found
    return _order(evaluator)


def _too_large(points: Points, gradients: Array, most: float) -> list[Finding]:
    size = np.abs(gradients).max(axis=0)
    for stage, items in zip(STAGES, _parts(points, len(STAGES)), strict=True):
        if not stage.judged or size[items].max() <= most:
            continue
        pairs, item = inputs_of("preference"), items.start + int(size[items].argmax())
        one = pairs.example(points, item)
        message = f"the gradient is {shown(size[item])} {pairs.where(one)} in a batch as {stage.name}, far more than at usual pairs"
        return [numeric_finding("SBX313", message, {"gradient": size[item], **one})]
    return []


def _wrong(gradients: Array, points: Points, measured: Measurements, by_level: bool) -> list[Finding]:
    """A refusal if no pair of an early stage has a gradient, or if a stage's pairs with a negative margin have it lowered.

    A loss may turn single pairs round by their log-probabilities, so a loss of single pairs is judged by all levels together. A
    loss that compares pairs is judged at each level (`by_level`), as long as enough margins are negative. What lowers the margin
    where training starts has a note of its own.
    """
    push, least = gradients[1] - gradients[0], rounding(gradients)
    judged = (inputs.margins(points) < _CLEARLY_NEGATIVE) & (np.abs(push) > least)
    for stage, items in zip(STAGES, _parts(points, len(STAGES)), strict=True):
        place = f"in batches as {stage.name}"
        if stage.early and np.abs(gradients[:, items]).max() <= 1e-12 * measured.scale:
            return [numeric_finding("SBX307", f"the gradient to the policy is zero {place}", {})]
        if not stage.judged or (stage.at_start and measured.push_at_start < 0):
            continue
        for part in _parts(points, len(LEVELS), items) if by_level and stage.early else [items]:
            pushed = push[part][judged[part]]
            share = float((pushed > 0).mean()) if len(pushed) >= _LEAST_NEGATIVE else 1.0
            if share < CLEARLY_WRONG:
                message = (
                    f"the loss raises the margin of only {share:.0%} of the pairs whose margin is negative {place}"
                )
                return [replace(numeric_finding("SBX310", message, {"share": share}), remedy=_REMEDY)]
    return []


def _order(evaluator: Evaluator) -> list[Finding]:
    """A refusal if reordering a batch changes a gradient, unless the graph proves that it does not."""
    if is_equivariant(evaluator.graph):
        return []
    base, moved, order = _reordered()
    expected, found = (np.stack(finite(evaluator, points).gradients) for points in (base, moved))
    if same(expected[:, order], found):
        return []
    change = float(np.abs(expected[:, order] - found).max())
    message = f"the loss depends on a pair's position in the batch: its gradient changes by {shown(change)} in training"
    return [numeric_finding("SBX311", message, {"change": change})]


def _parts(points: Points, count: int, within: slice | None = None) -> list[slice]:
    """The items of all points, or those of a slice, in equal parts."""
    start, stop = (within.start, within.stop) if within else (0, len(points))
    each = (stop - start) // count
    return [slice(start + i * each, start + (i + 1) * each) for i in range(count)]


@lru_cache(maxsize=16)
def _batches(seed: int) -> Points:
    """Batches of every stage at every level. Other seeds than FIXED also draw the levels and how far the stages have gone, at
    most as far as the fixed ones: a loss that is exponential in a log-ratio would be refused for some seeds only."""
    rng = np.random.default_rng([seed, 11])
    fixed = seed == FIXED
    levels = LEVELS if fixed else tuple(np.exp(rng.uniform(np.log(10.0), np.log(800.0), len(LEVELS))))
    further = 1.0 if fixed else float(rng.uniform(0.6, 1.0))
    return joined([_batch(rng, stage, level, size, further) for stage in STAGES for level in levels for size in SIZES])


def _batch(rng: np.random.Generator, stage: Stage, level: float, size: int, further: float) -> Points:
    together, apart = rng.normal(size=size), rng.normal(size=(2, size))
    reference = -level * np.exp(0.35 * (np.sqrt(0.7) * together + np.sqrt(0.3) * apart))
    margin, common = (further * rng.normal(*of, size) for of in (stage.margin, stage.common))
    ratios = np.stack([common + margin / 2, common - margin / 2])
    policy = np.minimum(reference + ratios, HIGHEST_LOGP)
    tensors = tuple(exact(values) for values in (*policy, *np.minimum(reference, HIGHEST_LOGP)))
    return Points(tensors, np.full((1, size), LINE_BETA), (size,))


@cache
def _reordered() -> tuple[Points, Points, Array]:
    """A batch of each stage, the same batches in another order, and this order. At the start of training margins are equal, and a
    loss that ranks them has to use the position."""
    rng = np.random.default_rng([FIXED, 12])
    largest = [_batch(rng, stage, LEVELS[2], max(SIZES), 1.0) for stage in STAGES[1:]]
    orders = [inputs.reordering(rng, len(batch)) for batch in largest]
    moved = [batch.take(order) for batch, order in zip(largest, orders, strict=True)]
    order = np.concatenate([i * max(SIZES) + order for i, order in enumerate(orders)])
    return joined(largest), joined(moved), order
