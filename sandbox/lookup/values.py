"""Values inside a loss along shifts of its inputs (torch): what the search for look-ups reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import torch

from sandbox import probes
from sandbox.contract import BATCH
from sandbox.dims import Type
from sandbox.evaluate import FAILURES, Array, CannotCompute, Evaluator
from sandbox.execute import compile_values
from sandbox.graph import LossGraph
from sandbox.lookup.sites import Site

LOWEST, HIGHEST = probes.LOWEST_LOGP + 10.0, -0.5
"""The log-probabilities that pairs are shifted through, nats."""
SHIFTS: Final = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
"""Policy and reference together: of the chosen completion, of the rejected one. Log-ratios stay."""
_PAIRWISE_BATCH = 128
_REORDERING: Final = frozenset({"sort", "argsort", "cumsum", "logcumsumexp", "flip", "roll", "gather", "slice", "cat"})

Values = Mapping[int, Array]


class Inside:
    """The values of some nodes of a loss at any inputs, in the shapes that the graph gives them."""

    def __init__(self, evaluator: Evaluator, nodes: Iterable[int]) -> None:
        self.graph = evaluator.graph
        self.nodes = sorted(set(nodes))
        self._program = compile_values(self.graph, self.nodes)
        pairwise = any(sum(d.constant is None for d in t.dims) > 1 for t in self.graph.types)
        self.most = _PAIRWISE_BATCH if pairwise else None
        self._reordered = [False] * len(self.graph.nodes) if evaluator.pointwise else _reordered(self.graph)

    def __call__(self, inputs: Array, beta: float, dtype: torch.dtype = torch.float64) -> list[tuple[slice, Values]]:
        """The values at `inputs`, shape (items, 4), as one batch, or as several where items are compared pair by pair.

        Raises CannotCompute.
        """
        step = self.most or len(inputs)
        parts = [slice(i, min(i + step, len(inputs))) for i in range(0, len(inputs), step)]
        return [(part, self._values(inputs[part], beta, dtype)) for part in parts]

    def _values(self, inputs: Array, beta: float, dtype: torch.dtype) -> Values:
        tensors = [torch.from_numpy(column.copy()).to(dtype) for column in inputs.T]
        try:
            with torch.no_grad():
                found = self._program(*tensors, beta)
        except FAILURES as error:
            raise CannotCompute(str(error).splitlines()[0][:200]) from None
        return {
            n: v.numpy() if isinstance(v, torch.Tensor) else np.asarray(v)
            for n, v in zip(self.nodes, found, strict=True)
        }

    def quantities(self, sites: Sequence[Site], inputs: Array, beta: float) -> list[Array]:
        """What each site decides by, one row per item: (items, entries). No entries where it does not follow the items."""
        parts = self(inputs, beta)
        columns = []
        for site in sites:
            rows = [self._quantity(site, values, part.stop - part.start) for part, values in parts]
            least = min(r.shape[1] for r in rows)  # entries that stand for other items are as many as the batch
            columns.append(np.concatenate([r[:, :least] for r in rows]))
        return columns

    def _quantity(self, site: Site, values: Values, items: int) -> Array:
        left = values[site.left].astype(float)
        type_ = self.graph.types[site.left]
        with np.errstate(all="ignore"):
            if site.axis is not None:
                return by_item(_differences(left, site.axis), type_, items)
            if site.right is None:
                return by_item(left - site.offset, type_, items)
            both = left - values[site.right].astype(float) - site.offset
        return by_item(both, self.graph.types[site.node], items)

    def in_place(self, site: Site) -> bool:
        """Whether the site's quantity belongs to the item at whose place it stands."""
        return not any(self._reordered[n] for n in (site.left, site.right) if n is not None)

    def rows(self, values: Values, items: int) -> dict[int, Array]:
        """The values one row per item, those that follow the items only, each in its own place."""
        kept = {n: v for n, v in values.items() if not self._reordered[n]}
        found = {n: by_item(v.astype(float), self.graph.types[n], items) for n, v in kept.items()}
        return {n: v for n, v in found.items() if v.shape[1]}


def _reordered(graph: LossGraph) -> list[bool]:
    """For each node, whether its entries along the batch stand for ranks or neighbours in place of items."""
    found: list[bool] = []
    for node in graph.nodes:
        along = False
        if node.op in _REORDERING:
            dims = graph.types[node.args[0]].dims
            dim = node.attrs.get("dim", 0)
            along = dims[dim % len(dims)].constant is None
        found.append(along or any(found[a] for a in node.args))
    return found


def by_item(value: Array, type_: Type, items: int) -> Array:
    """A value as (items, entries); without entries where no axis belongs to the items. An axis of several batches end to end
    gives an entry for each."""
    for axis, dim in enumerate(type_.dims):
        if len(dim.terms) == 1 and dim.terms[0][0] == (BATCH,) and value.ndim > axis:
            moved = np.moveaxis(value, axis, 0)
            return np.moveaxis(moved.reshape(-1, items, *moved.shape[1:]), 1, 0).reshape(items, -1)
    return np.zeros((items, 0))


def _differences(value: Array, axis: int) -> Array:
    """All differences of two entries along an axis, in place of the entries."""
    first, second = np.triu_indices(value.shape[axis], 1)
    return np.asarray(np.take(value, first, axis) - np.take(value, second, axis))


def pairs(rng: np.random.Generator, items: int, beta: float) -> Array:
    """Pairs as training meets them at this beta, shape (items, 4), at log-probabilities from -2 to -1000 nats.

    Whole multiples of 2^-10, so that shifted pairs have the very same log-ratios.
    """
    ratios = np.clip(rng.normal(0, 1.5 / beta, (items, 2)), -300, 300)
    reference = -np.exp(rng.uniform(np.log(2.0), np.log(1000.0), (items, 2))) - np.abs(ratios) - 2.0
    exact = np.round(np.concatenate([reference + ratios, reference], axis=1) * 1024) / 1024
    return np.asarray(np.clip(exact, LOWEST, HIGHEST))
