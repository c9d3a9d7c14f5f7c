"""Values inside a loss at any inputs: the quantities that decide at its sites (torch)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from sandbox.contracts.contract import BATCH
from sandbox.execute.evaluate import FAILURES, Array, CannotCompute, Evaluator, Points
from sandbox.execute.interpreter import compile_values
from sandbox.graph.types import Dim, Type
from sandbox.numeric.edges.sites import Site

_PAIRWISE_BATCH = 128
_VECTOR = (Dim.of(BATCH),)

Values = Mapping[int, Array]


class Inside:
    """The values of some nodes of a loss at any inputs, in the shapes that the graph gives them."""

    def __init__(self, evaluator: Evaluator, nodes: Iterable[int]) -> None:
        self.graph, self._evaluator = evaluator.graph, evaluator
        self.nodes = sorted(set(nodes))
        self._program = compile_values(self.graph, self.nodes)
        pairwise = any(sum(d.constant is None for d in t.dims) > 1 for t in self.graph.types)
        self._most = _PAIRWISE_BATCH if pairwise else None

    def __call__(self, inputs: Array, beta: float) -> list[tuple[slice, Values]]:
        """The values at `inputs`, shape (items, 4), as one batch, or as several where items are compared pair by pair.

        Raises CannotCompute.
        """
        step = self._most or len(inputs)
        parts = [slice(i, min(i + step, len(inputs))) for i in range(0, len(inputs), step)]
        return [(part, self._values(inputs[part], beta)) for part in parts]

    def _values(self, inputs: Array, beta: float) -> Values:
        tensors = [torch.from_numpy(column.copy()) for column in inputs.T]
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
        """The quantity that decides at each site, (items, entries). It has no entries if no axis belongs to the items."""
        parts = self(inputs, beta)
        columns = []
        for site in sites:
            columns.append(end_to_end([self._quantity(site, values, part.stop - part.start) for part, values in parts]))
        return columns

    def quantities_at(self, sites: Sequence[Site], points: Points) -> list[Array]:
        """The quantities at probe points, each batch at its own beta."""
        if self._evaluator.pointwise and all(self.graph.types[s.node].shape == _VECTOR for s in sites):
            values = dict(zip(self.nodes, self._evaluator.values(points, self.nodes), strict=True))
            return [self._quantity(site, values, len(points)) for site in sites]
        inputs = np.stack(points.tensors, axis=1)
        parts = [self.quantities(sites, inputs[s], beta) for s, beta in zip(points.spans, points.rows[0], strict=True)]
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


def end_to_end(parts: Sequence[Array]) -> Array:
    """Values of several batches, (items, entries) each, concatenated. The number of entries can depend on the batch size; as many
    are kept as all batches have."""
    least = min(p.shape[1] for p in parts)
    return np.concatenate([p[:, :least] for p in parts])


def by_item(value: Array, type_: Type, items: int) -> Array:
    """A value as (items, entries), without entries if no axis belongs to the items. An axis that concatenates several batches
    gives one entry for each."""
    for axis, dim in enumerate(type_.dims):
        if len(dim.terms) == 1 and dim.terms[0][0] == (BATCH,) and value.ndim > axis:
            moved = np.moveaxis(value, axis, 0)
            return np.moveaxis(moved.reshape(-1, items, *moved.shape[1:]), 1, 0).reshape(items, -1)
    return np.zeros((items, 0))


def _differences(value: Array, axis: int) -> Array:
    """The differences of every two entries along an axis, which replace the entries."""
    first, second = np.triu_indices(value.shape[axis], 1)
    return np.asarray(np.take(value, first, axis) - np.take(value, second, axis))
