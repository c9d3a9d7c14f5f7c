"""One loss, one beta: its value and slope at any margins and log-ratios, and what else it depends on (torch)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from analysis.output.errors import NothingToDraw
from sandbox.contracts.contract import BATCH, contract_named
from sandbox.execute.evaluate import Array, CannotCompute, Evaluation, Evaluator, Points
from sandbox.graph.equivariance import has_one_loss_per_item
from sandbox.graph.loss_graph import VerifiedGraph
from sandbox.graph.types import Dim
from sandbox.numeric.edges.inside import Inside
from sandbox.numeric.edges.sites import Kind, Site, sites
from sandbox.numeric.measure.lines import Line, PairLine

BACKGROUND_REACH = 60.0
_BACKGROUND = tuple(10.0 * NormalDist().inv_cdf((i + 0.5) / 15) for i in range(15))
"""Margins of the typical items, in nats: quantiles of a normal distribution with standard deviation 10. They are scaled with the
reach of the contract's line, so that the deviation is a sixth of it."""

_REFERENCE = -60.0
"""Log-probability of both completions under the reference, in nats, as in `PairLine`."""

_KINDS = (Kind.POLE, Kind.EQUALITY, Kind.BELOW, Kind.ABOVE, Kind.KINK, Kind.STEEP)
_MOST_EDGES = 24
_ZOOM = 33
_ROUNDS = 9
_VECTOR = (Dim.of(BATCH),)


@dataclass(frozen=True, slots=True)
class Beyond:
    """What a preference loss depends on besides the margins."""

    split: bool
    """On how a margin is split between the two completions: the log-ratio of each counts."""
    reference: bool
    """On the reference's own log-probabilities."""


class Along:
    """A loss along its contract's line. A loss that couples the items of a batch is computed for one item that moves, among items
    that stay."""

    def __init__(self, graph: VerifiedGraph, line: Line, beta: float) -> None:
        self.graph, self.line, self.beta = graph, line, beta
        self.contract = contract_named(graph.contract)
        self.evaluator = Evaluator(graph)
        self.coupled = not self.evaluator.pointwise
        self._by_rank = self.coupled and not has_one_loss_per_item(graph)
        self._background = torch.tensor(_BACKGROUND, dtype=torch.float64) * (line.reach(beta) / BACKGROUND_REACH)

    def among(self, items: Sequence[float]) -> Along:
        """The same loss, with these items at rest; their margins are in units of beta rho (or of the logit)."""
        other = copy(self)
        other.__dict__.pop("_rest", None)
        other._background = torch.tensor(items, dtype=torch.float64) / self.per_margin
        return other

    @property
    def per_margin(self) -> float:
        """Units of beta rho per unit of the margin: beta, or 1 for a contract without beta."""
        return self.beta if self.contract.scalars else 1.0

    def __call__(self, margins: Array) -> tuple[Array, Array]:
        """Loss of the moving item, and the slope of its batch's summed loss over its margin; both of the shape of `margins`, (n,).

        Raises NothingToDraw if an operation fails at these inputs.
        """
        moving = torch.from_numpy(np.asarray(margins, dtype=float)).requires_grad_()
        rows = self._with_background(moving)
        arguments = self.line.arguments(rows, self.beta)
        seen = self._seen(arguments)
        moved = [(a, g) for a, g in zip(self._learning(arguments), seen.gradients, strict=True) if a.requires_grad]
        (slopes,) = torch.autograd.grad([a for a, _ in moved], moving, [torch.from_numpy(g) for _, g in moved])
        return self._value(seen.loss), slopes.numpy()

    def over(self, chosen: Array, rejected: Array, lead: Array) -> tuple[Array, Array, Array]:
        """Loss, and its slopes over the log-ratios of the chosen and the rejected completion, at these log-ratios; all (n,), nats.

        Preference losses only. `lead` is by how much the reference's log-probability of the chosen completion exceeds that of the
        rejected one; their mean is -60 nats. Raises NothingToDraw like `__call__`.
        """
        still = torch.full_like(self._background, _REFERENCE)
        sides = [(chosen, _REFERENCE + lead / 2, 1.0), (rejected, _REFERENCE - lead / 2, -1.0)]
        policy = [
            self._with_background(torch.from_numpy(ratio + level), still + sign * self._background / 2)
            for ratio, level, sign in sides
        ]
        reference = [self._with_background(torch.from_numpy(level), still) for _, level, _ in sides]
        seen = self._seen((*policy, *reference, self.beta))
        return self._value(seen.loss), self._own(seen.gradients[0]), self._own(seen.gradients[1])

    def edges(self, reach: float, steps: int) -> list[float]:
        """Margins up to `reach` at which the loss may change abruptly: kinks, conditions, poles, the middle of steep transitions.

        They are the zeros, and the points nearest to zero, of the quantities that decide in the loss's graph, as in the sandbox's
        numeric tests, on a grid of `steps`. Empty for a loss that couples the items of a batch.
        """
        here = [s for s in sites(self.graph) if s.kind in _KINDS and self._by_item(s)]
        if self.coupled or not here:
            return []
        grid = np.linspace(-reach, reach, steps)
        found: list[float] = []
        for site, quantity in zip(here, self._deciding(here, grid), strict=True):
            found += [self._zoomed(site, grid[a], grid[b]) for a, b in _brackets(quantity)]
        return sorted({round(edge / reach, 12) * reach + 0.0 for edge in found})[:_MOST_EDGES]

    def _by_item(self, site: Site) -> bool:
        nodes = [n for n in (site.left, site.right) if n is not None]
        return site.axis is None and all(self.graph.types[n].dims == _VECTOR for n in nodes)

    def _deciding(self, chosen: Sequence[Site], margins: Array) -> list[Array]:
        inside = Inside(self.evaluator, {n for s in chosen for n in (s.left, s.right) if n is not None})
        points = self._points(self.line.arguments(torch.from_numpy(margins), self.beta))
        try:
            return [np.nan_to_num(q[:, 0]) for q in inside.quantities_at(chosen, points)]
        except CannotCompute as error:
            raise NothingToDraw(f"the loss cannot be computed: {error}") from None

    def _zoomed(self, site: Site, low: float, high: float) -> float:
        for _ in range(_ROUNDS):
            grid = np.linspace(low, high, _ZOOM)
            (quantity,) = self._deciding([site], grid)
            nearest = min(_brackets(quantity), default=(0, _ZOOM - 1))
            low, high = float(grid[nearest[0]]), float(grid[nearest[1]])
        return (low + high) / 2

    def _with_background(self, moving: Tensor, background: Tensor | None = None) -> Tensor:
        """The moving items alone, as one batch; or, for a coupled loss, each with the typical items, batch after batch."""
        if not self.coupled:
            return moving
        rest = self._background if background is None else background
        return torch.cat([moving[:, None], rest.expand(len(moving), -1)], 1).reshape(-1)

    def _value(self, losses: Array) -> Array:
        """The loss of the moving item; of a loss by rank, whose entries belong to no item, what it adds to that of the others."""
        if not self._by_rank:
            return self._own(losses)
        return np.asarray(losses.reshape(-1, len(self._background) + 1).sum(axis=1) - self._rest)

    @cached_property
    def _rest(self) -> float:
        """Sum of the losses of the items at rest, as a batch without the moving one."""
        arguments = self.line.arguments(self._background, self.beta)
        return float(self._seen(arguments, len(self._background)).loss.sum())

    def _own(self, values: Array) -> Array:
        return values.reshape(-1, len(self._background) + 1)[:, 0] if self.coupled else values

    def _learning(self, arguments: Sequence[Tensor | float]) -> list[Tensor]:
        pairs = zip(self.contract.arguments, arguments, strict=True)
        return [value for argument, value in pairs if argument.learns and isinstance(value, Tensor)]

    def _seen(self, arguments: Sequence[Tensor | float], size: int | None = None) -> Evaluation:
        try:
            return self.evaluator(self._points(arguments, size))
        except CannotCompute as error:
            raise NothingToDraw(f"the loss cannot be computed: {error}") from None

    def _points(self, arguments: Sequence[Tensor | float], size: int | None = None) -> Points:
        """The arguments in batches of `size`: by default of the moving item and those at rest."""
        tensors = tuple(a.detach().numpy() for a in arguments if isinstance(a, Tensor))
        numbers = np.array([a for a in arguments if not isinstance(a, Tensor)], dtype=float)
        items = len(tensors[0])
        size = size or (len(self._background) + 1 if self.coupled else items)
        return Points(tensors, np.repeat(numbers[:, None], items, axis=1), (size,) * (items // size))


def depends_on(loss: Along) -> Beyond:
    """What the gradient of a preference loss depends on besides the margins. Losses of other contracts: nothing.

    It is measured at 41 margins, four splits and three references, to seven digits.
    """
    if not isinstance(loss.line, PairLine):
        return Beyond(split=False, reference=False)
    reach = loss.line.reach(loss.beta)
    margins = np.linspace(-0.97 * reach, 0.98 * reach, 41)

    def gradients(shift: float, lead: float) -> tuple[Array, Array]:
        return loss.over(margins / 2 + shift, shift - margins / 2, np.full(41, lead))[1:]

    chosen, rejected = gradients(0.0, 0.0)
    usual = float(np.median(np.abs(chosen)))

    def same(*found: tuple[Array, Array]) -> bool:
        pairs = [(a, b) for seen in found for a, b in zip((chosen, rejected), seen, strict=True)]
        return all(np.allclose(a, b, rtol=1e-7, atol=1e-9 * usual, equal_nan=True) for a, b in pairs)

    return Beyond(
        split=not same((-rejected, -chosen), *(gradients(reach * shift, 0.0) for shift in (0.21, -0.37, 0.11))),
        reference=not same(*(gradients(0.0, reach * lead) for lead in (0.3, -0.17))),
    )


def _brackets(quantity: Array) -> list[tuple[int, int]]:
    """Steps of a grid between which a quantity changes sign, or around which it comes nearest to zero without doing so."""
    crossings = [(int(i), int(i) + 1) for i in np.flatnonzero((quantity[:-1] <= 0) != (quantity[1:] <= 0))]
    size = np.abs(quantity)
    touches = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:])) + 1
    return crossings + [(int(i) - 1, int(i) + 1) for i in touches if not any(a - 1 <= i <= b + 1 for a, b in crossings)]
