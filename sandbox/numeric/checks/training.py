"""Checks of a preference loss on batches as they occur in a training (torch).

A loss can recognise such batches, also without intention. Refused: a loss that is not finite there, has a far larger gradient
than at usual pairs, gives nearly no pair a gradient early in training, moves both completions together, pushes both further away
from the reference, or lowers the margin of nearly all pairs whose margin is negative, or slightly positive near the start.
Larger margins do not count: many losses have a target for the margin. Late in training, what only brings log-ratios back towards 0
does not count either: it may hold them. A loss may turn pairs round, or leave them out, by their log-probabilities, which is right
where labels are wrong for such pairs. So a loss of single pairs is refused only for what it does at all levels of
log-probabilities, and notes say what it does at one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
import torch

from sandbox.execute.evaluate import Array, Evaluator, Points, joined
from sandbox.graph.equivariance import is_equivariant
from sandbox.numeric.checks.scale import NO_SLOPE, SMALLEST_GRADIENT
from sandbox.numeric.measure import inputs
from sandbox.numeric.measure.contract_inputs import inputs_of
from sandbox.numeric.measure.direction import rounding
from sandbox.numeric.measure.findings import numeric_finding, shown
from sandbox.numeric.measure.finite import finite
from sandbox.numeric.measure.input_sets import FIXED
from sandbox.numeric.measure.inputs import LINE_BETA
from sandbox.numeric.measure.measure import Measurements, same
from sandbox.numeric.measure.stages import EARLY, LATE, LEVELS, SIZES, Cell, Trained, batch, batches, large_batches
from sandbox.verdicts.verdict import Finding

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
_DRAWN_NONE: Final = 0.1
"""Factor on the gradient that counts as none in drawn batches, so that no draw decides a close case."""
_LEAST_JUDGED, _LEAST_JUDGED_DRAWN, _LEAST_JUDGED_COUPLED = 8, 20, 30
"""Fewest pairs by which a direction is judged; in drawn batches; in drawn batches of a loss that compares pairs."""
_NEARLY_ALL: Final = 0.98
_LEAST_RAISED, _LEAST_RAISED_DRAWN = 0.05, 1e-9
"""Smallest share of the pairs with a negative margin whose margin a loss must raise. In drawn batches, one such pair is enough."""
_USUALLY: Final = 0.5
"""Share of the pairs with a negative margin from which on a stage usually raises it: that none of 20 drawn ones is raised happens
once in a million times."""
_LARGEST_COMMON: Final = 5.5
"""Largest ratio of what moves both log-probabilities to what moves their difference. It is 1 for a loss of the chosen completion
alone, as SFT, and smaller for others. It is that of LINE_BETA and larger betas: a penalty that does not depend on beta has a larger
share at a small one."""
_LARGEST_AWAY: Final = 1.5
"""The same for what moves both further away from the reference, without end. It is 1 for a loss of the rejected completion alone,
and at most that for published losses."""
_FAR: Final = -6.0
"""Sum of a pair's log-ratios, in nats, below which both are away from the reference."""
_USUAL_LEVEL: Final = 50.0
"""Log-probabilities of completions of a sentence or more, with the opposite sign, nats. A loss needs a gradient there."""
_LOST, _IDLE = 0.1, 0.5
"""Shares of a cell's pairs that the loss may turn round, or give no gradient, without a note."""


def check_training(evaluator: Evaluator, measured: Measurements, seed: int) -> list[Finding]:
    """A refusal if the loss fails on batches as in training, fixed or drawn ones, or notes on the fixed ones. Raises CannotCompute
    and NotFinite."""
    none = max(SMALLEST_GRADIENT, NO_SLOPE * measured.scale)
    fixed = _Seen.of(evaluator, batches(FIXED), none)
    return (
        _in_fixed_batches(fixed, measured)
        or _in_drawn_batches(_Seen.of(evaluator, batches(seed), _DRAWN_NONE * none), fixed, measured)
        or ([] if measured.proven else _in_large_batches(_Seen.of(evaluator, large_batches(), none, fixed)))
        or _order(evaluator)
        or [*_lost(fixed), *_idle(fixed)]
    )


def _in_fixed_batches(seen: _Seen, measured: Measurements) -> list[Finding]:
    stages, by_level = seen.trained.stages, not measured.proven
    return (
        _too_large(seen, measured, LARGEST_RATIO)
        or _dead(seen, stages)
        or _together(seen)
        or _runs_away(seen)
        or _falls_back(seen, stages, by_level)
        or _reversed(seen, stages, by_level)
    )


def _in_drawn_batches(seen: _Seen, fixed: _Seen, measured: Measurements) -> list[Finding]:
    """A loss that compares pairs may turn a whole batch round, so it is judged where there are many batches. The direction is
    judged where it is right in the fixed batches: elsewhere few pairs are raised, and a draw might have none of them."""
    stages = [cells for cells in seen.trained.stages if measured.proven or cells[0].beta == LINE_BETA]
    least = _LEAST_JUDGED_DRAWN if measured.proven else _LEAST_JUDGED_COUPLED
    right = [cells for cells in stages if _share_raised_near(fixed, cells[0]) >= _USUALLY]
    return (
        _too_large(seen, measured, LARGEST_RATIO_DRAWN)
        or _dead(seen, stages)
        or _reversed(seen, right, least=least, fewer_than=_LEAST_RAISED_DRAWN)
    )


def _share_raised_near(fixed: _Seen, cell: Cell) -> float:
    """The share of the pairs with a negative margin whose margin is raised in the fixed batches of a cell's stage, at the betas
    next to that of the cell: the smaller one."""
    stages = [cells for cells in fixed.trained.stages if cells[0].stage is cell.stage]
    betas = [cells[0].beta for cells in stages]
    nearest = (max(b for b in betas if b <= cell.beta), min(b for b in betas if b >= cell.beta))
    return min(fixed.share_raised(cells) for cells in stages if cells[0].beta in nearest)


def _in_large_batches(seen: _Seen) -> list[Finding]:
    return _runs_away(seen) or _reversed(seen, seen.trained.stages)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The gradients of a loss at batches as in training, and how many pairs of each cell it treats how."""

    trained: Trained
    size: Array
    """Size of each pair's gradient."""
    negative: Mapping[Cell, int]
    """Pairs whose margin is clearly negative, and changed."""
    raised: Mapping[Cell, int]
    """Those of them whose margin is raised."""
    small: Mapping[Cell, int]
    """Pairs whose margin is slightly positive."""
    small_lowered: Mapping[Cell, int]
    """Those of them whose margin is lowered."""
    common: Array
    """How much a gradient step raises both log-probabilities of each pair together, as a multiple of how much it changes their
    difference: there, or of a usual pair early in training if that is more, since it changes little where a pair is learnt."""
    away: Array
    """Whether both log-ratios of a pair are away from the reference, and it has a gradient."""
    usual_push: Mapping[float, float]
    """How much the loss changes a margin early in training, by beta: the median, at least as much as a gradient has that counts."""
    unlearnt: Mapping[Cell, int]
    """Pairs whose margin is not positive."""
    idle: Mapping[Cell, int]
    """Those of them without a gradient that an optimiser can use."""
    wrong_starts: frozenset[float]
    """The betas at which the loss lowers margins where training starts, which has a note of its own."""

    @classmethod
    def of(cls, evaluator: Evaluator, trained: Trained, none: float, early: _Seen | None = None) -> _Seen:
        """`none`: the largest gradient that counts as none. `early`: what was seen early in training, if `trained` has no such
        batches. Raises CannotCompute and NotFinite."""
        gradients = np.stack(finite(evaluator, trained.points, torch.float32).gradients).astype(float)
        push, size, margins = gradients[1] - gradients[0], np.abs(gradients).max(axis=0), inputs.margins(trained.points)
        policy, reference = (np.stack(trained.points.tensors[part]) for part in (slice(2), slice(2, 4)))
        ratios, noise = policy - reference, rounding(gradients)
        held = ~trained.early & (ratios * gradients >= 0).all(axis=0)
        negative, unlearnt = (margins < _CLEARLY_NEGATIVE) & (np.abs(push) > noise) & ~held, margins <= 0
        small, raised = (margins > 0.02) & (margins < 0.5), trained.counts(push > 0)
        usual = early.usual_push if early else _usual_push(np.abs(push), trained)
        return cls(
            trained=trained,
            size=size,
            negative=trained.counts(negative),
            raised=trained.counts(negative & (push > 0)),
            small=trained.counts(small),
            small_lowered=trained.counts(small & (push < -noise)),
            common=-gradients.sum(axis=0) / np.maximum(np.abs(push), trained.spread(usual)),
            usual_push=usual,
            away=(ratios.sum(axis=0) < _FAR) & (size > max(none, noise)),
            unlearnt=trained.counts(unlearnt),
            idle=trained.counts(unlearnt & (size <= none)),
            wrong_starts=frozenset(c.beta for c in trained.cells if c.stage is EARLY[0] and not raised[c]),
        )

    def directed(self, cell: Cell) -> bool:
        """Whether the direction of the gradient is judged there."""
        return not (cell.near_start and cell.beta in self.wrong_starts)

    def share_raised(self, cells: Sequence[Cell], least: int = _LEAST_JUDGED) -> float:
        """Share of the pairs with a negative margin whose margin is raised; 1 if there are fewer than `least`."""
        count = sum(self.negative[cell] for cell in cells)
        return sum(self.raised[cell] for cell in cells) / count if count >= least else 1.0

    def share_idle(self, cell: Cell) -> float:
        """Share of the pairs without a positive margin that get no gradient; 0 if there are too few."""
        return self.idle[cell] / self.unlearnt[cell] if self.unlearnt[cell] >= _LEAST_JUDGED else 0.0


def _usual_push(push: Array, trained: Trained) -> dict[float, float]:
    early = [cells for cells in trained.stages if cells[0].stage is EARLY[1]]
    medians = {cells[0].beta: float(np.median(push[cells[0].start : cells[-1].items.stop])) for cells in early}
    return {beta: max(median, SMALLEST_GRADIENT) for beta, median in medians.items()}


def _too_large(seen: _Seen, measured: Measurements, ratio: float) -> list[Finding]:
    furthest = max(float(np.abs(measured.single.gradient(group)).max()) for group in inputs.SPREAD)
    most = max(ratio * measured.scale, LARGEST_JUMP * furthest)
    if seen.size.max() <= most:
        return []
    for cell in seen.trained.cells:
        size = seen.size[cell.items]
        if cell.stage.sized and size.max() > most:
            pairs, item = inputs_of("preference"), cell.start + int(size.argmax())
            one = pairs.example(seen.trained.points, item)
            message = (
                f"the gradient is {shown(size.max())} {pairs.where(one)} {cell.place}, far more than at usual pairs"
            )
            return [numeric_finding("SBX313", message, {"gradient": size.max(), **one})]
    return []


def _dead(seen: _Seen, stages: Sequence[Sequence[Cell]]) -> list[Finding]:
    """A refusal if nearly all pairs of an early stage get no gradient, at every usual level."""
    for cells in stages:
        usual = [seen.share_idle(cell) for cell in cells if cell.level >= _USUAL_LEVEL]
        if cells[0].stage.early and len(usual) > 1 and min(usual) > _NEARLY_ALL:
            most = shown(SMALLEST_GRADIENT)
            message = f"nearly all pairs that are not learnt yet get no gradient (at most {most}), {_where(cells)}"
            return [numeric_finding("SBX307", message, {"beta": cells[0].beta})]
    return []


def _together(seen: _Seen) -> list[Finding]:
    """A refusal if the loss moves both completions of most pairs far more than their margin, near the start. At the start, where
    log-ratios are 0, nothing holds them back, so neither sign is right; a moment later a force that does has either sign."""
    suspicious = _half_beyond(seen, np.abs(seen.common), _LARGEST_COMMON)
    for cells in seen.trained.stages:
        if suspicious.isdisjoint(cells):
            continue
        if cells[0].stage is EARLY[0]:
            found = [(cell, float(np.median(np.abs(seen.common[cell.items])))) for cell in cells]
        elif cells[0].stage is EARLY[1]:
            low, high = np.quantile(seen.common[cells[0].start : cells[-1].items.stop], (0.1, 0.9))
            found = [(cells[0], float(max(low, -high)))]
        else:
            continue
        for cell, ratio in found:
            if ratio > _most(_LARGEST_COMMON, cell.beta):
                message = (
                    f"both completions are moved together {shown(ratio)} times as much as the margin, {_where(cells)}"
                )
                return [numeric_finding("SBX335", message, {"ratio": ratio, "beta": cell.beta})]
    return []


def _runs_away(seen: _Seen) -> list[Finding]:
    """A refusal if the loss pushes both log-ratios of most pairs further away from the reference once both are below it, more than
    it changes their margin."""
    suspicious = _half_beyond(seen, -seen.common, _LARGEST_AWAY, seen.away)
    for cell in seen.trained.cells:
        if cell not in suspicious or cell.stage in EARLY[:2]:
            continue
        common = -seen.common[cell.items][seen.away[cell.items]]
        ratio = float(np.median(common))
        if len(common) >= _LEAST_JUDGED and ratio > _most(_LARGEST_AWAY, cell.beta):
            message = (
                f"both completions are pushed further away from the reference, {shown(ratio)} times as much as the margin is "
                f"changed, {cell.place}"
            )
            return [numeric_finding("SBX335", message, {"ratio": ratio, "beta": cell.beta})]
    return []


def _half_beyond(seen: _Seen, ratios: Array, largest: float, among: Array | None = None) -> set[Cell]:
    """The cells in which at least half of the pairs, of those in the mask `among`, have a ratio above the largest. Only there
    can their median, or a quantile of their stage, be above it, and medians of all cells take long."""
    among = np.ones_like(seen.away) if among is None else among
    beyond = among & (ratios > _most(largest, seen.trained.betas))
    count, most = seen.trained.counts(beyond), seen.trained.counts(among)
    return {cell for cell in seen.trained.cells if 0 < most[cell] <= 2 * count[cell]}


def _most(largest: float, beta: Array | float) -> Array:
    """A largest ratio at LINE_BETA and larger betas, at this beta."""
    return np.asarray(largest * np.maximum(1.0, LINE_BETA / beta))


def _falls_back(seen: _Seen, stages: Sequence[Sequence[Cell]], by_level: bool) -> list[Finding]:
    """A refusal if nearly all margins that are slightly positive near the start are lowered; of a loss that compares pairs
    (`by_level`) at LINE_BETA only."""
    for cells in stages:
        small = sum(seen.small[cell] for cell in cells)
        lowered = sum(seen.small_lowered[cell] for cell in cells)
        judged = cells[0].near_start and seen.directed(cells[0]) and (cells[0].beta == LINE_BETA or not by_level)
        if judged and small >= _LEAST_JUDGED and lowered > (1 - _LEAST_RAISED) * small:
            share = lowered / small
            message = (
                f"the loss lowers the margin of {share:.0%} of the pairs with a small positive one, {_where(cells)}"
            )
            return [replace(numeric_finding("SBX310", message, {"share": share}), remedy=_REMEDY)]
    return []


def _reversed(
    seen: _Seen,
    stages: Sequence[Sequence[Cell]],
    by_level: bool = False,
    least: int = _LEAST_JUDGED,
    fewer_than: float = _LEAST_RAISED,
) -> list[Finding]:
    """A refusal if the margin of nearly all pairs with a negative one, of which there are at least `least`, is lowered in a stage;
    `by_level`: at one level of an early stage at LINE_BETA."""
    for cells in stages:
        if not seen.directed(cells[0]):
            continue
        alone = by_level and cells[0].beta == LINE_BETA and cells[0].stage.early
        for part in [[cell] for cell in cells] if alone else [cells]:
            share = seen.share_raised(part, least)
            if share < fewer_than:
                message = f"the loss raises the margin of only {share:.0%} of the pairs whose margin is negative, {_where(cells)}"
                found = numeric_finding("SBX310", message, {"share": share, "beta": cells[0].beta})
                return [replace(found, remedy=_REMEDY)]
    return []


def _where(cells: Sequence[Cell]) -> str:
    return f"in batches as {cells[0].stage.name}, at beta = {shown(cells[0].beta)}"


def _lost(seen: _Seen) -> list[Finding]:
    """A note on the cell at which the loss lowers the most negative margins."""
    share, cell = max(
        ((1 - seen.share_raised([c]), c) for c in seen.trained.cells if seen.directed(c)), key=lambda pair: pair[0]
    )
    if share <= _LOST:
        return []
    message = f"the loss lowers the margin of {share:.0%} of the pairs whose margin is negative already, {cell.place}"
    return [numeric_finding("SBX331", message, {"share": share, "beta": cell.beta, "level": -cell.level})]


def _idle(seen: _Seen) -> list[Finding]:
    """A note on the early cell at which most pairs get no gradient."""
    share, cell = max(((seen.share_idle(c), c) for c in seen.trained.cells if c.stage.early), key=lambda pair: pair[0])
    if share <= _IDLE:
        return []
    message = f"{share:.0%} of the pairs that are not learnt yet get no gradient {cell.place}"
    return [numeric_finding("SBX333", message, {"share": share, "beta": cell.beta, "level": -cell.level})]


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


@cache
def _reordered() -> tuple[Points, Points, Array]:
    """A batch of each stage, the same batches in another order, and this order. At the start of training margins are equal, and a
    loss that ranks them has to use the position."""
    rng = np.random.default_rng([FIXED, 12])
    largest = [batch(rng, stage, LEVELS[-2], max(SIZES)) for stage in (*EARLY[1:], *LATE)]
    orders = [inputs.reordering(rng, len(one)) for one in largest]
    moved = [one.take(order) for one, order in zip(largest, orders, strict=True)]
    order = np.concatenate([i * max(SIZES) + order for i, order in enumerate(orders)])
    return joined(largest), joined(moved), order
