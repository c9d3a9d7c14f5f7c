"""Values inside a loss at any inputs (torch): what the searches for windows and look-ups read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import torch

from sandbox.contract import BATCH
from sandbox.dims import Type
from sandbox.evaluate import FAILURES, Array, CannotCompute, Evaluator, Points
from sandbox.execute import compile_values
from sandbox.graph import LossGraph
from sandbox.sites import Site

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
            columns.append(end_to_end([self._quantity(site, values, part.stop - part.start) for part, values in parts]))
        return columns

    def quantities_at(self, sites: Sequence[Site], points: Points) -> list[Array]:
        """The same at probe points, batch by batch, each at its own beta."""
        rows = points.rows[0]
        inputs = np.stack(points.tensors, axis=1)
        parts = [self.quantities(sites, inputs[s], beta) for s, beta in zip(points.spans, rows, strict=True)]
        return [end_to_end(column) for column in zip(*parts, strict=True)]

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


def end_to_end(parts: Sequence[Array]) -> Array:
    """Values of several batches, (items, entries) each, in one. Entries that stand for other items are as many as the batch
    has: no more are kept than all have."""
    least = min(p.shape[1] for p in parts)
    return np.concatenate([p[:, :least] for p in parts])


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
